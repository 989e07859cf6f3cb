"""Sorted keys on disk; a lookup reads only the pages that its searches touch.

    INDEX/keys/RUN/RELATION/PPPP.arrow      tables in order of key: key, check (if any), shard, row
    INDEX/sets/RUN/UUUUU.arrow              row, shingles, sum: sets of the documents of one file

A run holds the keys of one corpus. An index of several corpora has a run for each, so the cost of adding a corpus
depends only on that corpus. Whatever a search reads is compared with sums the first time (`dclm.dedup.index.blocks`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.core.arrow import large_lists
from dclm.core.errors import DataError
from dclm.core.record import Record, read_record
from dclm.core.stores.store import join, verified_file
from dclm.dedup.columns import I64, U64, Bool
from dclm.dedup.index.blocks import SUFFIX, CheckedTable, checked_tables, mapped, row_sums
from dclm.dedup.index.indexed import PARTITIONS


class Match(NamedTuple):
    """Documents of an index that have one of the requested keys."""

    place: I64
    """Index of the key among the requested ones."""
    shard: I64
    row: I64


def key_path(run: int, relation: str, partition: int) -> str:
    """Path of one partition's keys, within the index."""
    return f"keys/{run:04d}/{relation}/{partition:04d}.arrow"


def set_path(run: int, unit: int) -> str:
    """Path of the sets of one file's documents, within the index."""
    return f"sets/{run:04d}/{unit:05d}.arrow"


def runs_of(record: Record) -> int:
    """Number of runs in the index of this record."""
    number = record.counts["runs"]
    assert isinstance(number, list)
    return len(number)


class Relation:
    """One relation of several indexes."""

    def __init__(self, indexes: Sequence[str], relation: str) -> None:
        records = {address: read_record(address) for address in indexes}
        self._parts = [
            [join(address, key_path(run, relation, partition)) for partition in range(PARTITIONS)]
            for address, record in records.items()
            for run in range(runs_of(record))
        ]
        self._hashes = {join(address, f.path): f.sha256 for address, record in records.items() for f in record.files}
        self._open: dict[str, list[CheckedTable]] = {}

    def holds(self, keys: U64, checks: U64 | None = None) -> Bool:
        """Whether an index has each key (with the same check)."""
        found = np.zeros(len(keys), np.bool_)
        for places, table in self._tables(keys):
            stored = table.column("key").to_numpy()
            if checks is None:
                found[places] |= _holds(stored, keys[places])
            else:
                found[places] |= _holds_both(stored, table.column("check").to_numpy(), keys[places], checks[places])
        return found

    def matches(self, run: int, keys: U64) -> Match:
        """All documents of one run (counted over all indexes) that have one of the keys."""
        found: list[Match] = []
        for places, table in self._tables(keys, (run,)):
            first, count = _ranges(table.column("key").to_numpy(), keys[places])
            rows = np.repeat(first - np.cumsum(count) + count, count) + np.arange(count.sum())
            shard, row = (table.column(name).to_numpy()[rows].astype(np.int64) for name in ("shard", "row"))
            found.append(Match(np.repeat(places, count), shard, row))
        if not found:
            return Match(*(np.zeros(0, np.int64) for _ in range(3)))
        return Match(*(np.concatenate(column) for column in zip(*found, strict=True)))

    @property
    def num_runs(self) -> int:
        return len(self._parts)

    def _tables(self, keys: U64, runs: Iterable[int] | None = None) -> Iterator[tuple[I64, pa.Table]]:
        """Each table with the positions of the keys that fall within its range."""
        partition = keys % np.uint64(PARTITIONS)
        for number in range(PARTITIONS):
            places = np.flatnonzero(partition == number)
            if not len(places):
                continue
            places = places[np.argsort(keys[places], kind="stable")]
            mine = keys[places]
            for run in range(self.num_runs) if runs is None else runs:
                for checked in self._tables_at(self._parts[run][number]):
                    low, high = checked.range_of(mine)
                    if low < high:
                        checked.check(mine[low:high])
                        yield places[low:high], checked.table

    def _tables_at(self, address: str) -> list[CheckedTable]:
        if address not in self._open:
            sums = address.removesuffix(".arrow") + SUFFIX
            self._open[address] = checked_tables(address, self._hashes.get(sums))
        return self._open[address]


