"""Batches of a Parquet file in parts of bounded size, with their dictionaries decoded."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from dclm.core.arrow import concatenated, dictionary, filled, lengths

BROKEN = (pa.ArrowInvalid, pa.ArrowCapacityError, OSError)
"""Errors of reading a Parquet file whose content is damaged."""
TEXT_TYPES = (pa.string(), pa.large_string(), pa.string_view(), pa.binary(), pa.large_binary())


def parts_of(batch: pa.RecordBatch, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    """The batch with its dictionaries decoded, in parts of at most `batch_bytes` or one row.

    A dictionary with one text and a thousand rows that refer to it are small, but their values are not: where to cut
    follows from the lengths of the dictionary's values, before any row is decoded.
    """
    if not any(pa.types.is_dictionary(kind) for kind in batch.schema.types):
        yield from _split(batch, batch_bytes)
        return
    total = np.zeros(batch.num_rows, np.int64)
    for column in batch.columns:
        if pa.types.is_dictionary(column.type) and plain_type(column.type) in TEXT_TYPES:
            encoded = dictionary(column)
            sizes = filled(lengths(encoded.dictionary), 0).take(filled(encoded.indices, 0))
            total += sizes.to_numpy(zero_copy_only=False).astype(np.int64) if len(encoded.dictionary) else 0
    ends = np.cumsum(total)
    start = 0
    while start < batch.num_rows:
        before = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, before + batch_bytes, side="right")))
        yield from _split(_plain(batch.slice(start, end - start)), batch_bytes)
        start = end


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch with its dictionaries decoded, so that its size in memory is that of its values."""
    for index, field in enumerate(batch.schema):
        if pa.types.is_dictionary(field.type):
            values = dictionary(batch.column(index)).dictionary_decode()
            batch = batch.set_column(index, field.with_type(values.type), values)
    return batch


def _split(batch: pa.RecordBatch, batch_bytes: int) -> Iterator[pa.RecordBatch]:
    """Halve until each part has at most `batch_bytes` or one row."""
    if batch.num_rows <= 1 or batch.get_total_buffer_size() <= batch_bytes or batch.nbytes <= batch_bytes:
        if batch.num_rows:
            yield batch
        return
    middle = batch.num_rows // 2
    yield from _split(batch.slice(0, middle), batch_bytes)
    yield from _split(batch.slice(middle), batch_bytes)


def merged(parts: Iterator[pa.RecordBatch], rows: int, size: int) -> Iterator[pa.RecordBatch]:
    """Small parts joined into parts of at most `rows` rows and `size` bytes. Rows before an error come before it."""
    held: list[pa.RecordBatch] = []
    num_rows = num_bytes = 0
    try:
        for part in parts:
            more = part.nbytes
            if held and (num_rows + part.num_rows > rows or num_bytes + more > size):
                yield _joined(held)
                held, num_rows, num_bytes = [], 0, 0
            held.append(part)
            num_rows += part.num_rows
            num_bytes += more
    except BROKEN:
        if held:
            yield _joined(held)
        raise
    if held:
        yield _joined(held)


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    return concatenated(parts) if len(parts) > 1 else parts[0]


def plain_type(kind: pa.DataType) -> pa.DataType:
    """The type of the values, whether they are in a dictionary or have a special logical type (JSON, UUID)."""
    kind = kind.storage_type if isinstance(kind, pa.BaseExtensionType) else kind
    return kind.value_type if pa.types.is_dictionary(kind) else kind
