"""`dclm jobs`: status and output of the recipes that `dclm submit` sent to a Ray cluster."""

from __future__ import annotations

import sys

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from dclm.cli.cluster import usual_address
from dclm.cli.shared.options import put_result, say
from dclm.cli.shared.output import Forwarded

_ADDRESS = click.option("--address", help="Dashboard of the cluster. Default: as for `dclm submit`.")


@click.group()
def jobs() -> None:
    """Manage jobs on a Ray cluster."""


@jobs.command("list")
@_ADDRESS
def list_(address: str | None) -> None:
    """List the cluster's jobs, the newest first."""
    from dclm.engine.jobs import list_jobs

    found = list_jobs(address or usual_address())
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("job", "status", "started", "ended", "command"):
        table.add_column(name, no_wrap=name != "command")
    for job in found:
        table.add_row(job.id, job.status, job.started or "", job.ended or "", escape(job.command))
    put_result(found, table)


@jobs.command()
@click.argument("job")
@_ADDRESS
@click.option("--follow", is_flag=True, help="Keep printing until the job ends, and exit with its exit code.")
def logs(job: str, address: str | None, follow: bool) -> None:
    """Print JOB's output so far."""
    from dclm.engine.jobs import follow_job, job_logs

    where = address or usual_address()
    output = Forwarded()
    code = follow_job(job, where, output.write) if follow else None
    if code is None:
        output.write(job_logs(job, where))
    put_result({"job": job, "exit_code": code, "output": output.text}, None)
    if code is not None:
        sys.exit(code)


@jobs.command()
@click.argument("job")
@_ADDRESS
def stop(job: str, address: str | None) -> None:
    """Stop JOB."""
    from dclm.engine.jobs import stop_job

    stopped = stop_job(job, address or usual_address())
    say(f"job {job} is stopped" if stopped else f"job {job} had already ended")
    put_result({"job": job, "stopped": stopped}, None)
