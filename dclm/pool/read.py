"""One file of a pool → Arrow batches of pages or documents, whatever its format and however damaged it is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import num_true
from dclm.documents.schema import SOURCE_NAME
from dclm.pool.archives import arc, warc
from dclm.pool.archives.http import parse_response
from dclm.pool.archives.warc_part import PartReader, Seam
from dclm.pool.files import ARC, PACKED, InputFile
from dclm.pool.packing import detect, pieces
from dclm.pool.rows import ArchiveRecord, Row, RowKind, to_batches
from dclm.pool.streams import open_stream, read_range
from dclm.pool.texts import delimited, jsonl, parquet

_ID = re.compile(r"^<?(urn:uuid:)?|>$")

_COUNTED_APART = frozenset(["id", "source", "text", "body", "documents"])
_CODING = re.compile(r"(?:content|transfer) encoding \w+")


@dataclass(kw_only=True)
class Tally:
    """A reader's findings in a file, apart from its rows. Filled while reading; complete at the end."""

    records: int = 0
    """Number of rows, including rejects."""
    skipped: dict[str, int] = field(default_factory=dict)
    """WARC type → number of records of types that contain no page (request, metadata, warcinfo, revisit …)."""
    partial: dict[str, int] = field(default_factory=dict)
    """Truncated coding of the payload → number of pages of which only the readable part was returned."""
    damage: list[str] = field(default_factory=list)
    """Damage to the file itself, one sentence each."""
    seam: Seam | None = None
    """For a part of an archive: where reading began and where the next part must begin."""
    fields: dict[str, int] = field(default_factory=dict)
    """Column besides the text → number of valid rows with a value in it; `documents`: number of all valid rows."""

    def look(self, batch: pa.RecordBatch) -> None:
        """Count the values in a batch."""
        good = pc.is_null(batch.column("_reject"))
        self.fields["documents"] = self.fields.get("documents", 0) + num_true(good)
        for name in batch.schema.names:
            if name not in _COUNTED_APART and not name.startswith("_"):
                found = num_true(pc.and_(good, pc.is_valid(batch.column(name))))
                self.fields[name] = self.fields.get(name, 0) + found


def read_file(
    file: InputFile, tally: Tally, *, batch_rows: int = 1024, batch_bytes: int = 64 << 20, only_text: bool = False
) -> Iterator[pa.RecordBatch]:
    """Batches of PAGE columns (responses, resources) or DOCUMENT columns (conversions, JSONL, Parquet).

    Every batch also has `_row` (int64: index of the record in the file) and `_reject` (string, null: valid), pages have
    `_rights` (string: lines of the HTTP header about their use). Parquet files that are documents of an artifact keep
    their other columns, except those whose name begins with "_". only_text: of Parquet files, read only the text and
    the fields to keep, without id, URL and date. Damage never raises: rows that can be identified become rejects, and
    `tally.damage` describes the rest. Raises: DataError if the file cannot be opened, reading fails, or a Parquet file
    has no text column.
    """
    if file.kind == "parquet":
        batches = parquet.read_batches(file, tally.damage, batch_rows, batch_bytes, only_text)
    elif file.kind == "jsonl":
        batches = to_batches(jsonl.read_rows(file, tally.damage), batch_rows, batch_bytes, file.fields.keep)
    elif file.kind == "csv":
        batches = to_batches(delimited.read_rows(file, tally.damage), batch_rows, batch_bytes, file.fields.keep)
    else:
        batches = to_batches(_warc_rows(file, tally), batch_rows, batch_bytes)
    seen = False
    for batch in _with_source_name(batches, file.source_name):
        tally.records += batch.num_rows
        tally.look(batch)
        seen = True
        yield batch
    if not seen and not tally.skipped and _should_hold_records(file, tally):
        tally.damage.append("contains no records")


