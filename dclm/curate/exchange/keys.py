"""The keys of one shard as a file: written while the shard is read, so that its keys need not fit in memory.

The number of partitions follows the number of shards, and the files of many shards are merged before they are reduced,
so that neither a reducer nor a store ever sees shards × partitions pieces.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import pyarrow as pa

from dclm.curate.global_step import Global
from dclm.curate.output.files import Mapped, map_tables, one_batch, partitioned
from dclm.curate.step import MapFunction

KEY_BYTES = 64 << 20
"""Bytes of keys in memory before they are written; sorting them takes about as much again."""


MOST_FILES = 2048
"""Maximum number of files that one reducer reads; those of more shards are merged first."""
_SHARDS_PER_16 = 256
_MOST_PARTITIONS = 2048


def partitions_for(step: Global, num_shards: int) -> int:
    """Number of partitions for the keys of this many shards. Affects the output, but never depends on the workers."""
    return min(step.num_partitions * math.ceil(num_shards / _SHARDS_PER_16), _MOST_PARTITIONS)


class KeyWriter:
    """Writes the keys that `emit` makes of a shard's documents: partitions 0, 1, … of the first keys, then of the next
    ones, and so on.

    Use as a context manager, with at least one batch.
    """

    def __init__(self, path: Path, shard: int, emit: MapFunction, num_partitions: int) -> None:
        self._sink = pa.OSFile(str(path), "wb")
        self._shard, self._num_partitions = shard, num_partitions
        self._emit = emit
        self._writer: pa.RecordBatchFileWriter | None = None
        self._batches: list[pa.RecordBatch] = []
        self._bytes = 0

    def __enter__(self) -> KeyWriter:
        return self

    def write(self, documents: pa.RecordBatch) -> None:
        """Emit the keys of documents that follow the previous ones."""
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


def map_partition(addresses: Sequence[str], partition: int, num_partitions: int, near: Path) -> list[Mapped]:
    """The tables of one partition in files that contain all partitions, once or several times over.

    near: a folder for downloaded files.
    """
    return [map_tables(address, slice(partition, None, num_partitions), near) for address in addresses]
