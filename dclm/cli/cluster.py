"""`dclm cluster` and `dclm submit`: a local Ray cluster, and recipes as jobs on any Ray cluster."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

import click

from dclm.cli.shared.options import LOCAL_PATH, cache_option, env_option, put_result, replace_option, say, trust_option
from dclm.cli.shared.output import Forwarded
from dclm.engine.cluster import LocalCluster, cluster_down, cluster_status, cluster_up

_STATE = click.option("--state", type=LOCAL_PATH, help="Directory of the cluster's state file. Default: one per user.")


@click.group()
def cluster() -> None:
    """Manage a Ray cluster on this machine."""


@cluster.command()
@click.option("--workers", type=click.IntRange(1), help="Number of CPUs that the cluster may use. Default: all.")
@click.option(
    "--port",
    default=8265,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="Port of the dashboard; 0: any free port.",
)
@_STATE
def up(workers: int | None, port: int, state: Path | None) -> None:
    """Start the cluster unless it is already running."""
    address = cluster_up(workers, port, state).address
    put_result({"address": address}, address)


@cluster.command()
@_STATE
def down(state: Path | None) -> None:
    """Stop the cluster that `up` started, and no other process."""
    stopped = cluster_down(state)
    say("stopped" if stopped else "no cluster was running")
    put_result({"stopped": stopped}, None)


@cluster.command()
@_STATE
def status(state: Path | None) -> None:
    """Print the cluster's address; exit 1 if no cluster is running."""
    running = cluster_status(state)
    address = None if running is None else running.address
    put_result({"address": address}, address)
    if address is None:
        say("no cluster is running")
        sys.exit(1)


def usual_address(running: LocalCluster | None = None) -> str:
    """The default address for jobs: the one named by the environment, else the local cluster.

    running: the local cluster, if already known.
    """
    running = running or cluster_status()
    for name in ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS"):
        if os.environ.get(name, "").startswith(("http://", "https://")):
            return os.environ[name]
    return running.address if running else "http://127.0.0.1:8265"


def _may_stop() -> bool:
    """Whether the user wants to stop the job; False if nobody can be asked."""
    if not sys.stdin.isatty():
        return False
    try:
        return click.confirm("\nStop the job too?", default=False, err=True)
    except click.Abort:
        return False


@click.command()
@click.argument("recipe", type=LOCAL_PATH)
@click.option(
    "--address",
    help="Dashboard, http://HOST:8265. Default: RAY_API_SERVER_ADDRESS, RAY_ADDRESS, or the local cluster.",
)
@click.option(
    "--out", help="Where to write: a URL, or a folder that all nodes share. Default: out/NAME in the project."
)
@click.option(
    "--workers", type=click.IntRange(1), help="Number of units to run at once. Default: all CPUs of the cluster."
)
@click.option("--limit", type=click.IntRange(1), help="Maximum number of records to read from each input file.")
@click.option("--nproc", type=click.IntRange(1), help="Number of training workers (one per GPU). Default: 1.")
@click.option(
    "--min-nproc", type=click.IntRange(1), help="Minimum number of workers to train with while no more are available."
)
@click.option(
    "--follow/--no-follow", default=True, show_default=True, help="Print the job's output and wait for it to end."
)
@env_option
@trust_option
@cache_option
@replace_option
def submit(
    recipe: Path,
    address: str | None,
    out: str | None,
    workers: int | None,
    limit: int | None,
    nproc: int | None,
    min_nproc: int | None,
    follow: bool,
    variables: tuple[str, ...],
    trust: bool,
    cache: str | None,
    force: bool,
) -> None:
    """Run RECIPE on a Ray cluster through its job API. Exits with the job's exit code.

    RECIPE may be anywhere: it is uploaded with the pipelines that it names and their own steps. `dclm jobs` shows,
    follows and stops jobs.
    """
    from dclm.core.stores.store import absolute
    from dclm.curate.pipeline import pipeline_files
    from dclm.engine.jobs import project_root
    from dclm.engine.jobs import submit as submit_job
    from dclm.recipe.recipe import load_recipe

    logging.getLogger("ray").setLevel(logging.ERROR)  # the job's own output is what matters here
    running = cluster_status()
    loaded = load_recipe(recipe, variables, trust)  # report errors in the recipe here, not on the cluster
    chosen = address or usual_address(running)
    given = {"workers": workers, "limit": limit, "nproc": nproc, "min-nproc": min_nproc}
    arguments = [f"--{name}={value}" for name, value in given.items() if value]
    arguments += [f"--env={name}" for name in variables]
    arguments += ["--trust"] if trust else []
    arguments += [] if cache is None else [f"--cache={absolute(cache)}"]
    arguments += ["--force"] if force else []
    output = Forwarded()
    code = submit_job(
        recipe,
        chosen,
        out or str(project_root() / "out" / recipe.stem),
        arguments=arguments,
        write=output.write,
        follow=follow,
        in_place=running is not None and chosen == running.address,
        may_stop=_may_stop,
        files=[file for source in loaded.recipe.data for file in pipeline_files(loaded.path(source.pipeline))],
    )
    put_result({"exit_code": code if follow else None, "output": output.text}, None)
    sys.exit(code)
