"""CSV and TSV files with a header, plain or compressed, one row at a time: the format of spreadsheets and data
portals."""

from __future__ import annotations

import codecs
import contextlib
import csv
import itertools
from collections.abc import Iterable, Iterator

from dclm.pool.files import PACKED, InputFile
from dclm.pool.rows import MAX_PAGE_BYTES, Row
from dclm.pool.streams import open_stream, utf8_text
from dclm.pool.texts.jsonl import row_of_object
from dclm.pool.texts.layout import FieldFinder


def read_rows(file: InputFile, damage: list[str]) -> Iterator[Row]:
    """One row per record after the header; a record that is not a document is a reject that names its number (from 1).

    Fields are those of the header, found as in JSON lines; all values are texts. A quoted value may contain line ends.
    UTF-16 is recognized by its byte order mark; bytes that are not UTF-8 become U+FFFD. `source` counts records from 0.
    """
    csv.field_size_limit(MAX_PAGE_BYTES)
    with contextlib.closing(open_stream(file.path)) as stream:
        reader = csv.reader(_lines(utf8_text(stream, file.path, damage)), delimiter=_delimiter(file.path), strict=True)
        header = next(reader, None)
        if header is None:
            return
        number, finder = 0, FieldFinder(file.fields)
        while True:
            try:
                values = next(reader, None)
            except csv.Error as error:
                yield _reject(file, number, str(error))
            else:
                if values is None:
                    return
                if not values:
                    continue  # a blank line
                yield _row(file, number, header, values, finder)
            number += 1


def first_records(file: InputFile, count: int) -> list[dict[str, str]]:
    """The first readable records, at most `count`, keyed by the names of the header."""
    csv.field_size_limit(MAX_PAGE_BYTES)
    with contextlib.closing(open_stream(file.path)) as stream:
        reader = csv.DictReader(_lines(utf8_text(stream, file.path, [])), delimiter=_delimiter(file.path), strict=True)
        try:
            return [
                {name: value for name, value in record.items() if isinstance(name, str) and isinstance(value, str)}
                for record in itertools.islice(reader, count)
            ]
        except csv.Error:
            return []  # the reader reports the problem


def _row(file: InputFile, number: int, header: list[str], values: list[str], finder: FieldFinder) -> Row:
    if len(values) != len(header):
        return _reject(file, number, f"{len(values)} values, but the header has {len(header)}")
    value: dict[str, object] = dict(zip(header, values, strict=True))
    return row_of_object(value, f"{file.name}#{number}", "record", number + 1, finder)


def _reject(file: InputFile, number: int, reason: str) -> Row:
    said = f"record {number + 1}: {reason}"
    return Row("document", f"{file.name}#{number}", None, None, None, None, None, said)


def _delimiter(path: str) -> str:
    name = path.lower()
    for packed in PACKED:
        name = name.removesuffix(packed)
    return "\t" if name.endswith(".tsv") else ","


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Lines with their ends, without a byte order mark. A line that is too long is yielded in parts, which csv
    refuses."""
    decoder = codecs.getincrementaldecoder("utf-8-sig")("replace")
    held = ""
    for chunk in chunks:
        *whole, held = (held + decoder.decode(chunk)).split("\n")
        yield from (f"{line}\n" for line in whole)
        if len(held) > MAX_PAGE_BYTES:
            yield held
            held = ""
    held += decoder.decode(b"", final=True)
    if held:
        yield held
