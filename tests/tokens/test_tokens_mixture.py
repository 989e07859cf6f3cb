"""Shares of sources are exact, and copies hold what they should."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.tokens.mixture import CopyUnit, apportion, copy_of, plan_copies, shares, write_copy
from dclm.tokens.runs import Run, row_keys, write_run

WEIGHTS = st.lists(st.floats(0.01, 100), min_size=1, max_size=6)


def written(unit: CopyUnit) -> Run:
    write_copy(unit)
    return copy_of(unit)


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
    taken = shares(available, names, weights=weights, max_repeats=repeats)
    limits = [int(n * Fraction(repeats)) for n in available]
    assert all(t <= m for t, m in zip(taken, limits, strict=True))
    possible = min(m * sum(map(Fraction, weights)) / Fraction(w) for m, w in zip(limits, weights, strict=True))
    assert possible - len(sources) - 1 < sum(taken) <= possible


def test_all_of_everything_is_the_default() -> None:
    assert shares([3, 0, 5], ["a", "b", "c"]) == (3, 0, 5)


def test_a_source_that_is_too_small_is_named() -> None:
    with pytest.raises(ConfigError, match=r"50 sequences are needed from small, which has 10; allowed: 1 passes"):
        shares([90, 10], ["large", "small"], weights=[1, 1], total=100)


def test_a_mixture_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="no sequence at all"):
        shares([3, 3], ["a", "b"], weights=[1, 1], max_repeats=0.1)


def test_a_source_without_a_sequence_is_named() -> None:
    with pytest.raises(ConfigError, match="found no sequences in empty"):
        shares([3, 0], ["full", "empty"], weights=[1, 1])


@pytest.mark.parametrize("weights", [[0.0, 1.0], [float("nan"), 1.0], [1.0]])
def test_weights_must_be_positive_and_one_each(weights: list[float]) -> None:
    with pytest.raises(ConfigError, match="one positive number for each"):
        shares([1, 1], ["a", "b"], weights=weights)


@pytest.mark.parametrize("take", [0, 1, 37, 99, 100, 101, 250, 300])
def test_every_row_is_taken_as_often_as_the_others_or_once_more(tmp_path: Path, take: int) -> None:
    runs, start = [], 0
    for index, size in enumerate([60, 7, 33]):
        rows = np.arange(start, start + size, dtype=np.uint16).reshape(size, 1)
        write_run(tmp_path / f"run{index}", row_keys(0, str(index), 0, size), rows, "uint16")
        runs.append(Run(path=str(tmp_path / f"run{index}"), num_rows=size))
        start += size
    plan = plan_copies(
        runs, take, source=0, seed=5, row_len=1, dtype="uint16", work=str(tmp_path / "mix"), identity="x"
    )
    chosen = [*plan.whole, *map(written, plan.units)]
    times = Counter(int(row[0]) for run in chosen for row in run.rows(1, "uint16"))
    assert sum(times.values()) == take
    assert all(times[row] in (take // 100, -(-take // 100)) for row in range(100))
    for run in chosen:
        assert np.all(np.diff(run.keys().astype(object)) >= 0)


def test_copies_are_in_another_order_each_time(tmp_path: Path) -> None:
    rows = np.arange(500, dtype=np.uint16).reshape(500, 1)
    write_run(tmp_path / "run", row_keys(0, "x", 0, 500), rows, "uint16")
    run = Run(path=str(tmp_path / "run"), num_rows=500)
    plan = plan_copies(
        [run], 1500, source=0, seed=5, row_len=1, dtype="uint16", work=str(tmp_path / "mix"), identity="x"
    )
    orders = [np.asarray(r.rows(1, "uint16")).ravel() for r in [*plan.whole, *map(written, plan.units)]]
    assert len(orders) == 3
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert abs(np.corrcoef(np.argsort(orders[a]), np.argsort(orders[b]))[0, 1]) < 0.2
