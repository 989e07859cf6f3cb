"""Counts by a key that may have very many values (domains, files, languages), in bounded memory."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column
from dclm.documents.artifact import Rows

CAPACITY = 1_000_000
"""Maximum number of keys held, in about 100 MB. Up to this many distinct keys the counts are exact."""
_SUMS = ("read", "kept", "rejected")


class Group(NamedTuple):
    """The records of one key."""

    key: str
    read: int
    kept: int
    rejected: int

    @property
    def lost(self) -> int:
        return self.read - self.kept


class Groups:
    """Read, kept and rejected records by key.

    Beyond CAPACITY keys, the rarer half is forgotten (lossy counting, in document order): a remaining key may then lack
    up to `undercount` records, but a key with more records than that is never forgotten.
    """

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._parts: list[pa.Table] = []
        self._pending = 0
        self.undercount = 0

    def add(self, keys: Column, rows: Rows) -> None:
        """Count the rows of a batch of the ledger; null keys are skipped."""
        columns = [pa.array(np.asarray(v, np.int64)) for v in (np.ones(len(keys)), rows.kept, rows.rejected)]
        table = pa.table([keys, *columns], ["key", *_SUMS])
        self._parts.append(_sum(table.filter(pc.is_valid(keys))))
        self._pending += len(self._parts[-1])
        if self._pending > 2 * self._capacity:
            self._settle()

    def _settle(self) -> None:
        table = _sum(pa.concat_tables(self._parts))
        if len(table) > self._capacity:
            table = table.sort_by([("read", "descending"), ("key", "ascending")])
            self.undercount += table["read"][self._capacity // 2].as_py()
            table = table.slice(0, self._capacity // 2)
        self._parts, self._pending = [table], len(table)

    def table(self) -> pa.Table:
        """Columns key, read, kept, rejected, sorted by read in descending order."""
        if not self._parts:
            return pa.table({"key": pa.array([], pa.string()), **{n: pa.array([], pa.int64()) for n in _SUMS}})
        self._settle()
        return self._parts[0].sort_by([("read", "descending"), ("key", "ascending")])


def _sum(table: pa.Table) -> pa.Table:
    sums = table.group_by("key", use_threads=False).aggregate([(name, "sum") for name in _SUMS])
    return sums.rename_columns([name.removesuffix("_sum") for name in sums.column_names])


def top(table: pa.Table, by: str, count: int) -> list[Group]:
    """The largest groups by `read`, `kept`, `rejected` or `lost`, without those that have none."""
    table = table.append_column("lost", pc.subtract(table["read"], table["kept"]))
    table = table.sort_by([(by, "descending"), ("key", "ascending")]).slice(0, count)
    return [Group(r["key"], r["read"], r["kept"], r["rejected"]) for r in table.to_pylist() if r[by] > 0]
