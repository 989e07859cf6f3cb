"""Jobs are sent to the user's address, and Ctrl-C on `dclm submit` reports what is still running."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import pytest
from ray.job_submission import JobStatus

from dclm.cli.cluster import _may_stop, usual_address
from dclm.core.errors import ConfigError
from dclm.core.stages.stopping import Stopped
from dclm.engine import jobs
from dclm.engine.cluster import LocalCluster


class Client:
    """A cluster that has one job, which is interrupted when its output is read."""

    interrupt: type[BaseException] | BaseException = KeyboardInterrupt
    status = JobStatus.RUNNING

    def __init__(self, address: str) -> None:
        self.address = address

    def submit_job(self, **given: Any) -> str:
        return "raysubmit_x"

    async def tail_job_logs(self, job: str) -> AsyncIterator[str]:
        yield "output\n"
        raise self.interrupt

    def stop_job(self, job: str) -> bool:
        type(self).status = JobStatus.STOPPED
        return True

    def get_job_status(self, job: str) -> JobStatus:
        return self.status


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    made = type("Fresh", (Client,), {})
    monkeypatch.setattr(jobs, "JobSubmissionClient", made)
    return made


def submit(said: list[str], stop: bool) -> int:
    return jobs.run_job(["true"], "http://h:1", write=said.append, may_stop=lambda: stop)


def test_a_job_that_is_left_is_named_with_how_to_stop_it(client: type[Client]) -> None:
    said: list[str] = []
    assert submit(said, stop=False) == 130
    assert "job raysubmit_x is still running" in said[-1]
    assert "dclm jobs stop raysubmit_x --address http://h:1" in said[-1]
    assert client.status == JobStatus.RUNNING


def test_a_job_is_stopped_when_that_is_wanted(client: type[Client]) -> None:
    said: list[str] = []
    assert submit(said, stop=True) == 130
    assert client.status == JobStatus.STOPPED
    assert said[-1] == "job raysubmit_x is stopped\n"


def test_a_signal_leaves_the_job_and_says_so(client: type[Client]) -> None:
    client.interrupt = Stopped(15)
    with pytest.raises(Stopped, match="is still running; to stop it") as stopped:
        submit([], stop=True)
    assert stopped.value.exit_code == 143
    assert client.status == JobStatus.RUNNING


def test_nobody_is_asked_where_there_is_no_terminal() -> None:
    assert not _may_stop()


@pytest.mark.parametrize("name", ["RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"])
def test_an_explicit_address_beats_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """With Ray's own client: neither port has a server, and the error names the one that was tried."""
    monkeypatch.setenv(name, "http://127.0.0.1:1")
    with pytest.raises(ConfigError) as found:
        jobs.run_job(["true"], "http://127.0.0.1:2", write=lambda text: None)
    assert "127.0.0.1:2" in found.value.problems[0].what
    assert os.environ[name] == "http://127.0.0.1:1"


def test_the_environment_beats_what_nobody_said(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    local = LocalCluster(pid=1, started=1, address="http://local", gcs="", log="")
    assert usual_address(None) == "http://127.0.0.1:8265"
    assert usual_address(local) == "http://local"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")  # of the cluster, not of its dashboard
    assert usual_address(local) == "http://local"
    monkeypatch.setenv("RAY_ADDRESS", "http://two")
    assert usual_address(local) == "http://two"
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://one")
    assert usual_address(local) == "http://one"