class _SetTable(NamedTuple):
    """The sets of some documents of a file."""

    rows: I64
    offsets: I64
    values: U64
    sums: U64


def with_sums(sets: pa.RecordBatch) -> pa.RecordBatch:
    """Columns row and `shingles`, with the sums that `Sets` compares."""
    lists = large_lists(sets.column("shingles"))
    sums = row_sums(sets.column("row").to_numpy(), lists.offsets.to_numpy(), lists.values.to_numpy())
    return sets.append_column("sum", pa.array(sums))


class Sets:
    """The sets of an index's documents, by run, file and row."""

    def __init__(self, indexes: Sequence[str]) -> None:
        self._runs = list(_runs(indexes))
        self._open: dict[tuple[int, int], list[_SetTable]] = {}

    def get(self, run: int, shard: int, row: int) -> U64:
        """Sorted distinct shingle hashes of a document. Raises: DataError if they are not what was written."""
        for rows, offsets, values, sums in self._tables(run, shard):
            place = int(np.searchsorted(rows, row))
            if place < len(rows) and rows[place] == row:
                mine = slice(place, place + 1)
                if row_sums(rows[mine], offsets[place : place + 2], values)[0] != sums[place]:
                    where = join(self._runs[run][0], set_path(self._runs[run][1], shard))
                    raise DataError(where, f"found another set of document {row} than was written", "make it again")
                return values[offsets[place] : offsets[place + 1]]
        raise DataError(self._runs[run][0], f"has no set for document {row} of its file {shard}", "rebuild the index")

    def _tables(self, run: int, shard: int) -> list[_SetTable]:
        if (run, shard) not in self._open:
            address, number = self._runs[run]
            tables = []
            for table in mapped(join(address, set_path(number, shard))):
                sets = large_lists(table.column("shingles").chunk(0))
                row, sums = table.column("row").to_numpy(), table.column("sum").to_numpy()
                tables.append(_SetTable(row, sets.offsets.to_numpy(), sets.values.to_numpy(), sums))
            self._open[run, shard] = tables
        return self._open[run, shard]


def sets_of_index(address: str) -> Iterator[pa.Table]:
    """All tables of sets of an index, by run, file and row. Raises: DataError if a file is not what was recorded."""
    for entry in sorted(read_record(address).files, key=lambda file: file.path):
        if entry.path.startswith("sets/"):
            path = join(address, entry.path)
            verified_file(path, entry.sha256)
            yield from mapped(path)


def _runs(indexes: Sequence[str]) -> Iterator[tuple[str, int]]:
    for address in indexes:
        for run in range(runs_of(read_record(address))):
            yield address, run


@njit(cache=True, nogil=True)
def _holds(stored: np.ndarray, keys: np.ndarray) -> np.ndarray:
    found = np.zeros(len(keys), np.bool_)
    for i in range(len(keys)):
        at = np.searchsorted(stored, keys[i])
        found[i] = at < len(stored) and stored[at] == keys[i]
    return found


@njit(cache=True, nogil=True)
def _holds_both(stored: np.ndarray, stored_checks: np.ndarray, keys: np.ndarray, checks: np.ndarray) -> np.ndarray:
    found = np.zeros(len(keys), np.bool_)
    for i in range(len(keys)):
        at = np.searchsorted(stored, keys[i])
        while at < len(stored) and stored[at] == keys[i] and not found[i]:
            found[i] = stored_checks[at] == checks[i]
            at += 1
    return found


@njit(cache=True, nogil=True)
def _ranges(stored: np.ndarray, keys: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    first, count = np.empty(len(keys), np.int64), np.empty(len(keys), np.int64)
    for i in range(len(keys)):
        first[i] = np.searchsorted(stored, keys[i])
        count[i] = np.searchsorted(stored, keys[i], side="right") - first[i]
    return first, count
