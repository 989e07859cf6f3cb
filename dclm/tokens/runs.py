"""Runs: rows of tokens on disk, sorted by random keys, from which the shuffle merges.

A row's key is a 64-bit hash of (seed, source, shard, copy) and its index in the shard. Sorting all rows by key is a
uniform permutation that depends only on these: not on workers, batch sizes, or where a run ends.
"""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dclm.core.stores.store import local_file

Rows = npt.NDArray[np.unsignedinteger]
Keys = npt.NDArray[np.uint64]

GOLDEN = np.uint64(0x9E3779B97F4A7C15)
"""The increment of SplitMix64."""
NUM_BINS = 1 << 16
"""Keys are counted by their highest 16 bits, so that the merge can find its ranges without reading all keys."""
_PIECE_BYTES = 1 << 18
"""Of rows that are sorted at once: small enough for memory that is already mapped, and for the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class SortedRun:
    """Rows in the order of their keys: two files, or an index of rows that another run holds."""

    path: str
    """Address without the suffixes: `.keys` (uint64, sorted), and `.rows` or `.order`."""
    num_rows: int
    times: int = 1
    """How often each row is to be read. `dclm.tokens.mixture` turns such a run into one run per copy."""
    of: str | None = None
    """Address of the run that holds the rows, at the indices in `.order`; None: this one."""
    of_rows: int = 0
    """Number of rows of that run."""

    def keys(self) -> Keys:
        """All keys, mapped."""
        return _mapped(f"{self.path}.keys", "<u8", self.num_rows)

    def rows(self, row_len: int, dtype: str) -> Rows:
        """All rows `[num_rows, row_len]` of a run that holds its rows, mapped."""
        assert self.of is None, f"{self.path} contains no rows"
        return _mapped(f"{self.path}.rows", _little(dtype), self.num_rows * row_len).reshape(self.num_rows, row_len)

    def select(self, places: npt.NDArray[np.int64] | slice, row_len: int, dtype: str) -> Rows:
        """The rows at these positions in the order of keys; those of a slice are mapped if the run holds them."""
        if self.of is None:
            own: Rows = self.rows(row_len, dtype)[places]
            return own
        order = _mapped(f"{self.path}.order", "<u4", self.num_rows)
        chosen: Rows = SortedRun(path=self.of, num_rows=self.of_rows).rows(row_len, dtype)[order[places]]
        return chosen


def row_keys(seed: int, purpose: str, first: int, count: int) -> Keys:
    """Keys of rows `first … first + count - 1` of the shard (and copy) named by `purpose`.

    SplitMix64 (Steele, Lea & Flood 2014), started from a hash of seed and purpose.
    """
    start = int.from_bytes(hashlib.blake2b(f"{seed}\0{purpose}".encode(), digest_size=8).digest(), "little")
    with np.errstate(over="ignore"):
        return scrambled(np.uint64(start) + np.arange(first + 1, first + count + 1, dtype=np.uint64) * GOLDEN)


def scrambled(z: Keys) -> Keys:
    """SplitMix64's finalizer: a bijection whose values look random."""
    with np.errstate(over="ignore"):
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


def write_run(path: Path, keys: Keys, rows: Rows, dtype: str) -> int:
    """Sort rows by key and write them; returns the number of rows. Equal keys keep their order."""
    order = np.argsort(keys, kind="stable")
    keys[order].astype("<u8").tofile(f"{path}.keys")
    piece = max(1, _PIECE_BYTES // max(1, rows.strides[0]))
    with open(f"{path}.rows", "wb") as handle:
        for start in range(0, len(order), piece):  # the sorted copy never exists as a whole
            handle.write(np.ascontiguousarray(rows[order[start : start + piece]], dtype=_little(dtype)).data)
    return len(order)


def write_index(path: Path, keys: Keys, places: npt.NDArray[np.int64]) -> None:
    """Write the keys in order, each with the index of its row in the run that holds it."""
    order = np.argsort(keys, kind="stable")
    keys[order].astype("<u8").tofile(f"{path}.keys")
    places[order].astype("<u4").tofile(f"{path}.order")


def count_bins(runs: Sequence[SortedRun]) -> npt.NDArray[np.int64]:
    """For each value of the highest 16 bits, the number of keys of all runs."""
    counts = np.zeros(NUM_BINS, dtype=np.int64)
    for run in runs:
        edges = np.searchsorted(run.keys(), np.arange(1, NUM_BINS, dtype=np.uint64) << np.uint64(48))
        counts += np.diff(np.concatenate([[0], edges, [run.num_rows]]))
    return counts


def _mapped(address: str, dtype: npt.DTypeLike, count: int) -> npt.NDArray[Any]:
    """The first values of a file. NumPy's own maps resolve the path, and each slice of them takes as long as a copy."""
    with open(local_file(address), "rb") as handle:
        return np.frombuffer(mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ), dtype, count)


def _little(dtype: str) -> np.dtype[np.unsignedinteger]:
    return np.dtype(dtype).newbyteorder("<")
