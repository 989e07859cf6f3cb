"""Captures found by a columnar index in Parquet, as Common Crawl publishes one: which byte ranges of which WARC files.

An index is any Parquet with the columns `warc_filename`, `warc_record_offset` and `warc_record_length`; conditions name
further columns, such as `content_languages`, `url_host_tld`, `fetch_status` or `content_mime_detected`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import Column, dictionary, to_list
from dclm.core.errors import ConfigError, DataError
from dclm.pool.files import ByteRange
from dclm.pool.streams import open_stream, parquet_file
from dclm.text.hosts import canonical_host

FILE, OFFSET, LENGTH = "warc_filename", "warc_record_offset", "warc_record_length"
_BATCH_ROWS = 1 << 16
_HOSTS = ("url_host_name", "url_host_registered_domain")
Conditions = Mapping[str, Sequence[str | int]]
"""Column → allowed values."""


def captures(path: str, where: Conditions) -> Iterator[tuple[str, ByteRange]]:
    """File name in the crawl and byte range of every capture in one index file that meets all conditions, in order.

    `path`: a local path or URL. Row groups whose statistics rule out a match are not fetched.
    Raises: ConfigError for a condition on a missing column, DataError if the file is not such an index.
    """
    with contextlib.closing(open_stream(path)) as stream:
        try:
            index = parquet_file(stream)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(path, f"not a Parquet file: {error}"[:300]) from None
        names = set(index.schema_arrow.names)
        missing = [name for name in (FILE, OFFSET, LENGTH) if name not in names]
        if missing:
            raise DataError(path, f"no index of captures: the column {missing[0]} is missing", "check `index`")
        unknown = [name for name in where if name not in names]
        if unknown:
            raise ConfigError(path, f"no column {unknown[0]}, found: {', '.join(sorted(names))}", "check `where`")
        wanted = {name: _values(name, values, index.schema_arrow.field(name).type) for name, values in where.items()}
        groups = [n for n in range(index.num_row_groups) if _may_match(index.metadata.row_group(n), wanted)]
        columns = list(dict.fromkeys((FILE, OFFSET, LENGTH, *wanted)))
        try:
            for batch in index.iter_batches(_BATCH_ROWS, row_groups=groups, columns=columns) if groups else ():
                yield from _matching(batch, wanted)
        except (pa.ArrowInvalid, OSError) as error:
            raise DataError(path, f"cannot be read to its end: {error}"[:300]) from None


def _values(name: str, values: Sequence[str | int], kind: pa.DataType) -> Column:
    written: list[Any] = [canonical_host(str(v)) for v in values] if name in _HOSTS else list(values)
    try:
        found: Column = pa.array(written).cast(kind.value_type if pa.types.is_dictionary(kind) else kind)
        return found
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        raise ConfigError("where", f"{name} is {kind}, found {written[0]!r}", "give values of that type") from None


def _may_match(group: pq.RowGroupMetaData, wanted: Mapping[str, Column]) -> bool:
    for number in range(group.num_columns):
        column = group.column(number)
        values = wanted.get(column.path_in_schema)
        statistics = column.statistics
        if values is None or statistics is None or not statistics.has_min_max:
            continue
        low, high = cast(Any, statistics.min), cast(Any, statistics.max)
        if not any((type(v) is type(low) and low <= v <= high) or type(v) is not type(low) for v in to_list(values)):
            return False
    return True


def _matching(batch: pa.RecordBatch, wanted: Mapping[str, Column]) -> Iterator[tuple[str, ByteRange]]:
    for name, values in wanted.items():
        column = batch.column(name)
        column = dictionary(column).dictionary_decode() if pa.types.is_dictionary(column.type) else column
        batch = batch.filter(pc.is_in(column, value_set=values))
    columns = (batch.column(name).to_pylist() for name in (FILE, OFFSET, LENGTH))
    for file, offset, length in zip(*columns, strict=True):
        if file is not None and offset is not None and length is not None:
            yield str(file), ByteRange(int(offset), int(length))
