"""The global order is a permutation that looks uniform, whatever the bounds on memory."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.tokens import shuffle
from dclm.tokens.runs import SortedRun, count_bins, row_keys, write_run
from dclm.tokens.shuffle import merge, plan_merge


def make_runs(root: Path, sizes: list[int], seed: int = 0) -> list[SortedRun]:
    """Runs whose rows of two tokens encode their position in the input: [i mod 2^16, i div 2^16]."""
    root.mkdir(exist_ok=True)
    runs, start = [], 0
    for index, size in enumerate(sizes):
        places = np.arange(start, start + size)
        rows = np.stack([places % 65536, places // 65536], axis=1).astype(np.uint16)
        write_run(root / f"run{index}", row_keys(seed, f"test\0{index}", 0, size), rows, "uint16")
        runs.append(SortedRun(path=str(root / f"run{index}"), num_rows=size))
        start += size
    return runs


def order(root: Path, runs: list[SortedRun], rows_per_shard: int) -> Any:
    """Origin of each row of the output."""
    (root / "out" / "tokens").mkdir(parents=True, exist_ok=True)
    plan = plan_merge(
        [runs],
        [[sum(run.num_rows for run in runs)]],
        rows_per_shard=rows_per_shard,
        row_len=2,
        dtype="uint16",
        out=str(root / "out"),
        identity="x",
    )
    files = [item for unit in plan for item in merge(unit)["rows"].items()]
    assert all(count == rows_per_shard for _, count in files[:-1])
    rows = np.concatenate([np.fromfile(root / "out" / name, "<u2") for name, _ in files]).reshape(-1, 2)
    return rows[:, 0].astype(np.int64) + rows[:, 1].astype(np.int64) * 65536


@given(sizes=st.lists(st.integers(1, 300), min_size=1, max_size=5), shard=st.integers(40, 200))
@settings(max_examples=10, deadline=None)
def test_it_is_a_permutation_in_order_of_keys(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], shard: int
) -> None:
    root = tmp_path_factory.mktemp("shuffle")
    keys = np.concatenate([row_keys(0, f"test\0{i}", 0, size) for i, size in enumerate(sizes)])
    found = order(root, make_runs(root, sizes), shard)
    assert np.array_equal(found, np.argsort(keys, kind="stable"))


def test_bounds_on_memory_do_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = make_runs(tmp_path, [3000, 1, 2000])
    whole = order(tmp_path / "whole", runs, 64)
    monkeypatch.setattr(shuffle, "GROUP_BYTES", 64 * 2 * 2 * 3)
    assert np.array_equal(whole, order(tmp_path / "parts", runs, 64))


def test_equal_keys_stay_in_order_and_are_all_kept(tmp_path: Path) -> None:
    rows = np.arange(20, dtype=np.uint16).reshape(10, 2)
    write_run(tmp_path / "run", np.full(10, 7, np.uint64), rows, "uint16")
    (tmp_path / "out" / "tokens").mkdir(parents=True)
    plan = plan_merge(
        [[SortedRun(path=str(tmp_path / "run"), num_rows=10)]],
        [[10]],
        rows_per_shard=3,
        row_len=2,
        dtype="uint16",
        out=str(tmp_path / "out"),
        identity="x",
    )
    files = [name for unit in plan for name in merge(unit)["rows"]]
    found = np.concatenate([np.fromfile(tmp_path / "out" / name, "<u2") for name in files])
    assert np.array_equal(found, rows.ravel())


def test_the_permutation_looks_uniform(tmp_path: Path) -> None:
    count = 60_000
    places = order(tmp_path, make_runs(tmp_path, [20_000] * 3), 8192)
    table, _, _ = np.histogram2d(np.arange(count), places, bins=20)
    expected = count / 400
    chi2 = float(((table - expected) ** 2 / expected).sum())
    assert abs(chi2 - 361) < 5 * np.sqrt(2 * 361)  # 19 × 19 degrees of freedom
    correlation = np.corrcoef(np.arange(count), places)[0, 1]
    assert abs(correlation) < 5 / np.sqrt(count)
    neighbours = int((np.abs(np.diff(places)) == 1).sum())  # a random order keeps about two
    assert neighbours < 15
    cycles_fixed = int((places == np.arange(count)).sum())
    assert cycles_fixed < 10


def test_another_seed_or_shard_gives_unrelated_keys() -> None:
    base = row_keys(1, "a", 0, 20_000)
    assert np.array_equal(base[100:200], row_keys(1, "a", 100, 100))
    assert len(np.unique(base)) == len(base)
    for other in (row_keys(2, "a", 0, 20_000), row_keys(1, "b", 0, 20_000)):
        assert not np.intersect1d(base, other).size
        ranks = np.corrcoef(np.argsort(base), np.argsort(other))[0, 1]
        assert abs(ranks) < 5 / np.sqrt(20_000)


def test_bins_count_every_key(tmp_path: Path) -> None:
    runs = make_runs(tmp_path, [5000, 700])
    keys = np.concatenate([np.asarray(run.keys()) for run in runs])
    assert np.array_equal(count_bins(runs), np.bincount((keys >> np.uint64(48)).astype(int), minlength=1 << 16))
