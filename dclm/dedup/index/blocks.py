"""Sorted keys whose blocks are compared with recorded sums when a search first touches them.

    INDEX/keys/RUN/RELATION/PPPP.blocks.arrow    one row per block of PPPP.arrow: table, rows, first, last, sum

The small file of sums is compared with its hash in the index's record. A lookup then reads, and checks, no more than
the blocks in which its keys could be: checking whole files would cost as much as the index is large.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numba import njit, uint64

from dclm.core.errors import DataError
from dclm.core.stores.store import local_file, verified_file
from dclm.dedup.columns import I64, U64, hashes, ints
from dclm.dedup.hashing import mix
from dclm.text.kernels import lean

BLOCK_ROWS = 8192
SUFFIX = ".blocks.arrow"
_SCHEMA = pa.schema(
    [("table", pa.int32()), ("rows", pa.int32()), ("first", pa.uint64()), ("last", pa.uint64()), ("sum", pa.uint64())]
)
_C = np.uint64(0x517CC1B727220A95)
_HINT = "the file has changed: make the index again, or restore it from an intact copy"


def block_sums(number: int, table: pa.Table) -> pa.Table:
    """The rows of the file of sums for one table of keys, the one with this number in its file."""
    starts = np.arange(0, table.num_rows, BLOCK_ROWS)
    ends = np.minimum(starts + BLOCK_ROWS, table.num_rows)
    keys = hashes(table, "key")
    columns = [
        pa.array(np.full(len(starts), number, np.int32)),
        pa.array((ends - starts).astype(np.int32)),
        pa.array(keys[starts]),
        pa.array(keys[ends - 1]),
        pa.array(_sums(_words(table), starts, ends)),
    ]
    return pa.Table.from_arrays(columns, schema=_SCHEMA)


def no_sums() -> pa.Table:
    """The sums of no keys."""
    return _SCHEMA.empty_table()


def row_sums(rows: I64, offsets: I64, values: U64) -> U64:
    """A sum for each list of values and the number of its row."""
    start: U64 = rows.astype(np.uint64)
    return _fold(values, offsets[:-1], offsets[1:], start.copy())


class CheckedTable:
    """One table of sorted keys."""

    def __init__(self, address: str, table: pa.Table, sums: pa.Table) -> None:
        """sums: the rows for this table. Raises: DataError if it has another number of rows than they say."""
        self.address, self.table = address, table
        self._first, self._last, self._sum = (hashes(sums, name) for name in ("first", "last", "sum"))
        self._ends = np.cumsum(ints(sums, "rows"))
        self._checked = np.zeros(sums.num_rows, np.bool_)
        self._columns = _words(table)
        rows = int(self._ends[-1]) if sums.num_rows else 0
        if table.num_rows != rows:
            raise DataError(address, f"holds {table.num_rows:,} keys in a table, allowed: {rows:,}", _HINT)

    def range_of(self, keys: U64) -> tuple[int, int]:
        """Which of these sorted keys are between the table's first and last one."""
        if not len(self._first):
            return 0, 0
        return int(np.searchsorted(keys, self._first[0])), int(np.searchsorted(keys, self._last[-1], "right"))

    def check(self, keys: U64) -> None:
        """Compare every block in which one of these keys could be with its sum, unless that was done before.

        Raises: DataError if a block differs.
        """
        touched = _touched(self._first, keys) & ~self._checked
        blocks = np.flatnonzero(touched)
        ends = self._ends[blocks]
        starts = np.where(blocks > 0, self._ends[blocks - 1], 0)
        wrong = np.flatnonzero(_sums(self._columns, starts, ends) != self._sum[blocks])
        if len(wrong):
            what = f"found other keys than were written in rows {starts[wrong[0]]:,} to {ends[wrong[0]]:,} of a table"
            raise DataError(self.address, what, _HINT)
        self._checked[blocks] = True


def checked_tables(address: str, sums_sha256: str | None) -> list[CheckedTable]:
    """The tables of a file of keys, memory-mapped for as long as they are used.

    sums_sha256: of the file of sums next to it. Raises: DataError if that file differs, or the file of keys has other
    tables than it says.
    """
    sums = _read(str(verified_file(address.removesuffix(".arrow") + SUFFIX, sums_sha256)))
    tables = mapped(address)
    bounds = np.searchsorted(ints(sums, "table"), np.arange(len(tables) + 1))
    if bounds[-1] != sums.num_rows:
        raise DataError(address, f"holds {len(tables)} tables, allowed: {sums.column('table')[-1]} or more", _HINT)
    return [
        CheckedTable(address, t, sums.slice(a, b - a))
        for t, (a, b) in zip(tables, itertools.pairwise(bounds), strict=True)
    ]


def mapped(address: str) -> list[pa.Table]:
    """The tables of a file, memory-mapped for as long as they are used. Raises: DataError if it is not such a file."""
    try:
        with pa.memory_map(str(local_file(address))) as source:
            file = pa.ipc.open_file(source)
            return [pa.Table.from_batches([file.get_batch(index)]) for index in range(file.num_record_batches)]
    except (pa.ArrowInvalid, pa.ArrowKeyError, OSError) as error:
        raise DataError(address, f"cannot be read: {error}"[:300], _HINT) from error


def _read(path: str) -> pa.Table:
    with pa.memory_map(path) as source:
        return pa.ipc.open_file(source).read_all().combine_chunks()


def _words(table: pa.Table) -> list[np.ndarray]:
    """The columns of a table as unsigned numbers, without copying them."""
    found = []
    for name in table.column_names:
        values = table.column(name).to_numpy()
        found.append(values.view(f"u{values.dtype.itemsize}"))
    return found


def _sums(columns: Sequence[np.ndarray], starts: I64, ends: I64) -> U64:
    sums = np.zeros(len(starts), np.uint64)
    for values in columns:
        sums = _fold(values, starts, ends, sums)
    return sums


@lean
def _fold(values: np.ndarray, starts: np.ndarray, ends: np.ndarray, sums: np.ndarray) -> np.ndarray:
    """Adds values[starts[i] : ends[i]] to sums[i]. Each value is a bijection of the sum, so that a single changed one
    always changes the result."""
    for i in range(len(starts)):
        h = mix(sums[i])
        for j in range(starts[i], ends[i]):
            h = (((h << uint64(5)) | (h >> uint64(59))) ^ uint64(values[j])) * uint64(_C)
        sums[i] = mix(h ^ uint64(ends[i] - starts[i]))
    return sums


@njit(cache=True, nogil=True)
def _touched(first: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """Blocks that could hold one of the keys; equal keys may begin in the block before the one that they start."""
    found = np.zeros(len(first), np.bool_)
    for i in range(len(keys)):
        start = max(np.searchsorted(first, keys[i]) - 1, 0)
        end = np.searchsorted(first, keys[i], side="right")
        found[start:end] = True
    return found
