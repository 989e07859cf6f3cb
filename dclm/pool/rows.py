"""Rows as found by readers, and the Arrow batches that are built from many at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa

from dclm.core.arrow import Column, buffer_of
from dclm.documents.schema import DOCUMENT, PAGE
from dclm.pool.texts.layout import KeptType

Payload = bytes | memoryview
MAX_PAGE_BYTES = 32 << 20
"""Larger pages and lines are rejects: steps need up to 17 bytes per byte of a page, and a worker has 1.5 GB."""
MAX_FIELD_BYTES = 1 << 16
"""A record with a longer id, URL or date is a reject: batches and the ledger store these in addition to the page."""

KEPT: dict[KeptType, pa.DataType] = {"number": pa.float64(), "text": pa.string()}
RowKind = Literal["page", "document"]


class Row(NamedTuple):
    """One record that was read. `payload` is the page's body, or the document's text in UTF-8."""

    kind: RowKind
    source: str
    id: str | None
    url: str | None
    date: str | None
    content_type: str | None
    payload: Payload | None
    reject: str | None
    kept: tuple[object, ...] = ()
    """Values of the fields to keep; empty in rejects."""
    rights: str | None = None
    """For a page, the fields of its HTTP header about its use, as lines."""


class ArchiveRecord(NamedTuple):
    """One record of an archive. `block` is None for types that are not read, and if there is a `problem`."""

    offset: int
    type: str
    id: str | None
    url: str | None
    date: str | None
    content_type: str | None
    block: bytes | None
    problem: str | None


def identifier(source: str) -> str:
    """The id of a record that has none: 128 bits of blake2b of its `source`, in hex."""
    return hashlib.blake2b(source.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def to_batches(
    rows: Iterable[Row], batch_rows: int, batch_bytes: int, keep: Sequence[tuple[str, KeptType]] = ()
) -> Iterator[pa.RecordBatch]:
    """Batches of PAGE or DOCUMENT columns (a new batch begins where the kind changes) plus `_reject` and `_row`; pages
    also have `_rights`.

    A batch has at most `batch_rows` rows and `batch_bytes` of payload, but at least one row.
    """
    held: list[Row] = []
    size = first = 0
    for row in rows:
        more = len(row.payload) if row.payload is not None else 0
        if held and (len(held) >= batch_rows or size + more > batch_bytes or row.kind != held[0].kind):
            yield build(held, first, keep)
            first += len(held)
            held, size = [], 0
        held.append(row)
        size += more
    if held:
        yield build(held, first, keep)


def build(rows: Sequence[Row], first: int, keep: Sequence[tuple[str, KeptType]] = ()) -> pa.RecordBatch:
    """One batch of rows of one kind; `first` is the `_row` of the first row, `keep` the columns for kept fields."""
    _, sources, ids, urls, dates, types, payloads, rejects, kept, rights = zip(*rows, strict=True)
    columns: dict[str, Column] = {
        "id": pa.array([i or identifier(s) for i, s in zip(ids, sources, strict=True)], pa.string()),
        "url": pa.array(urls, pa.string()),
        "date": pa.array(dates, pa.string()),
        "source": pa.array(sources, pa.string()),
    }
    if rows[0].kind == "page":
        schema = PAGE.append(pa.field("_rights", pa.string()))
        columns["_rights"] = pa.array(rights, pa.string())
        columns["content_type"] = pa.array(types, pa.string())
        columns["body"] = binary_array(payloads, pa.binary())
    else:
        schema = DOCUMENT
        columns["text"] = binary_array(payloads, pa.string())
    for place, (name, kind) in enumerate(keep):
        schema = schema.append(pa.field(name, KEPT[kind]))
        columns[name] = pa.array([values[place] if values else None for values in kept], KEPT[kind])
    schema = schema.append(pa.field("_reject", pa.string())).append(pa.field("_row", pa.int64()))
    columns["_reject"] = pa.array(rejects, pa.string())
    columns["_row"] = pa.array(np.arange(first, first + len(rows), dtype=np.int64))
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def binary_array(values: Sequence[Payload | None], kind: pa.DataType) -> Column:
    """An Arrow array of `kind` (binary or string; then the values must be UTF-8) in one copy."""
    lengths = np.fromiter((0 if v is None else len(v) for v in values), np.int64, len(values))
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    missing = np.fromiter((v is None for v in values), np.bool_, len(values))
    valid = pa.py_buffer(np.packbits(~missing, bitorder="little").tobytes()) if missing.any() else None
    data = pa.allocate_buffer(
        int(offsets[-1])
    )  # Arrow's memory pool keeps its pages, whereas b"".join would fault in new ones
    with memoryview(data).cast("B") as view:
        for value, start, end in zip(values, offsets[:-1].tolist(), offsets[1:].tolist(), strict=True):
            if value is not None:
                view[start:end] = value
    return pa.Array.from_buffers(kind, len(values), [valid, buffer_of(offsets), data], null_count=int(missing.sum()))
