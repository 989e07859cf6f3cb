"""The files of a unit of work: documents in Parquet row groups of even size, key tables in Arrow IPC."""

from __future__ import annotations

import ctypes
import hashlib
import itertools
import mmap
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.storage import is_local
from dclm.core.stores.store import RemoteFile, local_file
from dclm.curate.step import KEY_FIELDS
from dclm.dedup.order import order_by_partition
from dclm.text.features import FEATURES

_FETCH_BYTES = 16 << 20
ROW_GROUP_ROWS = 1024
ROW_GROUP_BYTES = 32 << 20


class DocumentWriter:
    """Writes batches to one Parquet file; row groups depend only on the rows, not on how they were batched.

    Use as a context manager. Columns that start with "_" are left out, except `_row` if `keep_row` is set. With
    `whole`, each batch with rows is one row group instead, and columns of a step's own that start with "_" are kept,
    too: the steps after a cut see the batches that they would have seen without it.
    """

    def __init__(self, path: Path, keep_row: bool, whole: bool = False) -> None:
        self._path = path
        self._keep_row, self._whole = keep_row, whole
        self._writer: pq.ParquetWriter | None = None
        self._pending: list[pa.RecordBatch] = []
        self._pending_rows = 0
        self._pending_bytes = 0
        self.rows = 0
        self.schema_print = ""
        """Equal for files that have the same columns and can be concatenated."""

    def __enter__(self) -> DocumentWriter:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        """Write a batch. The first one, which may be empty, determines the schema."""
        scratch = [n for n in batch.schema.names if n.startswith("_") and not self._keeps(n)]
        batch = batch.drop_columns(scratch) if scratch else batch
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, batch.schema, compression="zstd", use_dictionary=False)
            self.schema_print = hashlib.sha256(batch.schema.to_string().encode()).hexdigest()[:16]
        self.rows += batch.num_rows
        if self._whole and batch.num_rows:
            self._writer.write_table(pa.Table.from_batches([batch]), row_group_size=batch.num_rows)
            return
        while batch.num_rows:
            room = ROW_GROUP_ROWS - self._pending_rows
            part, batch = batch.slice(0, room), batch.slice(room)
            self._pending.append(part)
            self._pending_rows += part.num_rows
            self._pending_bytes += part.nbytes
            if self._pending_rows >= ROW_GROUP_ROWS or self._pending_bytes >= ROW_GROUP_BYTES:
                self._flush()

    def _keeps(self, column: str) -> bool:
        if column == "_row":
            return self._keep_row
        return self._whole and column.removeprefix("_") not in FEATURES

    def _flush(self) -> None:
        if self._pending and self._writer is not None:
            self._writer.write_table(pa.Table.from_batches(self._pending), row_group_size=ROW_GROUP_ROWS)
        self._pending, self._pending_rows, self._pending_bytes = [], 0, 0

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if error is None:
            self._flush()
        if self._writer is not None:
            self._writer.close()


def read_documents(address: str) -> Iterator[pa.RecordBatch]:
    """The row groups of a documents file, one batch each; at least one batch, empty if the file has no rows."""
    with pq.ParquetFile(local_file(address)) as file:
        if file.num_row_groups == 0:
            yield pa.RecordBatch.from_pylist([], schema=file.schema_arrow)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group, use_threads=False).combine_chunks()
            batches = table.to_batches()
            assert len(batches) <= 1, f"{address}: row group {group} contains more than 2 GiB of text"
            yield batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


def read_parquet(address: str) -> pa.Table:
    """A small Parquet file as one table, in half the time of `pyarrow.parquet.read_table`, which looks for datasets."""
    with pq.ParquetFile(local_file(address)) as file:
        return file.read(use_threads=False)


def write_tables(path: Path, tables: Iterable[pa.Table]) -> None:
    """Tables of one schema, at least one, as the record batches of one IPC file: number i is batch i."""
    rest = iter(tables)
    first = one_batch(next(rest))
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, first.schema) as writer:
        writer.write_batch(first)
        for table in rest:
            writer.write_batch(one_batch(table))


def write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    """Tables of one schema, at least one, as the row groups of one Parquet file."""
    rest = iter(tables)
    first = next(rest)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in itertools.chain([first], rest):
            writer.write_table(table)


