"""kill -9 at any moment, then the same command again: the same bytes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dclm.pool.sample import make_sample

PIPELINE = """
name: kill
steps:
  - extract: {with: resiliparse}
  - page_length: {of: word, min: 20}
  - exact: {of: text}
  - minhash: {ngram: 5, bands: 9, rows: 5, seed: 1, verify: 0.6}
  - bloom: {mode: paragraph, min_ngram: 5, max_ngram: 5, threshold: 0.8, fp_rate: 0.001, partitions: 2}
  - random_sampling: {keep_fraction: 0.7}
"""


def start(pipeline: Path, pool: Path, out: Path, on: str, workers: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dclm.cli.main", "curate", str(pipeline), "--pool", str(pool), "--out", str(out)]
    command += ["--on", on, "--workers", str(workers), "--seed", "7", "--allow-incomplete"]
    return subprocess.Popen(command, stderr=subprocess.PIPE, start_new_session=True)


def finish(process: subprocess.Popen[bytes]) -> None:
    _, error = process.communicate(timeout=500)
    assert process.returncode == 0, error.decode()


def files(out: Path) -> dict[str, str]:
    return {f["path"]: f["sha256"] for f in json.loads((out / "record.json").read_text())["files"]}


def kill_after(process: subprocess.Popen[bytes], out: Path, units: int) -> bool:
    """SIGKILL the whole group once so many units are committed; False if the run ended first."""
    while process.poll() is None:
        committed = sum("unit.json" in names for _, _, names in os.walk(out / ".work"))
        if committed >= units:
            os.killpg(process.pid, signal.SIGKILL)
            break
    process.communicate()
    return process.returncode == -signal.SIGKILL


@pytest.mark.slow
def test_kill_and_resume_gives_the_same_bytes(tmp_path: Path) -> None:
    pipeline = tmp_path / "kill.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    pool = make_sample(tmp_path / "pool", seed=3, documents=200, files=5)
    finish(start(pipeline, pool, tmp_path / "calm", "local", 1))
    killed = 0
    for units in (0, 1, 4, 7, 15, 30, 45):
        killed += kill_after(start(pipeline, pool, tmp_path / "killed", "local", 4), tmp_path / "killed", units)
        assert not (tmp_path / "killed" / "record.json").exists() or killed == 0
    assert killed >= 5
    finish(start(pipeline, pool, tmp_path / "killed", "local", 4))
    assert files(tmp_path / "calm") == files(tmp_path / "killed")
    assert sorted(p.name for p in (tmp_path / "killed").iterdir()) == sorted(
        p.name for p in (tmp_path / "calm").iterdir()
    )


@pytest.mark.slow
def test_ray_gives_the_same_bytes_as_one_local_worker(tmp_path: Path) -> None:
    pipeline = tmp_path / "kill.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    pool = make_sample(tmp_path / "pool", seed=3, documents=200, files=5)
    finish(start(pipeline, pool, tmp_path / "local", "local", 1))
    kill_after(start(pipeline, pool, tmp_path / "ray", "ray", 2), tmp_path / "ray", 3)
    finish(start(pipeline, pool, tmp_path / "ray", "ray", 2))
    assert files(tmp_path / "local") == files(tmp_path / "ray")
