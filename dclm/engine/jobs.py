"""Submits a recipe to a Ray cluster as a job, prints its output, and returns its exit code."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shlex
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from ray.job_submission import JobStatus, JobSubmissionClient

import dclm
from dclm.core.errors import ConfigError
from dclm.core.stages.stopping import Stopped
from dclm.engine.cluster import ENVIRONMENT
from dclm.engine.shipping import staged

_POLL_SECONDS = 0.5
_OVERRIDES = ("RAY_API_SERVER_ADDRESS", "RAY_ADDRESS")
INTERRUPTED = 130
"""Exit code after Ctrl-C."""
_EXCLUDED = ("/tests/", "/docs/", "/out/", "/.git/", "/.venv*/", "/.ci/", "*.warc.gz", "*.parquet", "*.safetensors")
"""Parts of the project that a job does not need (as .gitignore patterns, in addition to those of .gitignore itself)."""

Write = Callable[[str], object]


def submit(
    recipe: Path,
    address: str,
    out: str,
    *,
    arguments: Sequence[str] = (),
    write: Write,
    follow: bool = True,
    in_place: bool = False,
    may_stop: Callable[[], bool] = lambda: False,
    files: Sequence[Path] = (),
) -> int:
    """Run `dclm run RECIPE --out OUT --on ray` on the cluster whose dashboard is at `address`.

    The project's files are uploaded with the job (Ray's working_dir); nothing is installed. `in_place`: every node has
    them at the same path, as on a cluster of this machine, and the job runs there. `out` is a path on storage that all
    nodes share. `write` receives the job's output as it arrives. Returns the job's exit code, or 0 once it is submitted
    if `follow` is False.
    Ctrl-C asks `may_stop` whether to stop the job as well.
    `files`: files that the recipe names (pipelines, own steps), uploaded with a recipe from outside the project.
    Raises: ConfigError if there is no such recipe or no cluster answers.
    """
    root = project_root()
    path = recipe.resolve()
    if not path.is_file():
        raise ConfigError(str(recipe), "no such file", "check the path; shipped recipes are in recipes/")
    with contextlib.ExitStack() as stack:
        directory, name = root, str(path)
        if path.is_relative_to(root):
            name = path.relative_to(root).as_posix()
        elif not in_place:
            _connect(address)  # before anything is copied
            directory, name = stack.enter_context(staged(root, path, files))
        command = ["python", "-m", "dclm.cli.main", "run", name, "--out", out, "--on", "ray", *arguments]
        return run_job(
            command, address, write=write, directory=directory, upload=not in_place, follow=follow, may_stop=may_stop
        )


def project_root() -> Path:
    """The directory that contains the `dclm` package, its recipes, pipelines and tasks."""
    return Path(dclm.__file__).resolve().parent.parent


def run_job(
    command: Sequence[str],
    address: str,
    *,
    write: Write,
    directory: Path | None = None,
    upload: bool = True,
    follow: bool = True,
    may_stop: Callable[[], bool] = lambda: False,
) -> int:
    """Run `command` on the cluster's head node, in `directory` or (`upload`) in a copy of it. See `submit`."""
    client = _connect(address)
    runtime: dict[str, Any] = {}
    entrypoint = shlex.join(command)
    if directory and upload:
        runtime = {"working_dir": str(directory), "excludes": list(_EXCLUDED)}
    elif directory:
        entrypoint = f"cd {shlex.quote(str(directory))} && exec {entrypoint}"
    job = client.submit_job(entrypoint=entrypoint, runtime_env=runtime)
    write(f"job {job} at {address}\n")
    if not follow:
        return 0
    left = f"job {job} is still running; to stop it: dclm jobs stop {job} --address {address}"
    try:
        return _follow(client, job, write)
    except Stopped as error:
        raise Stopped(error.number, left) from None
    except KeyboardInterrupt:
        if not may_stop():
            write(f"{left}\n")
        else:
            stop_job(job, address)
            write(f"job {job} is stopped\n")
        return INTERRUPTED