class Mapped(NamedTuple):
    """Some tables of a memory-mapped file."""

    tables: list[pa.Table]
    memory: pa.Buffer
    """The whole mapping."""

    def of(self, which: slice) -> Mapped:
        """Some of the tables."""
        return Mapped(self.tables[which], self.memory)

    def release(self) -> None:
        """Return the pages that were read to the system. The tables stay usable: pages that are needed again are read
        again."""
        _MADVISE(self.memory.address, self.memory.size, mmap.MADV_DONTNEED)


_MADVISE = ctypes.CDLL(None).madvise  # `mmap` objects have it too, but each keeps its file open
_MADVISE.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)


def map_tables(address: str, which: slice, near: Path | None = None) -> Mapped:
    """The given tables of a file made by `write_tables`.

    near: a folder for the parts downloaded from a large file in an object store: only these tables.
    """
    if near is None or not _is_large(address):
        path = _present(address)
    else:
        path = near / f"{uuid.uuid4().hex}.arrow"
        _fetch_tables(address, which, path)
        which = slice(None)
    with pa.memory_map(str(path)) as source:
        memory = source.read_buffer(source.size())
    file = pa.ipc.open_file(memory)
    chosen = range(*which.indices(file.num_record_batches))
    mapped = Mapped([pa.Table.from_batches([file.get_batch(index)]) for index in chosen], memory)
    mapped.release()
    return mapped


def _present(address: str) -> Path:
    """The file on this machine.

    Raises: DataError if it is gone. Rounds delete their inputs, so they cannot be repeated if the journal, which lists
    them as finished, has changed.
    """
    path = local_file(address)
    if not path.exists():
        hint = "delete the folder .work that it is in, and run again"
        raise DataError(address, "is missing in unfinished work, which has changed since it was written", hint)
    return path


def _is_large(address: str) -> bool:
    """Whether a file is in an object store and too large to be downloaded completely for a part of it."""
    return not is_local(address) and RemoteFile(address).size() > _FETCH_BYTES


def _fetch_tables(address: str, which: slice, path: Path) -> None:
    with pa.PythonFile(RemoteFile(address), mode="r") as source, pa.OSFile(str(path), "wb") as sink:
        file = pa.ipc.open_file(source)
        with pa.ipc.new_file(sink, file.schema) as writer:
            for index in range(*which.indices(file.num_record_batches)):
                writer.write_batch(file.get_batch(index))


def read_table(address: str, index: int) -> pa.Table:
    """Table `index` of a file made by `write_tables`, memory-mapped; of a large remote file only that table is
    downloaded."""
    if _is_large(address):
        with pa.PythonFile(RemoteFile(address), mode="r") as source:
            return pa.Table.from_batches([pa.ipc.open_file(source).get_batch(index)])
    (table,) = map_tables(address, slice(index, index + 1)).tables
    return table


def read_tables(address: str) -> Iterator[pa.Table]:
    """All tables of a file made by `write_tables`, memory-mapped, one at a time."""
    with pa.memory_map(str(_present(address))) as source:
        file = pa.ipc.open_file(source)
        for index in range(file.num_record_batches):
            yield pa.Table.from_batches([file.get_batch(index)])


def partitioned(keys: Sequence[pa.RecordBatch], shard: int, num_partitions: int) -> list[pa.Table]:
    """A shard's keys with their `shard` column, spread by `key % num_partitions`, each part sorted by (key, row)."""
    table = pa.Table.from_batches(keys)
    table = table.add_column(1, KEY_FIELDS[1], pa.array(np.full(table.num_rows, shard, np.int32)))
    row = table.column("row").to_numpy()
    if np.any(row[1:] < row[:-1]):
        table = table.take(np.argsort(row, kind="stable"))
    order, edges = order_by_partition(table.column("key").to_numpy(), num_partitions)
    table = table.take(order)
    return [table.slice(a, b - a) for a, b in itertools.pairwise(edges)]


def one_batch(table: pa.Table) -> pa.RecordBatch:
    """The table as a single record batch (empty tables too)."""
    batches = table.combine_chunks().to_batches()
    assert len(batches) <= 1, "a table of more than 2 GiB of text in one part"
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)
