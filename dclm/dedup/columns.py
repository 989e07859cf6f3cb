"""Arrow columns as the flat arrays that kernels read, and tables made of such arrays."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

U8 = npt.NDArray[np.uint8]
U32 = npt.NDArray[np.uint32]
U64 = npt.NDArray[np.uint64]
I64 = npt.NDArray[np.int64]
Bool = npt.NDArray[np.bool_]

_ROW_BITS = 40  # 1.1e12 records a shard, 2^23 shards: both far beyond any pool


class Strings(NamedTuple):
    """A string column: the bytes of value i are `data[offsets[i]:offsets[i + 1]]`."""

    offsets: I64
    data: U8


def strings(column: pa.Array) -> Strings:
    """The buffers of a string or binary column without copying its bytes; nulls are empty."""
    if column.null_count:
        column = pc.fill_null(column, pa.scalar(b"" if pa.types.is_binary(column.type) else "", column.type))
    large = pa.types.is_large_string(column.type) or pa.types.is_large_binary(column.type)
    _, offsets, data = column.buffers()
    if len(column) == 0 or offsets is None:
        return Strings(np.zeros(1, np.int64), np.zeros(0, np.uint8))
    width = np.int64 if large else np.int32
    at = np.frombuffer(offsets, dtype=width)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    flat = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, dtype=np.uint8)
    return Strings(at, flat)


def ints(table: pa.Table, name: str) -> I64:
    """A column of integers without nulls as one flat array."""
    flat: I64 = table.column(name).to_numpy().astype(np.int64, copy=False)
    return flat


def hashes(table: pa.Table, name: str) -> U64:
    """A column of 64-bit hashes without nulls as one flat array."""
    flat: U64 = table.column(name).to_numpy().astype(np.uint64, copy=False)
    return flat


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
    """The `drops` of a decision: each dropped document beside the one that stays in its place, in document order."""
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
