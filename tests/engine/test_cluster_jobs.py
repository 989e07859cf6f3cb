"""A local Ray cluster accepts jobs, returns their output and exit codes, and leaves nothing behind when stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dclm.cli.cluster import cluster as command
from dclm.core.errors import ConfigError
from dclm.engine import cluster as module
from dclm.engine.cluster import LocalCluster, cluster_down, cluster_status, cluster_up
from dclm.engine.jobs import project_root, run_job, submit

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own use of aiohttp


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    state = tmp_path_factory.mktemp("cluster")
    yield state
    cluster_down(state)


@pytest.fixture(scope="module")
def running(state: Path) -> LocalCluster:
    return cluster_up(workers=1, port=0, state=state)


def run(running: LocalCluster, code: str, directory: Path | None = None, upload: bool = True) -> tuple[int, str]:
    said: list[str] = []
    exit_code = run_job(["python", "-c", code], running.address, write=said.append, directory=directory, upload=upload)
    return exit_code, "".join(said)


@pytest.mark.slow
def test_a_jobs_output_and_exit_code_come_back(running: LocalCluster) -> None:
    assert cluster_status(Path(running.log).parent) == running
    exit_code, said = run(running, "import sys; print('one'); print('two'); sys.exit(7)")
    assert exit_code == 7
    assert said.index("one\n") < said.index("two\n")
    assert said.count("two\n") == 1


@pytest.mark.slow
def test_a_job_has_the_projects_files_and_this_cluster(running: LocalCluster) -> None:
    code = (
        "import dclm, ray, pathlib; ray.init(); print('cpus', int(ray.cluster_resources()['CPU']));"
        "here = pathlib.Path.cwd(); print(pathlib.Path(dclm.__file__).is_relative_to(here));"
        "print(sorted(p.name for p in here.iterdir() if p.name in ('recipes', 'tests', 'eval_suite')))"
    )
    exit_code, said = run(running, code, project_root())
    assert exit_code == 0, said
    assert "cpus 1\nTrue\n['eval_suite', 'recipes']\n" in said


@pytest.mark.slow
def test_a_job_may_run_in_the_project_itself(running: LocalCluster, tmp_path: Path) -> None:
    code = "import dclm, pathlib; print(pathlib.Path.cwd(), pathlib.Path(dclm.__file__).parent.parent)"
    exit_code, said = run(running, code, project_root(), upload=False)
    assert exit_code == 0, said
    assert f"{project_root()} {project_root()}\n" in said


@pytest.mark.slow
def test_the_cluster_stops_with_all_its_processes_and_no_other(running: LocalCluster, state: Path) -> None:
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert cluster_up(state=state) == running
    assert len(module._session(running)) > 3
    assert cluster_down(state)
    assert module._session(running) == []
    assert cluster_status(state) is None
    assert not cluster_down(state)
    assert bystander.poll() is None
    bystander.communicate(b"\n")


def write_state(folder: Path, pid: int, started: int) -> None:
    value = {"pid": pid, "started": started, "address": "http://127.0.0.1:9", "gcs": "127.0.0.1:8", "log": "x"}
    (folder / "cluster.json").write_text(json.dumps(value))


def test_a_process_that_got_the_old_number_is_left_alone(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, start_new_session=True)
    write_state(tmp_path, child.pid, started=1)
    assert cluster_status(tmp_path) is None
    assert not cluster_down(tmp_path)
    assert child.poll() is None
    child.communicate(b"\n")


def test_a_process_that_ignores_the_polite_way_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_STOP_SECONDS", 0.2)
    monkeypatch.setattr(module, "_KILL_SECONDS", 0.2)
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, start_new_session=True)
    assert child.stdout is not None
    child.stdout.readline()
    started = module._start_time(child.pid)
    assert started is not None
    write_state(tmp_path, child.pid, started)
    assert cluster_down(tmp_path)
    assert child.wait() == -signal.SIGKILL
    child.stdout.close()


def test_a_taken_port_is_a_clear_error(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(ConfigError, match="is taken"):
            cluster_up(1, other.getsockname()[1], tmp_path)
    assert cluster_status(tmp_path) is None


def test_a_cluster_that_does_not_start_says_why_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.with_name("ray").write_text("#!/bin/bash\necho 'no room for an object store'\nexit 1\n")
    fake.with_name("ray").chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(fake))
    with pytest.raises(module.ClusterError, match="no room for an object store"):
        cluster_up(1, 0, tmp_path / "state")
    assert not (tmp_path / "state" / "cluster.json").exists()


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "127.0.0.1:8265", "ray://head:10001"])
def test_where_no_cluster_answers_the_error_has_three_lines(address: str) -> None:
    recipe = next(iter(sorted((project_root() / "recipes").glob("*.yaml"))))
    with pytest.raises(ConfigError) as caught:
        submit(recipe, address, "/tmp/out", write=print)
    assert len(str(caught.value).splitlines()) == 3
    assert str(caught.value).startswith(address)


def test_a_missing_recipe_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        submit(tmp_path / "none.yaml", "http://127.0.0.1:9", "/tmp/out", write=print)


def test_the_status_of_no_cluster_is_exit_code_one(tmp_path: Path) -> None:
    done = CliRunner().invoke(command, ["status", "--state", str(tmp_path)])
    assert done.exit_code == 1
    assert os.listdir(tmp_path) == []
