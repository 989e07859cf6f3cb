"""Ledgers as files: written while a shard is read and merged in pieces, so that no shard's ledger need fit in
memory."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.arrow import to_list
from dclm.curate.output.tally import LEDGER_PART, common_schema, with_schema

_WINDOW_ROWS = 1 << 17  # number of positions in the shard merged at once


class LedgerWriter:
    """Writes one shard's ledger to a Parquet file, whose columns are known only after all of it has been seen.

    Use as a context manager; the file exists if the block succeeds.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._parts: list[Path] = []

    def __enter__(self) -> LedgerWriter:
        return self

    def write(self, table: pa.Table) -> None:
        """Rows that follow those already written, with any annotations."""
        part = self._path.with_name(f"{self._path.name}.{len(self._parts)}")
        with pa.OSFile(str(part), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        self._parts.append(part)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is not None:
            return
        schemas = [LEDGER_PART]
        for part in self._parts:
            with pa.OSFile(str(part), "rb") as source:
                schemas.append(pa.ipc.open_file(source).schema)
        schema = common_schema(schemas)
        with pq.ParquetWriter(self._path, schema, compression="zstd") as writer:
            for part in self._parts:
                with pa.OSFile(str(part), "rb") as source:
                    writer.write_table(with_schema(pa.ipc.open_file(source).read_all(), schema))
                part.unlink()


Change = Callable[[pa.Table], pa.Table]


def merge(shards: Sequence[Sequence[Path]], target: Path, change: Change = lambda table: table) -> int:
    """The ledgers of some shards as one file, without `_row`; returns its number of rows.

    shards: for each shard in order, the ledgers of all segments. A shard's rows are written in document order.
    change: applied to every table that is written.
    """
    written = 0
    with contextlib.ExitStack() as stack:
        schema = common_schema([pq.read_schema(path) for ledgers in shards for path in ledgers])
        final = schema.remove(schema.get_field_index("_row"))
        writer = stack.enter_context(pq.ParquetWriter(target, final, compression="zstd"))
        for ledgers in shards:
            for window in _merged(ledgers, schema):
                writer.write_table(change(window))
                written += window.num_rows
    return written


def _merged(ledgers: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """One shard's rows of all segments in order, without `_row`."""
    with contextlib.ExitStack() as stack:
        streams = [_windows(stack.enter_context(pq.ParquetFile(path)), schema) for path in ledgers]
        while parts := [part for stream in streams if (part := next(stream, None)) is not None]:
            window = pa.concat_tables(parts)
            if window.num_rows:
                yield window.sort_by("_row").drop_columns("_row")


def _windows(file: pq.ParquetFile, schema: pa.Schema) -> Iterator[pa.Table]:
    """The rows whose `_row` is in the first window, those in the second, and so on to the last."""
    held = schema.empty_table()
    end = _WINDOW_ROWS
    for batch in file.iter_batches(_WINDOW_ROWS // 4):
        held = pa.concat_tables([held, with_schema(pa.Table.from_batches([batch]), schema)])
        while held.num_rows and held.column("_row")[-1].as_py() >= end:
            cut = int(np.searchsorted(held.column("_row").to_numpy(), end))
            yield held.slice(0, cut)
            held, end = held.slice(cut), end + _WINDOW_ROWS
    yield held


def reasons(path: Path) -> Iterator[str]:
    """The reasons of a ledger file's rejects, in order."""
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(columns=["reason"]):
            yield from to_list(batch.column(0).drop_null())
