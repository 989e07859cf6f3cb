"""How many rows of a Parquet row group make a batch, so that a small file never expands to gigabytes at once."""

from __future__ import annotations

import re
from typing import NamedTuple

import pyarrow.parquet as pq

from dclm.pool.streams import GuardedStream

_MAX_BYTES = 256 << 20
"""Maximum size of a batch if every row repeats the whole content of its column."""
_FEW_ROWS = 64
"""A column whose dictionary allows no more rows than this per batch is read as a dictionary, which takes longer."""
_PAGE_HEADER = re.compile(rb"\x15[\x80-\xff]*[\x00-\x7f]\x15([\x80-\xff]{0,4}[\x00-\x7f])", re.DOTALL)
"""Thrift's compact form of the first two fields of a page header, both i32."""


class ReadPlan(NamedTuple):
    """How a row group is read."""

    rows: int
    """Rows per batch."""
    dictionaries: list[str]
    """Columns to read as dictionaries."""


def plan_batches(
    stream: GuardedStream, group: pq.RowGroupMetaData, columns: list[str], batch_rows: int, batch_bytes: int
) -> ReadPlan:
    """As many rows as fit `batch_bytes` at the group's mean row size, and fewer if one row may expand to much more than
    its share: by a dictionary, or by delta encoding (a row that repeats the previous one).
    """
    rows = int(max(1, min(batch_rows, batch_bytes * group.num_rows / max(group.total_byte_size, 1))))
    dictionaries: list[str] = []
    for index in range(group.num_columns):
        chunk = group.column(index)
        name = chunk.path_in_schema
        if name.split(".")[0] not in columns or chunk.physical_type != "BYTE_ARRAY":
            continue
        longest = chunk.total_uncompressed_size if "DELTA_BYTE_ARRAY" in chunk.encodings else 0
        if chunk.has_dictionary_page and rows * chunk.total_uncompressed_size > _MAX_BYTES:
            page = _dictionary_bytes(stream, chunk)
            if page > _MAX_BYTES // _FEW_ROWS and name in columns:
                dictionaries.append(name)
            else:
                longest = max(longest, page)
        rows = max(1, min(rows, _MAX_BYTES // max(longest, 1)))
    return ReadPlan(rows, dictionaries)


def _dictionary_bytes(stream: GuardedStream, chunk: pq.ColumnChunkMetaData) -> int:
    """The uncompressed size of a dictionary page: the second field of its header, after the page's type."""
    assert chunk.dictionary_page_offset is not None
    stream.seek(chunk.dictionary_page_offset)
    head = stream.read(32)
    found = _PAGE_HEADER.match(head)
    if found is None:
        return int(chunk.total_uncompressed_size)
    number: int = sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(found[1]))
    return number >> 1  # zigzag
