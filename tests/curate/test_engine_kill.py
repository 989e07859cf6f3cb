"""kill -9 at any moment, then the same command again: the same bytes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from engine_kills import Run, exit_code, write_pipeline
from engine_steps import write_lines

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files


def calm_run(work: Path) -> Run:
    """An undisturbed run in this process."""
    run = Run(pipeline=write_pipeline(work), pool=write_lines(work / "pool"), out=work / "calm")
    options = CurateOptions(unit_bytes=0, shard_bytes=0, seed=7)
    record = curate(bind(load_pipeline(run.pipeline)), list_files([str(run.pool)]), run.out, options, SerialEngine())
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    idle = [step["step"] for step in steps if not step["dropped"] and not step["edits"]]
    assert idle == ["read", "extract"]
    return run


def kill_after(run: Run, units: int, workers: int) -> bool:
    """SIGKILL the whole group once this many units are committed; False if the run ended first."""
    process = run.start("local", workers)
    while exit_code(process, wait=0.01) is None:
        if run.committed() >= units:
            os.killpg(process.pid, signal.SIGKILL)
            break
    return process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_kill_and_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    calm = calm_run(tmp_path)
    run = Run(pipeline=calm.pipeline, pool=calm.pool, out=tmp_path / "killed")
    killed = 0
    for units, workers in ((0, 2), (4, 2), (30, 1), (50, 1), (80, 1), (110, 1), (130, 1), (160, 1)):
        if kill_after(run, units, workers):  # not if it reached its end first
            assert not (run.out / "record.json").exists()
            killed += 1
    assert killed >= 6
    assert run.start("local", 1).wait(timeout=500) == 0
    assert run.files() == calm.files()
    assert sorted(p.name for p in run.out.iterdir()) == sorted(p.name for p in calm.out.iterdir())


@pytest.mark.slow
def test_ray_gives_the_same_bytes_as_one_local_worker(tmp_path: Path) -> None:
    """On a cluster that the command itself starts; kills of such runs: test_engine_kills."""
    calm = calm_run(tmp_path)
    run = Run(pipeline=calm.pipeline, pool=calm.pool, out=tmp_path / "ray")
    assert run.start("ray", 2).wait(timeout=500) == 0
    assert run.files() == calm.files()
