"""`dclm jobs`: status and output of the recipes that `dclm submit` sent to a Ray cluster."""

from __future__ import annotations

import json
import sys

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from dclm.cli.cluster import usual_address
from dclm.cli.options import open_console, put, say, visible

_ADDRESS = click.option("--address", help="Dashboard of the cluster. Default: as for `dclm submit`.")


@click.group()
def jobs() -> None:
    """Manage jobs on a Ray cluster."""


@jobs.command("list")
@_ADDRESS
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_(address: str | None, as_json: bool) -> None:
    """List the cluster's jobs, the newest first."""
    from dclm.engine.jobs import list_jobs

    found = list_jobs(address or usual_address())
    if as_json:
        put(json.dumps([job._asdict() for job in found], indent=1))
        return
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("job", "status", "started", "ended", "command"):
        table.add_column(name, no_wrap=name != "command")
    for job in found:
        table.add_row(job.id, job.status, job.started or "", job.ended or "", escape(job.command))
    open_console().print(table)


@jobs.command()
@click.argument("job")
@_ADDRESS
@click.option("--follow", is_flag=True, help="Keep printing until the job ends, and exit with its exit code.")
def logs(job: str, address: str | None, follow: bool) -> None:
    """Print JOB's output so far."""
    from dclm.engine.jobs import follow_job, job_logs

    where = address or usual_address()
    if follow:
        sys.exit(follow_job(job, where, write))
    write(job_logs(job, where))


@jobs.command()
@click.argument("job")
@_ADDRESS
def stop(job: str, address: str | None) -> None:
    """Stop JOB."""
    from dclm.engine.jobs import stop_job

    stopped = stop_job(job, address or usual_address())
    say(f"job {job} is stopped" if stopped else f"job {job} had already ended")


def write(text: str) -> None:
    """Forward a job's output."""
    sys.stdout.write(visible(text))
    sys.stdout.flush()
