"""How hard to filter: the axis of shares is run as stated, and the fit recovers a planted best share."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest

from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.core.stages.engine import SerialEngine
from dclm.science.experiment.report import write_report
from dclm.science.experiment.run import ExperimentOutcome, Point, run_experiment
from dclm.science.experiment.share import fit_share
from dclm.science.experiment.spec import Experiment, HeldOut, load_experiment

ROOT = Path(__file__).resolve().parent.parent.parent
POOL = 1_000_000
SHARES = (0.03, 0.1, 0.3, 1.0)
CURVE = 0.02


def planted_best(compute: float, passes: float) -> float:
    """Compute makes the best share larger, and so do passes over the pool."""
    return 0.1 * (compute / 1e12) ** 0.2 * passes**0.3


def planted(noise: float, curve: float = CURVE, seeds: int = 2) -> list[Point]:
    rng = np.random.default_rng(7)
    points = []
    for scale, parameters in (("s", 100_000), ("m", 400_000), ("l", 1_600_000)):
        for tokens in (500_000, 2_000_000, 8_000_000):
            for share in SHARES:
                best = planted_best(6.0 * parameters * tokens, tokens / POOL)
                logs = 3 - 0.05 * math.log(parameters) - 0.1 * math.log(tokens)
                logs += curve * (math.log(share / best) ** 2 - math.log(best) ** 2)
                for seed in range(seeds):
                    points.append(
                        Point(
                            recipe=f"cut-keep-{share:g}",
                            scale=scale,
                            seed=seed,
                            parameters=parameters,
                            tokens=tokens,
                            bits_per_byte=math.exp(logs + rng.normal(0, noise)),
                            train_loss=1.0,
                            repeated=0.0,
                            fingerprint="f",
                            share_kept=share,
                            passes=tokens / POOL / share,
                        )
                    )
    return points


def test_a_planted_best_share_is_recovered_with_how_it_moves() -> None:
    (fit,) = fit_share(planted(noise=0.003))
    assert fit.recipe == "cut"
    assert fit.by_compute is not None
    assert fit.by_passes is not None
    assert fit.by_compute[1] <= 0.2 <= fit.by_compute[2]
    assert fit.by_passes[1] <= 0.3 <= fit.by_passes[2]
    assert fit.by_compute[1] > 0
    for cell in fit.cells:
        true = planted_best(cell.compute, cell.passes)
        assert cell.fitted is not None
        assert cell.low is not None
        assert cell.high is not None
        inside = min(max(true, SHARES[0]), SHARES[-1])
        assert cell.low * 0.95 <= inside <= cell.high * 1.05
        assert cell.measured == min(SHARES, key=lambda s: abs(math.log(s / true)))


def test_without_an_effect_nothing_is_decided_and_without_a_lowest_point_nothing_is_claimed() -> None:
    flat = [dataclasses.replace(p, bits_per_byte=3.0 + 0.01 * math.sin(i * 12.9)) for i, p in enumerate(planted(0.0))]
    (fit,) = fit_share(flat)
    assert fit.by_compute is None or fit.by_compute[1] < 0 < fit.by_compute[2]
    (bent,) = fit_share(planted(noise=0.0, curve=-CURVE))
    assert bent.by_compute is None
    assert all(cell.fitted is None and cell.low is None for cell in bent.cells)
    assert fit_share([p for p in planted(0.01) if p.tokens == 500_000]) == []  # compute and passes are the same there
    assert fit_share([dataclasses.replace(p, share_kept=None) for p in planted(0.01)]) == []


def test_the_report_has_the_fit_and_its_picture(tmp_path: Path) -> None:
    outcome = ExperimentOutcome(points=tuple(planted(noise=0.003)), overlaps={})
    held_out = HeldOut(path="held.jsonl", documents=1)
    experiment = Experiment(name="cuts", recipes={"cut": "r.yaml"}, scales=("tiny",), seeds=(1,), held_out=held_out)
    report = write_report(experiment, outcome, tmp_path)
    assert "How hard to filter cut" in report
    assert "The best share is in proportion to compute to the power +0.2" in report
    assert (tmp_path / "share.svg").read_bytes().startswith(b"<?xml")
    first = (tmp_path / "share.svg").read_bytes()
    write_report(experiment, outcome, tmp_path)
    assert (tmp_path / "share.svg").read_bytes() == first


RECIPE = """
name: r
data:
  - pool: {{jsonl: [documents.jsonl], keep: [score]}}
    pipeline: steps.yaml
tokenizer: {tokenizer}
scale: tiny
epochs: 9
tasks: [copa]
"""
EXPERIMENT = """
name: cuts
recipes: {cut: recipe.yaml}
scales: [bytes-74k]
tokens: [20480]
seeds: [1]
share_kept: [0.25, 1]
held_out: {path: documents.jsonl, documents: 3}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    rows = [{"text": " ".join(f"w{n}" for n in rng.integers(0, 50, 150)), "score": i} for i in range(80)]
    (tmp_path / "documents.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    tokenizer = ROOT / "recipes" / "experiments" / "bytes.json"
    (tmp_path / "recipe.yaml").write_text(RECIPE.format(tokenizer=tokenizer), encoding="utf-8")
    steps = "name: steps\nsteps:\n  - quantile: {column: score, keep_top: 0.5}\n"
    (tmp_path / "steps.yaml").write_text(steps, encoding="utf-8")
    (tmp_path / "e.yaml").write_text(EXPERIMENT, encoding="utf-8")
    return tmp_path


def test_each_share_is_curated_and_trained_on(folder: Path) -> None:
    outcome = run_experiment(load_experiment(folder / "e.yaml"), folder / "out", SerialEngine())
    assert [(p.recipe, p.share_kept) for p in outcome.points] == [("cut-keep-0.25", 0.25), ("cut-keep-1", 1.0)]
    for name, kept in (("cut-keep-0.25", 20), ("cut-keep-1", 80)):
        assert read_record(folder / "out" / name / "documents" / "data").counts["kept"] == kept
    few, all_ = (p.passes for p in outcome.points)
    assert few is not None
    assert all_ is not None
    assert few == pytest.approx(4 * all_, rel=0.05)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[0.25, 1]", "[0.25, 1.5]", "`share_kept` has 1.5, allowed: above 0, at most 1"),
        ("[0.25, 1]", "[0.25, 0]", "`share_kept` has 0, allowed"),
        ("[0.25, 1]", "[0.5, 0.5]", "`share_kept` has a value twice"),
    ],
)
def test_wrong_shares_are_told(folder: Path, old: str, new: str, message: str) -> None:
    (folder / "e.yaml").write_text(EXPERIMENT.replace(old, new), encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        load_experiment(folder / "e.yaml")


@pytest.mark.parametrize("steps", ["page_length: {of: word, min: 1}", "quantile: {column: score, keep_bottom: 0.5}"])
def test_a_pipeline_without_a_share_to_vary_is_told(folder: Path, steps: str) -> None:
    (folder / "steps.yaml").write_text(f"name: steps\nsteps:\n  - {steps}\n", encoding="utf-8")
    with pytest.raises(ConfigError, match="found 0 steps `quantile` with `keep_top`, allowed: one"):
        load_experiment(folder / "e.yaml")