def _connect(address: str) -> JobSubmissionClient:
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if not address.startswith(("http://", "https://")):
        raise ConfigError(address, "not the address of a dashboard", "such as http://127.0.0.1:8265")
    try:
        with _without_overrides():
            return JobSubmissionClient(address)
    except (ConnectionError, RuntimeError) as error:
        what = f"no Ray cluster accepts jobs there ({str(error).splitlines()[0][:120]})"
        raise ConfigError(address, what, "start one with `make cluster-up`, or check --address") from None


@contextlib.contextmanager
def _without_overrides() -> Iterator[None]:
    """Hide the variables that Ray would prefer to the given address: the user's option overrides the environment."""
    hidden = {name: os.environ.pop(name) for name in _OVERRIDES if name in os.environ}
    try:
        yield
    finally:
        os.environ.update(hidden)


def stop_job(job: str, address: str) -> bool:
    """Stop a job and wait until it has ended; False if it had already ended.

    Raises: ConfigError if there is no such job.
    """
    client = _connect(address)
    try:
        stopped = bool(client.stop_job(job))
    except RuntimeError as error:
        what = f"cannot be stopped: {str(error).splitlines()[0][:120]}"
        raise ConfigError(f"job {job} at {address}", what, "check the job's name and --address") from None
    while not client.get_job_status(job).is_terminal():
        time.sleep(_POLL_SECONDS)
    return stopped


class ClusterJob(NamedTuple):
    """A job of the cluster. Times are in UTC, ISO 8601; None for events that have not happened."""

    id: str
    status: str
    started: str | None
    ended: str | None
    command: str


def list_jobs(address: str) -> list[ClusterJob]:
    """All jobs that were submitted to the cluster, the newest first. Raises: ConfigError if no cluster answers."""
    found = [job for job in _connect(address).list_jobs() if job.submission_id is not None]
    found.sort(key=lambda job: job.start_time or 0, reverse=True)
    return [
        ClusterJob(str(j.submission_id), j.status.lower(), _time(j.start_time), _time(j.end_time), j.entrypoint)
        for j in found
    ]


def _time(milliseconds: int | None) -> str | None:
    if not milliseconds:
        return None
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).isoformat(timespec="seconds")


def job_logs(job: str, address: str) -> str:
    """The job's output so far. Raises: ConfigError if there is no such job."""
    client = _connect(address)
    with _no_such_job(job, address):
        return str(client.get_job_logs(job))


def follow_job(job: str, address: str, write: Write) -> int:
    """Forward the job's output until it ends; returns its exit code. Raises: ConfigError if there is no such job."""
    client = _connect(address)
    with _no_such_job(job, address):
        client.get_job_status(job)
    return _follow(client, job, write)


@contextlib.contextmanager
def _no_such_job(job: str, address: str) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        what = f"cannot be read: {str(error).splitlines()[0][:120]}"
        raise ConfigError(f"job {job} at {address}", what, "`dclm jobs list` shows them all") from None


def _follow(client: JobSubmissionClient, job: str, write: Write) -> int:
    """Print the job's output until it ends. If the stream is interrupted, the rest is fetched when the job is done."""
    printed = 0

    async def tail() -> None:
        nonlocal printed
        async for text in client.tail_job_logs(job):
            printed += len(text)
            write(text)

    try:
        asyncio.run(tail())
    except (OSError, RuntimeError) as error:
        write(f"(output interrupted: {error}; the job continues)\n")
    while not client.get_job_status(job).is_terminal():
        time.sleep(_POLL_SECONDS)
    write(client.get_job_logs(job)[printed:])
    info = client.get_job_info(job)
    if info.status == JobStatus.SUCCEEDED:
        return 0
    if info.driver_exit_code is None:
        write(f"job {job} {info.status.lower()}: {info.message}\n")
    return info.driver_exit_code or 1
