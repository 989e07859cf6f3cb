"""A partition's keys from all shards as tables of bounded size: an external merge by ranges of the key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.curate.output.files import Mapped
from dclm.dedup.order import order_by_key

Keys = npt.NDArray[np.uint64]

PIECE_BYTES = 16 << 20
"""Bytes of keys in memory at once; affects the bytes of reduced tables, so it is not a setting."""
PART_BYTES = 8 << 10  # minimum bytes of a piece per part: reading a part takes as long as sorting this many bytes
_SAMPLES = 256  # a piece
_MAPPED = 32  # number of files whose pages are held at once


def pieces(parts: Sequence[Mapped], piece_bytes: int | None = None) -> Iterator[pa.Table]:
    """The rows of all tables of `parts` in order of (key, table), in tables of about `PIECE_BYTES`; at least one.

    Each table is sorted by its uint64 column `key`, and the order within a table is preserved. All rows of one key are
    in the same piece, which may then be larger. Memory: the content of one piece, and a table's keys.
    """
    size = sum(table.nbytes for part in parts for table in part.tables)
    bounds = _bounds(parts, math.ceil(size / (piece_bytes or max(PIECE_BYTES, len(parts) * PART_BYTES))))
    edges = [[0, *np.searchsorted(key, bounds).tolist(), len(key)] for key in _keys(parts)]
    for i in range(len(bounds) + 1):
        yield _by_key(pa.concat_tables(_copied(parts, [(e[i], e[i + 1]) for e in edges])))


def _by_key(rows: pa.Table) -> pa.Table:
    return rows.take(order_by_key(rows.column("key").to_numpy()))


def _copied(parts: Sequence[Mapped], spans: Sequence[tuple[int, int]]) -> Iterator[pa.Table]:
    """A span of rows of each table, some parts at a time: if little of a page is read, its neighbors are read along
    with it."""
    rest = iter(spans)
    for start in range(0, len(parts), _MAPPED):
        group = parts[start : start + _MAPPED]
        slices = []
        for table in (table for part in group for table in part.tables):
            first, end = next(rest)
            slices.append(table.slice(first, end - first))
        yield pa.concat_tables(slices).combine_chunks()
        for part in group:
            part.release()


def _keys(parts: Sequence[Mapped]) -> Iterator[Keys]:
    """The keys of each table, whose pages are released after it."""
    for part in parts:
        for table in part.tables:
            yield table.column("key").to_numpy()
        part.release()


def _bounds(parts: Sequence[Mapped], count: int) -> Keys:
    """Keys that divide all keys into about `count` runs of even length, found from every n-th key."""
    if count <= 1:
        return np.zeros(0, np.uint64)
    every = max(1, sum(table.num_rows for part in parts for table in part.tables) // (count * _SAMPLES))
    samples = []
    skip = 0
    for key in _keys(parts):
        samples.append(key[skip::every].copy())
        skip = (skip - len(key)) % every
    sample = np.sort(np.concatenate(samples))
    return np.unique(sample[np.arange(1, count) * len(sample) // count])
