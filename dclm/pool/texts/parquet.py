"""Parquet files with a text column: published datasets, and the documents of an artifact. Memory is bounded."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import (
    Column,
    column_of,
    filled,
    joined,
    lengths,
    replaced,
    schema_of,
    strings,
    struct_field,
    to_list,
)
from dclm.core.errors import DataError
from dclm.documents.schema import DOCUMENT
from dclm.pool.files import ByteRange, InputFile
from dclm.pool.rows import KEPT, MAX_FIELD_BYTES, MAX_PAGE_BYTES, identifier
from dclm.pool.streams import open_stream, parquet_file
from dclm.pool.texts.layout import FieldName, as_object, kept_value, look_up
from dclm.pool.texts.parquet_parts import BROKEN, TEXT_TYPES, merged, parts_of, plain_type
from dclm.pool.texts.parquet_plan import plan_batches


def read_batches(
    file: InputFile, damage: list[str], batch_rows: int, batch_bytes: int, only_text: bool = False
) -> Iterator[pa.RecordBatch]:
    """Batches of DOCUMENT columns, `_reject` and `_row`; also the other columns if these are an artifact's documents.

    only_text: neither read nor add URL, id and date, nor an artifact's other columns. Text, URL, id and date are
    searched as in JSON lines; `metadata` may be a struct, a map or JSON text. Rows whose text is null, not UTF-8 or
    longer than `MAX_PAGE_BYTES` are rejects. If a row group is broken, its rows from there on are missing, with a line
    in `damage`. Raises: DataError without a text column; it may be dictionary-encoded.
    """
    with contextlib.closing(open_stream(file.path)) as stream:
        try:
            parquet = parquet_file(stream)
        except (pa.ArrowInvalid, OSError) as error:
            if file.part is None or file.part.offset == 0:
                damage.append(f"not a Parquet file: {error}"[:300])
            return
        if parquet.metadata.num_rows == 0 and _text_column(file, parquet.schema_arrow) is None:
            return  # an empty part, for which some writers leave out the columns
        columns = _columns(file, parquet.schema_arrow, only_text)
        end = 0
        reader, dictionaries = parquet, list[str]()
        for group in range(parquet.num_row_groups):
            first, end = end, end + parquet.metadata.row_group(group).num_rows
            if not _is_mine(file.part, parquet.metadata.row_group(group)):
                continue
            plan = plan_batches(stream, parquet.metadata.row_group(group), columns, batch_rows, batch_bytes)
            try:
                if plan.dictionaries != dictionaries:
                    reader = parquet_file(stream, parquet.metadata, plan.dictionaries)
                    dictionaries = plan.dictionaries
                batches = reader.iter_batches(plan.rows, row_groups=[group], columns=columns)
                parts = (part for batch in batches for part in parts_of(batch, batch_bytes))
                for part in merged(parts, batch_rows, batch_bytes) if only_text else parts:
                    yield _documents(file, part, first, only_text)
                    first += part.num_rows
            except BROKEN as error:
                damage.append(f"row group {group} cannot be read from row {first} on: {error}"[:300])
        if end == 0 and not damage and _is_artifact(file, parquet.schema_arrow):  # a shard of which nothing was kept
            schema = pa.schema([parquet.schema_arrow.field(name) for name in columns])
            yield _documents(file, pa.RecordBatch.from_pylist([], schema=schema), 0, only_text)


def _is_mine(part: ByteRange | None, group: pq.RowGroupMetaData) -> bool:
    """Whether a row group begins in a part of the file."""
    if part is None:
        return True
    column = group.column(0)
    start = min(at for at in (column.dictionary_page_offset, column.data_page_offset) if at is not None)
    return bool(part.offset <= start < part.offset + part.length)


def _text_column(file: InputFile, schema: pa.Schema) -> str | None:
    """The first column of strings under one of the names that the text may have."""
    for name in file.fields.paths("text"):
        found = schema.field(name).type if schema.get_field_index(name) >= 0 else None
        if found is not None and (pa.types.is_null(found) or plain_type(found) in TEXT_TYPES):
            return name
    return None


def _columns(file: InputFile, schema: pa.Schema, only_text: bool) -> list[str]:
    """The columns to read. Raises: DataError without a text column of strings."""
    text = _text_column(file, schema)
    if text is None:
        what = f"found the columns {', '.join(f'{f.name} ({f.type})' for f in schema)}"
        needed = f"needed: `{file.fields.text or 'text'}`, of strings"
        hint = "name the column that holds the text: `pool: {parquet: ..., text: NAME}`"
        raise DataError(file.path, f"{what[:600]}; {needed}", hint)
    if not only_text and _is_artifact(file, schema):
        return [name for name in schema.names if not name.startswith("_")]
    names: tuple[FieldName, ...] = () if only_text else ("url", "id", "date")
    paths = [path for name in names for path in file.fields.paths(name)] + [path for path, _ in file.fields.keep]
    wanted = {text, *paths, *(path.partition(".")[0] for path in paths)}
    return [name for name in schema.names if name in wanted]


def _is_artifact(file: InputFile, schema: pa.Schema) -> bool:
    """Whether these are documents as written by dclm: from an artifact, with all DOCUMENT columns as strings."""
    return file.artifact and all(
        schema.get_field_index(f.name) >= 0 and schema.field(f.name).type == f.type for f in DOCUMENT
    )


def _documents(file: InputFile, batch: pa.RecordBatch, first: int, only_text: bool) -> pa.RecordBatch:
    count = batch.num_rows
    rows = column_of(np.arange(first, first + count, dtype=np.int64))
    name = _text_column(file, batch.schema)
    assert name is not None
    text, reject = _text(batch.column(name), name)
    if not only_text and _is_artifact(file, batch.schema):
        index = batch.schema.get_field_index("text")
        batch = batch.set_column(index, DOCUMENT.field("text"), text)
        return batch.append_column("_reject", reject).append_column("_row", rows)
    source = joined([pa.repeat(pa.scalar(file.name), count), rows.cast(pa.string())], "#")
    columns = {"source": source, "text": text, "_reject": reject}
    if not only_text:
        columns |= _places(file, batch, columns)
    columns["_row"] = rows
    schema = schema_of(*(field for field in DOCUMENT if field.name in columns))
    for path, kind in file.fields.keep:
        schema = schema.append(pa.field(path, KEPT[kind]))
        column = _at(batch, path)
        values = [None] * count if column is None else to_list(column)
        columns[path] = pa.array([kept_value(value, kind) for value in values], KEPT[kind])
    schema = schema.append(pa.field("_reject", pa.string())).append(pa.field("_row", pa.int64()))
    return pa.record_batch([columns[name] for name in schema.names], schema=schema)


def _places(file: InputFile, batch: pa.RecordBatch, columns: Mapping[str, Column]) -> dict[str, Column]:
    """Id, URL and date, and text and `_reject` without the rows in which one of these is too long."""
    found: dict[str, Column] = {}
    too_long = []
    places: tuple[FieldName, ...] = ("id", "url", "date")
    for field in places:
        found[field], long = _short(_first_of(batch, file.fields.paths(field)))
        too_long.append(long)
    long_id, long_url, long_date = too_long
    long = pc.or_(pc.or_(long_id, long_url), long_date)
    ids = pc.replace_substring_regex(found["id"], r"^<?(?:urn:uuid:)?([^<>]*)>?$", r"\1")
    if ids.null_count:
        own = [identifier(source) for source in to_list(columns["source"].filter(ids.is_null()))]
        ids = replaced(strings(ids), ids.is_null(), pa.array(own, pa.string()))
    found["id"] = ids
    if pc.any(long).as_py():
        found["text"] = pc.if_else(long, pa.scalar(None, pa.string()), columns["text"])
        why = f"its id, URL or date is longer than {MAX_FIELD_BYTES} bytes"
        found["_reject"] = pc.if_else(long, why, columns["_reject"])
    return found


def _text(column: Column, name: str) -> tuple[Column, Column]:
    """The text as strings, null if it cannot be used, and the reason (null if it can)."""
    column = column.storage if isinstance(column, pa.ExtensionArray) else column
    plain = column.cast(pa.binary())
    long = filled(pc.greater(lengths(plain), pa.scalar(MAX_PAGE_BYTES)), False)
    if pc.any(long).as_py():
        plain = pc.if_else(long, pa.scalar(None, pa.binary()), plain)
    try:
        text = plain.cast(pa.string())
    except pa.ArrowInvalid:
        text = pa.array([_utf8(value) for value in plain.to_pylist()], pa.string())
    if not text.null_count:
        return text, pa.nulls(len(text), pa.string())
    why = pc.if_else(long, f"longer than {MAX_PAGE_BYTES} bytes", f"`{name}` is not UTF-8")
    why = pc.if_else(column.is_null(), f"`{name}` is null", why)
    return text, pc.if_else(text.is_null(), why, pa.scalar(None, pa.string()))


def _utf8(value: bytes | None) -> str | None:
    try:
        return None if value is None else value.decode("utf-8")
    except UnicodeDecodeError:
        return None


def _first_of(batch: pa.RecordBatch, paths: tuple[str, ...]) -> Column:
    """The first of the fields that a row has, as strings."""
    columns = [column for path in paths if (column := _at(batch, path)) is not None]
    columns = [_strings(c) for c in columns if not pa.types.is_nested(c.type)]
    empty = pa.nulls(batch.num_rows, pa.string())
    return pc.coalesce(*columns, empty)


def _at(batch: pa.RecordBatch, path: str) -> Column | None:
    """The field at `path`; None if none exists."""
    if batch.schema.get_field_index(path) >= 0:
        return batch.column(path)
    head, dot, rest = path.partition(".")
    if not dot or batch.schema.get_field_index(head) < 0:
        return None
    column = batch.column(head)
    while pa.types.is_struct(column.type):
        if column.type.get_field_index(rest) >= 0:
            return struct_field(column, rest)
        head, dot, rest = rest.partition(".")
        if not dot or column.type.get_field_index(head) < 0:
            return None
        column = struct_field(column, head)
    if not (pa.types.is_map(column.type) or plain_type(column.type) in TEXT_TYPES):
        return None
    values = [look_up(as_object(_decoded(value)), rest) for value in column.to_pylist()]
    return pa.array([v if isinstance(v, str) else None if v is None else json.dumps(v) for v in values], pa.string())


def _decoded(value: object) -> object:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _short(column: Column) -> tuple[Column, Column]:
    """The strings, null if they are longer than a field may be, and where they are too long."""
    long = filled(pc.greater(lengths(column), pa.scalar(MAX_FIELD_BYTES)), False)
    return pc.if_else(long, pa.scalar(None, pa.string()), column), long


def _strings(column: Column) -> Column:
    """Any values as strings, null if the string is empty; bytes that are not UTF-8 become U+FFFD.

    Arrow casts text, numbers and times. It would refuse all bytes because of a few, and for a logical type (such as a
    UUID) it casts the stored form instead of the meaning: these values are converted in Python.
    """
    in_python = isinstance(column, pa.ExtensionArray) or any(is_kind(column.type) for is_kind in _BYTES)
    text = _values_as_strings(column) if in_python else column.cast(pa.string())
    found: Column = pc.if_else(pc.equal(text, pa.scalar("")), pa.scalar(None, pa.string()), text)
    return found


_BYTES = (
    pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view,
)  # fmt: skip


def _values_as_strings(column: Column) -> Column:
    values = (v.decode("utf-8", "replace") if isinstance(v, bytes) else v for v in column.to_pylist())
    return pa.array([None if v is None else str(v) for v in values], pa.string())
