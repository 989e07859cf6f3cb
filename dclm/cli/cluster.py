"""`dclm cluster` and `dclm submit`: a local Ray cluster, and recipes as jobs on any Ray cluster."""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import click

from dclm.cli.options import LOCAL_PATH
from dclm.engine.cluster import LocalCluster, cluster_down, cluster_status, cluster_up

_STATE = click.option("--state", type=LOCAL_PATH, help="Directory of the cluster's state file. Default: one a user.")


@click.group()
def cluster() -> None:
    """A Ray cluster on this machine."""


@cluster.command()
@click.option("--workers", type=click.IntRange(1), help="CPUs that the cluster may use. Default: all.")
@click.option("--port", default=8265, show_default=True, type=click.IntRange(0, 65535), help="Dashboard; 0: any.")
@_STATE
def up(workers: int | None, port: int, state: Path | None) -> None:
    """Start the cluster, unless it runs already."""
    print(cluster_up(workers, port, state).address)


@cluster.command()
@_STATE
def down(state: Path | None) -> None:
    """Stop the cluster that `up` started, and no other process."""
    stopped = cluster_down(state)
    print("stopped" if stopped else "no cluster was running", file=sys.stderr)


@cluster.command()
@_STATE
def status(state: Path | None) -> None:
    """Print the cluster's address; exit 1 if there is none."""
    running = cluster_status(state)
    if running is None:
        print("no cluster is running", file=sys.stderr)
        sys.exit(1)
    print(running.address)


@click.command()
@click.argument("recipe", type=LOCAL_PATH)
@click.option(
    "--address",
    envvar="RAY_API_SERVER_ADDRESS",
    help="Dashboard of the cluster, http://HOST:8265. Default: the local cluster (or RAY_API_SERVER_ADDRESS).",
)
@click.option("--out", help="Output directory, on storage that all nodes share. Default: out/NAME beside the project.")
@click.option("--workers", type=click.IntRange(1), help="Units of work at once. Default: all the cluster's CPUs.")
@click.option("--limit", type=click.IntRange(1), help="Records read from each input file at most.")
@click.option("--nproc", type=click.IntRange(1), help="Workers that train (one a GPU). Default: 1.")
@click.option("--min-nproc", type=click.IntRange(1), help="Train with as few while there is no room for more.")
@click.option("--follow/--no-follow", default=True, show_default=True, help="Print the job's output; wait for its end.")
def submit(
    recipe: Path,
    address: str | None,
    out: str | None,
    workers: int | None,
    limit: int | None,
    nproc: int | None,
    min_nproc: int | None,
    follow: bool,
) -> None:
    """Run RECIPE on a Ray cluster through its job API. Exits with the job's exit code."""
    from dclm.engine.jobs import project_root
    from dclm.engine.jobs import submit as submit_job

    logging.getLogger("ray").setLevel(logging.ERROR)  # the job's own output is what matters here
    running: LocalCluster | None = None if address else cluster_status()
    given = {"workers": workers, "limit": limit, "nproc": nproc, "min-nproc": min_nproc}
    arguments = [f"--{name}={value}" for name, value in given.items() if value]
    code = submit_job(
        recipe,
        address or (running.address if running else "http://127.0.0.1:8265"),
        out or str(project_root() / "out" / recipe.stem),
        arguments=arguments,
        write=_write,
        follow=follow,
        in_place=running is not None,
    )
    sys.exit(code)


def _write(text: str) -> None:
    sys.stdout.write(text)
    sys.stdout.flush()
