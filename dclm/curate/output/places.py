"""Where the records of the work's shards are in the artifact, whose shards consist of several of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import filled
from dclm.curate.output.files import read_parquet

_NAMES = (("shard", "row"), ("kept_shard", "kept_row"), ("other_shard", "other_row"))
"""Pairs of columns that refer to a record: a shard, and a row of its ledger."""


class Places:
    """Shard of the work → shard of the artifact, and the row of its ledger at which it begins."""

    def __init__(self, shard: npt.NDArray[np.int32] | None = None, first: npt.NDArray[np.int64] | None = None) -> None:
        """Without arguments, every record keeps its position."""
        self._shard, self._first = shard, first

    @staticmethod
    def of(outputs: Sequence[range], records: Sequence[int]) -> Places:
        """outputs: the shards of the work in each shard of the artifact; records: number of records in each shard of
        the work."""
        shard = np.zeros(len(records), np.int32)
        first = np.zeros(len(records), np.int64)
        for number, members in enumerate(outputs):
            shard[members.start : members.stop] = number
            before = np.cumsum([0, *(records[index] for index in members)])
            first[members.start : members.stop] = before[:-1]
        return Places(shard, first)

    @staticmethod
    def read(address: str) -> Places:
        """Read what `write` wrote."""
        table = read_parquet(address)
        return Places(table.column("shard").to_numpy(), table.column("first").to_numpy())

    def write(self, path: Path) -> None:
        """Write them to a file."""
        assert self._shard is not None
        assert self._first is not None
        pq.write_table(pa.Table.from_pydict({"shard": self._shard, "first": self._first}), path)

    def of_kept(self, ledger: pa.Table) -> pa.Table:
        """A ledger in which documents that were kept instead of dropped ones are referred to by their new positions."""
        return self._moved(ledger, *_NAMES[1])

    def of_tables(self, table: pa.Table) -> pa.Table:
        """A table in which all documents are referred to by their new positions."""
        for shard, row in _NAMES:
            if shard in table.column_names and row in table.column_names:
                table = self._moved(table, shard, row)
        return table

    def _moved(self, table: pa.Table, shard: str, row: str) -> pa.Table:
        old = table.column(shard)
        if self._shard is None or self._first is None or old.null_count == len(old):
            return table
        missing = old.is_null()
        index = filled(old, 0).to_numpy()
        for name, values in (
            (shard, self._shard[index]),
            (row, self._first[index] + filled(table.column(row), 0).to_numpy()),
        ):
            field = table.schema.field(name)
            moved = pc.if_else(missing, pa.scalar(None, field.type), pa.array(values).cast(field.type))
            table = table.set_column(table.schema.get_field_index(name), field, moved)
        return table
