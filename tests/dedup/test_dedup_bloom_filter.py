"""The Bloom filter: nothing is forgotten, and false positives are as rare as stated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numba import njit

from dclm.dedup.bloom.filter import contains, empty_filter, insert, size_for
from dclm.dedup.memory import available_bytes, show_bytes


@njit  # type: ignore[untyped-decorator]
def insert_all(words: np.ndarray, probes: int, keys: np.ndarray) -> None:
    for key in keys:
        insert(words, probes, key)


@njit  # type: ignore[untyped-decorator]
def count_found(words: np.ndarray, probes: int, keys: np.ndarray) -> int:
    count = 0
    for key in keys:
        count += contains(words, probes, key)
    return count


@pytest.mark.parametrize("fp_rate", [0.3, 0.01, 0.001, 1e-4])
def test_false_positives_are_as_rare_as_stated(fp_rate: float) -> None:
    count = 200_000
    keys = np.random.default_rng(0).integers(0, 2**64, 2 * count + 1_000_000, dtype=np.uint64)
    size = size_for(count, fp_rate)
    words = empty_filter(size)
    insert_all(words, size.probes, keys[:count])
    assert count_found(words, size.probes, keys[:count]) == count
    others = keys[count:]
    deviation = (fp_rate * (1 - fp_rate) / len(others)) ** 0.5
    assert count_found(words, size.probes, others) / len(others) <= fp_rate + 5 * deviation


def test_no_false_positive_at_a_billionth() -> None:
    keys = np.arange(3_000_000, dtype=np.uint64)  # consecutive numbers, as a weak hash would give
    size = size_for(1_000_000, 1e-9)
    words = empty_filter(size)
    insert_all(words, size.probes, keys[:1_000_000])
    assert count_found(words, size.probes, keys[1_000_000:]) == 0


def test_sizes_grow_with_the_count_and_the_precision() -> None:
    assert size_for(0, 0.01).blocks == 1
    assert size_for(10_000_000, 0.01).bytes == pytest.approx(10_000_000 * 9.9 / 8, rel=0.01)
    assert size_for(10_000_000, 1e-9).bytes > 5 * size_for(10_000_000, 0.01).bytes
    assert size_for(20_000_000, 0.01).blocks == pytest.approx(2 * size_for(10_000_000, 0.01).blocks, abs=1)


def test_blocks_lie_on_cache_lines() -> None:
    assert all(empty_filter(size_for(count, 0.01)).ctypes.data % 64 == 0 for count in (1, 1000, 12345))


def test_memory_is_the_lesser_of_machine_and_control_group(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal: 100 kB\nMemAvailable: 50 kB\n")
    assert available_bytes(tmp_path, meminfo) == 50 * 1024
    (tmp_path / "memory.max").write_text("20000\n")
    (tmp_path / "memory.current").write_text("15000\n")
    assert available_bytes(tmp_path, meminfo) == 5000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(tmp_path, meminfo) == 50 * 1024


def test_sizes_are_shown_in_fitting_units() -> None:
    assert [show_bytes(n) for n in (7, 1500, 1_234_000_000, 6_500_000_000_000)] == [
        "7 B",
        "1.5 kB",
        "1.23 GB",
        "6.5 TB",
    ]