def _with_source_name(batches: Iterator[pa.RecordBatch], name: str) -> Iterator[pa.RecordBatch]:
    """The batches with the column `source_name`, unless `name` is empty; a column of that name is replaced."""
    for batch in batches:
        if name:
            if SOURCE_NAME in batch.schema.names:
                batch = batch.drop_columns([SOURCE_NAME])
            batch = batch.append_column(SOURCE_NAME, pa.repeat(pa.scalar(name, pa.string()), batch.num_rows))
        yield batch


def _should_hold_records(file: InputFile, tally: Tally) -> bool:
    """Whether an empty result means damage; parts of a file may well be empty."""
    if file.part is not None and (file.part.offset > 0 or tally.seam is None or tally.seam.following is not None):
        return False
    return bool(tally.damage) or not _is_empty(file)


def _is_empty(file: InputFile) -> bool:
    """Whether an undamaged file also has no content: an empty part, as many writers leave."""
    if file.kind in ("parquet", "csv"):  # for CSV, a header counts as content
        return True
    if file.ranges:
        return False
    with contextlib.closing(open_stream(file.path)) as stream:
        packing = detect(stream, stream.path)
        if packing.kind == "plain" and file.path.lower().endswith(PACKED):
            return False  # a compressed file has a few bytes even if it is empty
        return not any(piece.data.strip() for piece in pieces(stream, packing))


def _warc_rows(file: InputFile, tally: Tally) -> Iterator[Row]:
    seen: set[str] = set()
    before, repeats = -1, 0
    for record in _records(file, tally):
        if record.type not in _ROWS:
            tally.skipped[record.type] = tally.skipped.get(record.type, 0) + 1
            continue
        repeats = repeats + 1 if record.offset == before else 0
        before = record.offset
        source = f"{file.name}#{record.offset}" + (f"+{repeats}" if repeats else "")
        row = _row(record, source, tally.partial)
        if row.id is not None and row.id in seen:
            row = row._replace(id=None)
        elif row.id is not None:
            seen.add(row.id)
        yield row


_ROWS: dict[str, RowKind] = {"response": "page", "resource": "page", "conversion": "document"}


def _records(file: InputFile, tally: Tally) -> Iterator[ArchiveRecord]:
    """The records of the file, of a part of it, or of its ranges, each of which is an archive at an offset."""
    damage = tally.damage
    if file.part is not None:
        with contextlib.closing(open_stream(file.path)) as stream:
            reader = PartReader(stream, file.part, damage)
            yield from reader.records()
            tally.seam = reader.seam
        return
    read = arc.read_records if file.name.lower().endswith(ARC) else warc.read_records
    if not file.ranges:
        with contextlib.closing(open_stream(file.path)) as stream:
            yield from read(stream, damage)
        return
    for part in file.ranges:
        found: list[str] = []
        number = 0
        for record in read(read_range(file.path, part), found):
            number += 1
            yield record._replace(offset=part.offset + record.offset)
        if number == 0:
            found.append("contains no records")
        damage.extend(f"bytes {part.offset}+{part.length}: {what}" for what in found)


def _row(record: ArchiveRecord, source: str, partial: dict[str, int]) -> Row:
    name = _ID.sub("", record.id) if record.id else None
    url = record.url.strip("<>") if record.url else None
    kind = _ROWS[record.type]
    if record.block is None:
        return Row(kind, source, name, url, record.date, record.content_type, None, record.problem)
    if kind == "document":
        return Row(kind, source, name, url, record.date, None, *_utf8(record.block))
    if record.type == "resource" and not (record.content_type or "").startswith("application/http"):
        return Row(kind, source, name, url, record.date, record.content_type, record.block, None)
    response = parse_response(record.block)
    if response.cut is not None:
        coding = _CODING.match(response.cut)
        name = coding[0] if coding else response.cut
        partial[name] = partial.get(name, 0) + 1
    rights = response.rights
    return Row(kind, source, name, url, record.date, response.content_type, response.body, response.reject, (), rights)


def _utf8(block: bytes) -> tuple[bytes | None, str | None]:
    try:
        block.decode("utf-8")
    except UnicodeDecodeError as error:
        return None, f"not UTF-8: byte {error.start}"
    return block, None
