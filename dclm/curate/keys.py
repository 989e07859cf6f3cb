"""The keys of one shard as a file: written while the shard is read, for a large shard's keys need not fit in memory."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from dclm.curate.files import Mapped, map_tables, one_batch, partitioned
from dclm.curate.step import Context, Global

KEY_BYTES = 64 << 20
"""Of keys in memory before they are written; sorting them takes about as much again."""


class KeyWriter:
    """Writes what a step emits for a shard: partition 0, 1, … of the first keys, then of the next ones, and so on.

    Use as a context manager, with one batch at least.
    """

    def __init__(self, path: Path, shard: int, step: Global, context: Context) -> None:
        self._sink = pa.OSFile(str(path), "wb")
        self._shard, self._num_partitions = shard, step.num_partitions
        self._emit = step.open(context)
        self._writer: pa.RecordBatchFileWriter | None = None
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def __enter__(self) -> KeyWriter:
        return self

    def write(self, documents: pa.RecordBatch) -> None:
        """Emit the keys of documents that follow on those before."""
        keys = self._emit(documents)
        self._batches.append(keys)
        self._bytes += keys.nbytes
        if self._bytes > KEY_BYTES:
            self._flush()

    def _flush(self) -> None:
        for table in partitioned(self._batches, self._shard, self._num_partitions):
            if self._writer is None:
                self._writer = pa.ipc.new_file(self._sink, table.schema)
            self._writer.write_batch(one_batch(table))
        self._batches, self._bytes = [], 0

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None and self._batches:
            self._flush()
        if self._writer is not None:
            self._writer.close()
        self._sink.close()


def map_partition(paths: Sequence[str], partition: int, num_partitions: int) -> list[Mapped]:
    """The tables of one partition in files that hold all partitions, once or several times over."""
    return [map_tables(path, slice(partition, None, num_partitions)) for path in paths]
