"""Differences of recipes with a known truth: how often the interval contains it, with and without luck of seeds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from dclm.eval.statistics.difference import Difference, difference
from dclm.eval.statistics.stats import Score, TaskItems, task_score

ITEMS = 200
REPEATS = 800


def score(correct: np.ndarray, cluster: np.ndarray | None = None) -> Score:
    count = len(correct)
    where = np.arange(count) if cluster is None else cluster
    return task_score(TaskItems(values=correct.astype(np.float64), category=np.zeros(count, np.int32), cluster=where))


def trial(generator: np.random.Generator, runs: tuple[int, int], luck: float, better: float) -> Difference:
    """Two recipes on the same new items; `luck` is the standard deviation of a seed's level."""
    easy = generator.uniform(-0.25, 0.25, ITEMS)

    def group(count: int, level: float) -> list[Score]:
        seeds = generator.normal(0.0, luck, count)
        return [score(generator.random(ITEMS) < 0.45 + level + easy + seed) for seed in seeds]

    return difference(group(runs[0], 0.0), group(runs[1], better))


def coverage(runs: tuple[int, int], luck: float, better: float = 0.05) -> float:
    generator = np.random.default_rng(17)
    found = [trial(generator, runs, luck, better) for _ in range(REPEATS)]
    return sum(d.low <= better <= d.high for d in found if d.low is not None and d.high is not None) / REPEATS


SAMPLING = 3 * math.sqrt(0.95 * 0.05 / REPEATS)


@pytest.mark.parametrize("runs", [(2, 2), (3, 3), (1, 4)])
@pytest.mark.parametrize("luck", [0.0, 0.02, 0.06])
def test_an_interval_from_several_seeds_holds_the_truth_as_often_as_it_says(runs: tuple[int, int], luck: float) -> None:
    assert coverage(runs, luck) >= 0.95 - SAMPLING


def test_an_interval_of_two_models_holds_the_truth_where_seeds_have_no_luck() -> None:
    assert coverage((1, 1), 0.0) == pytest.approx(0.95, abs=SAMPLING)


def test_one_run_of_each_cannot_speak_for_recipes() -> None:
    assert coverage((1, 1), 0.06) < 0.7


def test_an_interval_is_not_wider_than_it_must_be() -> None:
    assert coverage((5, 5), 0.06) == pytest.approx(0.95, abs=SAMPLING)


def test_what_is_detectable_is_found_four_times_in_five() -> None:
    generator = np.random.default_rng(5)
    size = float(np.mean([trial(generator, (1, 1), 0.0, 0.0).detectable or 0.0 for _ in range(50)]))
    found = sum((trial(generator, (1, 1), 0.0, size).low or 0.0) > 0.0 for _ in range(REPEATS)) / REPEATS
    assert found == pytest.approx(0.8, abs=4 * math.sqrt(0.16 / REPEATS))


def test_probabilities_are_right_as_often_as_they_say() -> None:
    """If the truth is drawn around zero, about 80 % of the cases stated as better with 80 % really are."""
    generator = np.random.default_rng(6)
    said, true = [], []
    for _ in range(REPEATS):
        better = float(generator.uniform(-0.2, 0.2))
        said.append(trial(generator, (1, 1), 0.0, better).probability or 0.0)
        true.append(better > 0.0)
    sure = np.array([0.6 < p < 0.95 for p in said])
    assert np.array(true)[sure].mean() == pytest.approx(np.array(said)[sure].mean(), abs=0.12)


def test_runs_that_differ_by_luck_with_items_alone_are_not_counted_twice() -> None:
    generator = np.random.default_rng(7)
    found = [trial(generator, (4, 4), 0.0, 0.0) for _ in range(200)]
    true = float(np.std([d.value for d in found]))
    assert float(np.mean([d.standard_error or 0.0 for d in found])) == pytest.approx(true, rel=0.25)
