"""Shares of sources are exact, and copies have the right content."""

from __future__ import annotations

import itertools
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.tokens.mixture import CopyUnit, apportion, copies_of, plan_copies, shares, write_copies
from dclm.tokens.runs import SortedRun, row_keys, write_run

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)


def written(unit: CopyUnit) -> list[SortedRun]:
    write_copies(unit)
    return copies_of(unit)


def rows_of(run: SortedRun) -> list[int]:
    return [int(row[0]) for row in run.select(np.arange(run.num_rows), 1, "uint16")]


@given(WEIGHTS, st.integers(0, 10**9))
def test_apportioned_numbers_sum_to_the_total_and_are_within_one_of_their_share(
    weights: list[float], total: int
) -> None:
    exact = [Fraction(w) for w in weights]
    parts = apportion(exact, total)
    assert sum(parts) == total
    assert all(abs(part - w * total / sum(exact)) < 1 for part, w in zip(parts, exact, strict=True))


@given(st.lists(st.tuples(st.integers(1, 5000), st.floats(0.01, 100)), min_size=1, max_size=5), st.floats(1, 4))
@settings(max_examples=200)
def test_without_a_total_the_scarcest_source_decides(sources: list[tuple[int, float]], repeats: float) -> None:
    available, weights = [n for n, _ in sources], [w for _, w in sources]
    names = [str(i) for i in range(len(sources))]
    limits = [int(n * Fraction(repeats)) for n in available]
    taken = shares(available, names, weights=weights, limits=limits)
    assert all(t <= m for t, m in zip(taken, limits, strict=True))
    possible = min(m * sum(map(Fraction, weights)) / Fraction(w) for m, w in zip(limits, weights, strict=True))
    assert possible - len(sources) - 1 < sum(taken) <= possible


def test_all_of_everything_is_the_default() -> None:
    assert shares([3, 0, 5], ["a", "b", "c"], limits=[3, 0, 5]) == (3, 0, 5)


def test_a_source_that_is_too_small_is_named() -> None:
    with pytest.raises(ConfigError, match=r"50 sequences are needed from small, which has 10; allowed: 1 passes"):
        shares([90, 10], ["large", "small"], weights=[1, 1], total=100, limits=[90, 10])


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="leave no sequence"):
        shares([3, 3], ["a", "b"], weights=[1, 1], limits=[0, 0])


def test_a_source_without_a_sequence_is_named() -> None:
    with pytest.raises(ConfigError, match="found no sequences in empty"):
        shares([3, 0], ["full", "empty"], weights=[1, 1], limits=[3, 0])


@pytest.mark.parametrize("weights", [[0.0, 1.0], [float("nan"), 1.0], [1.0]])
def test_weights_must_be_positive_and_one_each(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="one positive number for each"):
        shares([1, 1], ["a", "b"], weights=weights, limits=[1, 1])


@pytest.mark.parametrize("take", [0, 1, 37, 159, 160, 161, 250, 500])
def test_every_row_is_taken_as_often_as_the_others_or_once_more(tmp_path: Path, take: int) -> None:
    """Of the 100 rows of three runs, those of the second and third count twice and once more in a pass."""
    runs, start = [], 0
    for index, (size, times) in enumerate([(60, 1), (7, 3), (33, 2)]):
        rows = np.arange(start, start + size, dtype=np.uint16).reshape(size, 1)
        write_run(tmp_path / f"run{index}", row_keys(0, str(index), 0, size), rows, "uint16")
        runs.append(SortedRun(path=str(tmp_path / f"run{index}"), num_rows=size, times=times))
        start += size
    available = 60 + 21 + 66
    plan = plan_copies(runs, take, source=0, seed=5, work=str(tmp_path / "mix"), identity="x")
    chosen = [*plan.whole, *(run for unit in plan.units for run in written(unit))]
    counted = Counter(row for run in chosen for row in rows_of(run))
    assert sum(counted.values()) == take
    assert len(counted) == plan.distinct
    for first, size, times in ((0, 60, 1), (60, 7, 3), (67, 33, 2)):
        found = [counted[row] for row in range(first, first + size)]
        assert max(found) - min(found) <= 1
        assert abs(sum(found) - take * size * times / available) < 1
    for run in chosen:
        assert np.all(np.diff(run.keys().astype(object)) >= 0)


@pytest.mark.parametrize(("times", "extra"), [(2, 0), (3, 0), (5, 0), (1, 100), (3, 100)])
def test_copies_of_a_row_are_far_apart_and_in_another_order_each_time(tmp_path: Path, times: int, extra: int) -> None:
    size = 500
    rows = np.arange(size, dtype=np.uint16).reshape(size, 1)
    write_run(tmp_path / "run", row_keys(0, "x", 0, size), rows, "uint16")
    run = SortedRun(path=str(tmp_path / "run"), num_rows=size)
    plan = plan_copies([run], size * times + extra, source=0, seed=5, work=str(tmp_path / "mix"), identity="x")
    copies = [copy for unit in plan.units for copy in written(unit)]
    keys: dict[int, list[float]] = {}
    for copy in copies:
        for row, key in zip(rows_of(copy), np.asarray(copy.keys()), strict=True):
            keys.setdefault(row, []).append(int(key) / 2**64)
    assert sorted(map(len, keys.values())) == [times] * (size - extra) + [times + 1] * extra
    for found in keys.values():
        if len(found) > 1:
            assert min(np.diff(sorted(found))) >= 1 / (2 * len(found)) - 1e-12
    spread = np.histogram([key for found in keys.values() for key in found], bins=10, range=(0, 1))[0]
    expected = sum(spread) / 10
    assert float(((spread - expected) ** 2 / expected).sum()) < 30  # 9 degrees of freedom: one in 2,000 exceeds it
    followers = [set(itertools.pairwise(order)) for order in map(rows_of, copies[:times])]
    if times > 1:
        assert len(followers[0] & followers[1]) < size / 10
