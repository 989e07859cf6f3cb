"""Key tables as flat arrays, documents as single numbers, and tables of drops made from them."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
F64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Numbers = TypeVar("Numbers", I64, U64)

_ROW_BITS = 40  # 1.1e12 records per shard, 2^23 shards: both far beyond any pool


def ints(table: pa.Table, name: str) -> I64:
    """A column of integers without nulls as one flat array."""
    flat: I64 = table.column(name).to_numpy().astype(np.int64, copy=False)
    return flat


def hashes(table: pa.Table, name: str) -> U64:
    """A column of 64-bit hashes without nulls as one flat array."""
    flat: U64 = table.column(name).to_numpy().astype(np.uint64, copy=False)
    return flat


def distinct(values: Numbers) -> Numbers:
    """The sorted distinct values; several times as fast as `np.unique`, which hashes."""
    values = np.sort(values)
    return values[run_starts(values)]


def run_starts(values: I64 | U64) -> Bool:
    """Whether each of some sorted values differs from the one before it."""
    starts = np.ones(len(values), np.bool_)
    starts[1:] = values[1:] != values[:-1]
    return starts


def documents_of(table: pa.Table, prefix: str = "") -> I64:
    """The packed documents of columns `shard` and `row` (with `prefix` before their names)."""
    return pack(ints(table, f"{prefix}shard"), ints(table, f"{prefix}row"))


def pack(shard: I64, row: I64) -> I64:
    """Documents as single numbers whose order is document order."""
    return (shard << _ROW_BITS) | row


def shard_of(document: I64) -> npt.NDArray[np.int32]:
    """The shard of packed documents."""
    return (document >> _ROW_BITS).astype(np.int32)


def row_of(document: I64) -> I64:
    """The row of packed documents."""
    return document & ((1 << _ROW_BITS) - 1)


def drops_table(dropped: I64, kept: I64) -> pa.Table:
    """The `drops` of a decision: each dropped document with the one that is kept instead, in document order."""
    if np.any(dropped[1:] < dropped[:-1]):
        order = np.argsort(dropped, kind="stable")
        dropped, kept = dropped[order], kept[order]
    return pa.table(
        {
            "shard": pa.array(shard_of(dropped), pa.int32()),
            "row": pa.array(row_of(dropped), pa.int64()),
            "kept_shard": pa.array(shard_of(kept), pa.int32()),
            "kept_row": pa.array(row_of(kept), pa.int64()),
        }
    )


def drops_by(rule: str, dropped: I64, similarity: F64 | None = None) -> pa.Table:
    """The `drops` of documents (packed, in document order) that duplicate something outside the corpus.

    similarity: of each document to what it duplicates; NaN: not computed.
    """
    drops = pa.table(
        {
            "shard": pa.array(shard_of(dropped), pa.int32()),
            "row": pa.array(row_of(dropped), pa.int64()),
            "kept_shard": pa.nulls(len(dropped), pa.int32()),
            "kept_row": pa.nulls(len(dropped), pa.int64()),
            "rule": pa.repeat(pa.scalar(rule, pa.string()), len(dropped)),
        }
    )
    if similarity is None:
        return drops
    return drops.append_column("similarity", pa.array(similarity, from_pandas=True))


def no_drops() -> pa.Table:
    """The `drops` of a decision that drops nothing."""
    return drops_table(np.empty(0, np.int64), np.empty(0, np.int64))


def edits_table(documents: I64, starts: I64, ends: I64) -> pa.Table:
    """A table of a decision's `edits`: spans to remove from documents (packed), in any order."""
    return pa.table(
        {
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "start": pa.array(starts, pa.int64()),
            "end": pa.array(ends, pa.int64()),
        }
    )
