"""Scaling fits and compute multipliers: planted ones are found, intervals hold, extrapolation is marked."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from made_records import MadeRun, write_table

from dclm.cli.main import dclm
from dclm.core.errors import ConfigError, DataError
from dclm.science.predict.records import read_table
from dclm.science.scaling.draw import draw_scaling
from dclm.science.scaling.fit import Observation, fit_scaling
from dclm.science.scaling.pairs import hold_out_largest, project
from dclm.science.scaling.sources import from_points, from_records

FLOPS = (1e19, 1e20, 1e21)


def world(noise: float, rng: np.random.Generator, slope: float = 0.09, multiple: float = 3.0) -> list[Observation]:
    """`good` needs a third of the FLOPs of `base` for the same score."""
    return [
        Observation(
            corpus=corpus,
            flops=flops,
            value=slope * math.log10(flops * times / 1e18) + noise * rng.normal(),
            seed=seed,
        )
        for seed in (1, 2)
        for corpus, times in (("base", 1.0), ("good", multiple))
        for flops in FLOPS
    ]


def test_a_planted_multiplier_is_found_at_either_sign_of_the_slope() -> None:
    for slope in (0.09, -0.07):  # a score, and the logarithm of a loss
        found = fit_scaling(world(0.0, np.random.default_rng(0), slope), "base")
        assert found.slope == pytest.approx(slope)
        assert found.multipliers[0].value == pytest.approx(3.0)
        assert found.r2 == pytest.approx(1.0)
        assert [line.slope for line in found.lines] == pytest.approx([slope, slope])


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        (m,) = fit_scaling(world(0.02, rng), "base").multipliers
        assert m.low is not None
        assert m.high is not None
        assert m.low < m.value < m.high
        held += m.low <= 3.0 <= m.high
    assert 0.92 < held / 400 < 0.98


def test_a_slope_that_may_be_zero_gives_no_bounds() -> None:
    (m,) = fit_scaling(world(0.5, np.random.default_rng(1), slope=0.001), "base").multipliers
    assert m.value is None
    assert (m.low, m.high) == (None, None)


def test_what_the_baseline_was_not_run_at_is_extrapolated() -> None:
    runs = world(0.0, np.random.default_rng(0))
    assert fit_scaling(runs, "base").multipliers[0].extrapolated  # 3e21 against runs up to 1e21
    back = fit_scaling(runs, "good").multipliers[0]
    assert back.value == pytest.approx(1 / 3)
    assert not back.extrapolated
    small = [o for o in runs if o.corpus == "base" or o.flops < 1e21]
    assert not fit_scaling(small, "base").multipliers[0].extrapolated


def test_slopes_that_differ_are_noticed() -> None:
    rng = np.random.default_rng(4)
    same = fit_scaling(world(0.01, rng), "base").p_slopes_equal
    steeper = [
        Observation(corpus="steep", flops=f, value=0.2 * math.log10(f / 1e18) + 0.01 * rng.normal()) for f in FLOPS * 2
    ]
    different = fit_scaling([*world(0.01, rng), *steeper], "base").p_slopes_equal
    assert same is not None
    assert different is not None
    assert different < 0.001 < same


def test_too_few_runs_are_refused_or_left_null() -> None:
    one = Observation(corpus="a", flops=1e19, value=0.1)
    with pytest.raises(ConfigError, match="too few to fit"):
        fit_scaling([one, Observation(corpus="a", flops=1e20, value=0.2)], "a")
    with pytest.raises(ConfigError, match="found no run of it"):
        fit_scaling([one], "b")
    runs = [*world(0.01, np.random.default_rng(0)), one]
    line = next(line for line in fit_scaling(runs, "base").lines if line.corpus == "a")
    assert (line.slope, line.slope_low, line.r2) == (None, None, None)
    two = [*runs, Observation(corpus="a", flops=1e20, value=0.2)]
    line = next(line for line in fit_scaling(two, "base").lines if line.corpus == "a")
    assert (line.slope, line.slope_low, line.r2) == (pytest.approx(0.1), None, None)


def test_the_largest_runs_are_predicted_from_the_smaller_ones() -> None:
    rng = np.random.default_rng(8)
    (h,) = hold_out_largest(world(0.001, rng))
    assert (h.a, h.b, h.at_flops) == ("base", "good", 1e21)
    assert h.measured is not None
    assert h.low < h.measured < h.high
    assert h.p_a_above < 0.05
    assert h.held
    changed = [
        Observation(
            corpus=o.corpus, flops=o.flops, seed=o.seed, value=o.value + (o.corpus == "base") * (o.flops == 1e21)
        )
        for o in world(0.001, np.random.default_rng(8))
    ]
    (after,) = hold_out_largest(changed)
    assert after.p_a_above == h.p_a_above  # the largest runs have no influence
    assert not after.held
    assert hold_out_largest([o for o in changed if o.flops != 1e19]) == []


def test_larger_compute_is_projected_and_marked() -> None:
    runs = world(0.001, np.random.default_rng(6))
    (inside,), (beyond,) = project(runs, 1e20), project(runs, 1e24)
    assert (inside.verdict, inside.extrapolated, inside.held) == ("b above", False, None)
    assert beyond.extrapolated
    assert beyond.high - beyond.low > inside.high - inside.low
    assert inside.difference == pytest.approx(-0.09 * math.log10(3), abs=0.003)
    (close,) = project(world(0.05, np.random.default_rng(6), multiple=1.01), 1e22)
    assert close.verdict == "too close to say"


def test_an_experiments_points_are_read_at_its_own_rates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [
        {
            "recipe": recipe, "parameters": n, "tokens": 20 * n, "seed": seed, "learning_rate": rate,
            "weight_decay": 1.0, "bits_per_byte": worse * 5 * (120.0 * n * n) ** -0.05 * (1 + 0.001 * seed),
        }
        for recipe, worse in (("raw", 1.1), ("clean", 1.0))
        for n in (1000, 4000, 16000)
        for seed in (1, 2)
        for rate in (1.0, 2.0)
    ]  # fmt: skip
    path = tmp_path / "points.json"
    path.write_text(json.dumps({"points": points}))
    assert len(from_points(path)) == 12
    command = ["scaling", "--points", str(path), "--baseline", "raw", "--hold-out", "--at", "1e15"]
    dclm.main([*command, "--json", "--plot", str(tmp_path / "s.svg")], standalone_mode=False)
    found = json.loads(capsys.readouterr().out)
    assert found["slope"] == pytest.approx(-0.05)
    assert found["multipliers"][0]["value"] == pytest.approx(1.1 ** (1 / 0.05), rel=0.01)
    assert [h["a"] for h in found["held_out"]] == [h["a"] for h in found["projected"]] == ["raw"]
    assert (tmp_path / "s.svg").read_text().count("<circle") == 12 + 2
    dclm.main(command, standalone_mode=False)
    said = capsys.readouterr().out
    assert "a above; held" in said
    assert "at 1e+15 FLOPs" in said
    with pytest.raises(ConfigError, match="allowed: one or the other"):
        dclm.main([*command, "--metric", "piqa"], standalone_mode=False)
    for text, message in (("{", "not JSON"), ("{}", "found no points"), ('{"points": [1]}', "allowed: an object")):
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            from_points(path)


def test_runs_in_unusual_designs_are_left_out(tmp_path: Path) -> None:
    runs = [MadeRun(corpus=c, scale=s, quality=q) for c, q in (("a", 0.0), ("b", 0.02)) for s in ("400m", "1b", "7b")]
    runs.append(MadeRun(corpus="a", scale="1b", quality=0.3, rate="0p1"))
    read = read_table(write_table(tmp_path / "evals.csv", runs))
    found = from_records(read)
    assert len(found) == 6
    assert [o.value for o in from_records(read, "piqa", ["b"])] == pytest.approx([0.17, 0.27, 0.38])
    with pytest.raises(ConfigError, match="allowed: core"):
        from_records(read, "pika")
    scaled = fit_scaling(found, "a")
    assert draw_scaling(scaled, found, "core", "<t>") == draw_scaling(scaled, found, "core", "<t>")
    assert "<t>" not in draw_scaling(scaled, found, "core", "<t>")


@pytest.mark.shared
def test_published_corpora_over_refinedweb(shared: Path) -> None:
    runs = read_table(shared / "results" / "evals.csv")
    found = fit_scaling(from_records(runs), "rw_original")
    best = found.multipliers[0]
    assert best.corpus == "rw_v2_cc_v3_f0.15_resiliparse_fasttext_openhermes_reddit_eli5_vs_rw_v2_bigram_200k_train_0.1"
    assert best.low is not None
    assert 2 < best.value < 6
    assert best.low > 1
    assert best.extrapolated
    assert found.r2 > 0.95
