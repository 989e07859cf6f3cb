"""Distributes a decision's rows to the shards of the documents that they concern.

Drops and edits come in the order in which they were decided. They are written by blocks of shards, and each block is
then sorted into one table per shard: memory holds only the rows of one shard, and no shard reads many files.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import unit_files
from dclm.core.stores.cache import scratch_directory
from dclm.curate.exchange.keys import KEY_BYTES, MOST_FILES, map_partition
from dclm.curate.exchange.pieces import pieces
from dclm.curate.output.files import one_batch, write_tables

_SHARDS = 64
_ROW_BITS = 40


def shards_per_block(num_shards: int) -> int:
    """Number of shards per block: few enough to keep workers busy, and enough that there are no more blocks than files
    that a reducer may read."""
    return max(_SHARDS, math.ceil(num_shards / MOST_FILES))


class BlockWriter:
    """Writes rows by blocks of shards: blocks 0, 1, … of the first rows, then of the next ones, and so on.

    Use as a context manager; without any table, no file is made.
    """

    def __init__(self, path: Path, num_shards: int) -> None:
        self._path = path
        self._size = shards_per_block(num_shards)
        self._num_blocks = math.ceil(num_shards / self._size)
        self._writer: pa.RecordBatchFileWriter | None = None
        self._tables: list[pa.Table] = []
        self._bytes = 0

    def __enter__(self) -> BlockWriter:
        return self

    def write(self, rows: pa.Table) -> None:
        """Write a table with columns shard and row, in any order; all tables have the same columns."""
        self._tables.append(rows)
        self._bytes += rows.nbytes
        if self._bytes > KEY_BYTES:
            self._flush()

    def _flush(self) -> None:
        rows = pa.concat_tables(self._tables)
        shard = rows.column("shard").to_numpy().astype(np.uint64)
        key = (shard << np.uint64(_ROW_BITS)) | rows.column("row").to_numpy().astype(np.uint64)
        order = np.argsort(key, kind="stable")
        rows = rows.drop_columns("key") if "key" in rows.column_names else rows
        rows = rows.append_column("key", pa.array(key)).take(order)
        edges = np.searchsorted(shard[order] // np.uint64(self._size), np.arange(self._num_blocks + 1))
        for start, end in itertools.pairwise(edges):
            batch = one_batch(rows.slice(start, end - start))
            if self._writer is None:
                self._writer = pa.ipc.new_file(str(self._path), batch.schema)
            self._writer.write_batch(batch)
        self._tables, self._bytes = [], 0

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if kind is None and self._tables:
            self._flush()
        if self._writer is not None:
            self._writer.close()


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShardBlock:
    """A unit of work: the tables of all shards of one block."""

    fingerprint: str
    directory: str
    index: int
    num_shards: int
    """Number of shards in all blocks."""
    sources: tuple[tuple[str, str], ...]
    """Name of each file to make → address of the output of `BlockWriter`."""

    @property
    def shards(self) -> range:
        """Shards of the block."""
        size = shards_per_block(self.num_shards)
        return range(self.index * size, min((self.index + 1) * size, self.num_shards))


def blocks(directory: str, fingerprint: str, num_shards: int, sources: dict[str, str]) -> list[ShardBlock]:
    """The units that distribute the written rows to all shards."""
    return [
        ShardBlock(
            fingerprint=f"{fingerprint}-{index}",
            directory=f"{directory}/block-{index:04d}",
            index=index,
            num_shards=num_shards,
            sources=tuple(sources.items()),
        )
        for index in range(math.ceil(num_shards / shards_per_block(num_shards)))
    ]


def run_block(unit: ShardBlock) -> Outcome:
    """Sort one block: table i of each file belongs to the block's shard i."""
    with unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        num_blocks = math.ceil(unit.num_shards / shards_per_block(unit.num_shards))
        for name, source in unit.sources:
            parts = map_partition((source,), unit.index, num_blocks, near)
            write_tables(directory / name, _by_shard(pieces(parts), unit.shards))
    return outcome


def _by_shard(rows: Iterator[pa.Table], shards: range) -> Iterator[pa.Table]:
    """One table per shard, from rows that are sorted by shard."""
    held: list[pa.Table] = []
    current = shards.start
    for piece in rows:
        piece = piece.drop_columns("key")
        shard = piece.column("shard").to_numpy()
        while True:
            end = int(np.searchsorted(shard, current, side="right"))
            held.append(piece.slice(0, end))
            if end == len(shard):
                break
            yield pa.concat_tables(held)
            piece, shard, held, current = piece.slice(end), shard[end:], [], current + 1
    yield pa.concat_tables(held)
    empty = held[0].schema.empty_table()
    yield from itertools.repeat(empty, shards.stop - 1 - current)
