"""Fits and comparisons on points with a known truth."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from dclm.science.experiment.robustness import robustness
from dclm.science.experiment.run import Point
from dclm.science.experiment.statistics import differences, estimate, fit_power_law, means

SIZES = (74_080, 230_336, 493_344)
BUDGETS = (1_000_000, 4_000_000)


def point(bits: float, *, recipe: str = "r", parameters: int = 74_080, tokens: int = 1_000_000, seed: int = 1) -> Point:
    return Point(
        recipe=recipe, scale=f"s{parameters}", seed=seed, parameters=parameters, tokens=tokens, bits_per_byte=bits,
        train_loss=1.0, repeated=0.0, fingerprint="f",
    )  # fmt: skip


def grid(noise: float, rng: np.random.Generator, size: float = 0.07, data: float = 0.11) -> list[Point]:
    """Two seeds of each cell, on 30 · N^-size · D^-data with noise in the logarithm."""
    return [
        point(30 * n**-size * d**-data * math.exp(rng.normal(0, noise)), parameters=n, tokens=d, seed=seed)
        for seed in (1, 2)
        for n in SIZES
        for d in BUDGETS
    ]


def test_an_exact_power_law_is_recovered() -> None:
    law = fit_power_law(means(grid(0.0, np.random.default_rng(0))))
    assert law is not None
    assert law.size.value == pytest.approx(0.07)
    assert law.data.value == pytest.approx(0.11)
    assert law.residual == pytest.approx(0, abs=1e-9)
    assert law.predict(1e6, 1e7) == pytest.approx(30 * 1e6**-0.07 * 1e7**-0.11)
    assert law.largest_predicted == pytest.approx(law.largest_measured)


def test_the_intervals_of_the_fit_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(1)
    laws = [fit_power_law(means(grid(0.01, rng))) for _ in range(400)]
    for name, truth in (("size", 0.07), ("data", 0.11)):
        found = [getattr(law, name) for law in laws]
        held = sum(e.low <= truth <= e.high for e in found)
        assert 0.915 * 400 < held < 0.985 * 400


def test_too_small_a_grid_has_no_fit() -> None:
    cells = means(grid(0.01, np.random.default_rng(2)))
    assert fit_power_law([c for c in cells if c.tokens == BUDGETS[0]]) is None
    assert fit_power_law([c for c in cells if c.parameters == SIZES[0]]) is None
    assert fit_power_law([c for c in cells if c.parameters != SIZES[1]][:3]) is None


def test_four_cells_can_be_fitted_and_the_largest_predicted() -> None:
    law = fit_power_law([c for c in means(grid(0.0, np.random.default_rng(3))) if c.parameters != SIZES[1]])
    assert law is not None
    assert law.largest_predicted == pytest.approx(law.largest_measured)


def test_recipes_are_compared_seed_by_seed() -> None:
    luck = {1: 0.5, 2: 0.0, 3: -0.4}
    better = {1: 0.10, 2: 0.11, 3: 0.12}
    points = [
        point(3 + luck[s] - (better[s] if recipe == "new" else 0), recipe=recipe, seed=s)
        for s in luck
        for recipe in ("old", "new")
    ]
    (found,) = differences(points)
    assert (found.worse, found.better) == ("old", "new")
    assert found.each == pytest.approx((0.10, 0.11, 0.12))
    assert found.bits.value == pytest.approx(0.11)
    assert found.bits.standard_error == pytest.approx(0.01 / math.sqrt(3))
    assert found.bits.high == pytest.approx(0.11 + 4.30265 * 0.01 / math.sqrt(3), abs=1e-5)  # t of 2 degrees
    assert found.verdict == "as expected"


@pytest.mark.parametrize(
    ("gaps", "verdict"),
    [((-0.10, -0.11, -0.12), "the other way round"), ((0.1, -0.1, 0.05), "not decided"), ((0.1,), "not decided")],
)
def test_the_verdict_needs_an_interval_without_zero(gaps: tuple[float, ...], verdict: str) -> None:
    points = [point(3.0 - gap * (recipe == "b"), recipe=recipe, seed=seed) for seed, gap in enumerate(gaps)
              for recipe in ("a", "b")]  # fmt: skip
    assert differences(points)[0].verdict == verdict


def test_one_seed_has_no_error_bar() -> None:
    assert dataclasses.astuple(estimate([2.0])) == (2.0, None, None, None)


def rated(gains: dict[float, tuple[float, float]]) -> list[Point]:
    """Two recipes and two seeds at each learning rate; `gains` are the second's, seed by seed."""
    return [
        dataclasses.replace(point(2.0 - gain * (recipe == "b"), recipe=recipe, seed=seed), learning_rate=rate)
        for rate, each in gains.items()
        for seed, gain in enumerate(each)
        for recipe in ("a", "b")
    ]


def test_an_order_that_holds_at_every_rate_survives() -> None:
    (found,) = robustness(rated({0.5: (0.1, 0.2), 1.0: (0.2, 0.3), 2.0: (0.05, 0.06)}))
    assert found.verdict == "survives"
    assert [g.bits.value for g in found.gains] == pytest.approx([0.15, 0.25, 0.055])
    assert robustness(rated({1.0: (0.1, 0.2)})) == []


def test_a_flip_is_named_with_what_decides_it() -> None:
    (sure,) = robustness(rated({0.5: (-0.100, -0.101), 1.0: (0.2, 0.3), 2.0: (0.1, 0.1)}))
    assert sure.verdict == "flips at rate ×0.5 decay ×1"
    (open_,) = robustness(rated({1.0: (0.2, 0.3), 2.0: (-0.2, 0.1)}))
    assert open_.verdict == "flips at rate ×2 decay ×1 (not decided)"
    (turned,) = robustness(rated({1.0: (-0.2, -0.3), 2.0: (-0.2, -0.1)}))
    assert turned.verdict == "survives"  # the order at the scale's own rate, not the one that was expected
