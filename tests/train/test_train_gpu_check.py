"""The script for a GPU, run with tiny shapes on the CPU: what it would measure there exists and is complete."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.bench import gpu_check
from tests.bench.gpu_check import ROOT, Shapes, run_one, sections

DRY = Shapes(dry=True)


def test_a_dry_run_fills_in_what_is_reported_for_a_scale() -> None:
    (scale,) = DRY.scales
    found = gpu_check.train(DRY, scale)
    assert found["tokens_per_second"] > 0
    assert found["plain_tokens_per_second"] > 0
    assert len(found["losses"]) == len(found["plain_losses"]) == 4
    assert found["loss_gap"] <= found["allowed_gap"]
    assert found["time"].keys() >= {"products", "attention", "optimizer", "idle"}
    assert 0 < sum(found["time"].values()) < 1.5
    assert found["mfu"] is None
    json.dumps(found)


def test_documents_are_scored_in_a_dry_run() -> None:
    found = gpu_check.lm_score(DRY)
    assert (found["documents"], found["tokens"]) == (4, 80)
    assert found["documents_per_second"] > 0


def test_a_gpu_gets_both_scales_and_no_time_is_spent_beyond_the_limit() -> None:
    assert [scale.name for scale in Shapes(dry=False).scales] == ["411m_1x", "1b_1x"]
    assert list(sections(Shapes(dry=False))) == [
        "environment", "cuda_tests", "train 411m_1x", "train 1b_1x", "evaluate", "lm_score",
    ]  # fmt: skip
    assert run_one("lm_score", DRY, left=3.0) == {"not_run": "3 s were left"}


def test_a_section_that_fails_says_why() -> None:
    found = run_one("train nothing", DRY, left=100.0)
    assert "KeyError" in found["not_run"]


def test_the_script_hands_its_arguments_on(tmp_path: Path) -> None:
    recorded = tmp_path / "python"
    recorded.write_text('#!/bin/sh\necho "$@"\n')
    recorded.chmod(0o755)
    script = ROOT / "tests" / "bench" / "gpu_check.sh"
    environment = {**os.environ, "PYTHON": str(recorded)}
    done = subprocess.run(
        [script, "--dry-run", "--out", "x.json"], check=True, capture_output=True, text=True, env=environment
    )
    assert done.stdout.split() == ["-m", "tests.bench.gpu_check", "--dry-run", "--out", "x.json"]


@pytest.mark.shared
def test_both_backends_score_the_same_in_a_dry_run(shared: Path) -> None:
    found = gpu_check.evaluate(DRY)
    assert found.keys() == {"arc_easy", "hellaswag"}
    assert all(line["times_faster"] > 0 for line in found.values())
