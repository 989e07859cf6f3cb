"""The same bytes on any engine and after any number of kills; each GPU worker has its own GPU."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from eval_tasks import ROWS, evaluate_and_die
from eval_workers import gpu_and_process

from dclm.core.record import read_record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.engine import open_engine
from dclm.engine.local import LocalEngine, visible_gpus
from dclm.eval.run.plan import workers_that_fit
from dclm.eval.run.stage import evaluate

FILES = ("items.parquet", "scores.json")


@pytest.fixture
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lets worker processes import the functions of these tests."""
    here = str(Path(__file__).parent)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]))


@pytest.fixture
def run(model: str, tasks: Path, tmp_path: Path) -> Callable[[str, Engine], list[bytes]]:
    """Scores everything with an engine; returns the bytes of the result."""

    def score(name: str, engine: Engine) -> list[bytes]:
        evaluate(model, tmp_path / name, tasks=tuple(ROWS), device="cpu", folder=tasks, engine=engine)
        return [(tmp_path / name / file).read_bytes() for file in FILES]

    return score


@pytest.mark.slow
def test_every_engine_gives_the_same_bytes(run: Callable[[str, Engine], list[bytes]]) -> None:
    serial = run("serial", SerialEngine())
    assert run("two", LocalEngine(2)) == serial
    with open_engine("ray", 2) as engine:
        assert run("ray", engine) == serial


def test_threads_of_the_machine_change_nothing(run: Callable[[str, Engine], list[bytes]]) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = run("one", SerialEngine())
        torch.set_num_threads(2)
        assert run("many", SerialEngine()) == one
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@pytest.mark.slow
@pytest.mark.usefixtures("importable")
def test_a_run_that_is_killed_twice_goes_on_where_it_was(
    model: str, tasks: Path, tmp_path: Path, run: Callable[[str, Engine], list[bytes]]
) -> None:
    out = tmp_path / "killed"
    for finished in (4, 7):
        left = finished - len(list(out.rglob("*.parquet")))
        process = multiprocessing.get_context("spawn").Process(target=evaluate_and_die, args=(model, out, tasks, left))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        assert not (out / "record.json").exists()
        assert len(list(out.rglob("*.parquet"))) == finished
    assert run("killed", SerialEngine()) == run("whole", SerialEngine())
    assert not (out / ".work").exists()
    counts = [read_record(tmp_path / name).counts for name in ("killed", "whole")]
    assert counts[0] == counts[1]
    assert counts[0]["tokens_forwarded"]


@pytest.mark.usefixtures("importable")
def test_a_local_worker_sees_one_gpu_that_no_other_sees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-f00")
    assert visible_gpus() == ("3", "GPU-f00")
    seen = [result for _, result in LocalEngine(8).map(gpu_and_process, range(12), one_gpu_each=True)]
    assert {gpu for gpu, _ in seen} <= {"3", "GPU-f00"}
    assert len(set(seen)) == len({gpu for gpu, _ in seen}) == len({process for _, process in seen})
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "3,GPU-f00"


@pytest.mark.slow
@pytest.mark.usefixtures("importable")
def test_a_ray_task_sees_one_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPUs are only declared: Ray assigns them without checking that they exist."""
    import ray

    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    ray.init("local", num_cpus=2, num_gpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        with open_engine("ray") as engine:
            results = [result for _, result in engine.map(gpu_and_process, range(4), one_gpu_each=True)]
    finally:
        ray.shutdown()
    assert {gpu for gpu, _ in results} <= {"0", "1"}
    assert len({process for _, process in results}) == len({gpu for gpu, _ in results})  # models are loaded once


def test_as_many_workers_as_fit_into_memory(model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.cpu_count", lambda: 6)
    assert workers_that_fit(model) == 6
    monkeypatch.setattr("os.sysconf", lambda name: 1)
    assert workers_that_fit(model) == 1
