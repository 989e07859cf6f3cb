"""JSON lines in DCLM's layout (`text`, `url`, `metadata{WARC-*}`), plain or compressed, with bounded memory.

A `.json` file may also hold one array of such objects, or objects that are spread over several lines.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import Generator, Iterable, Iterator, Mapping

from dclm.pool.files import ByteRange, InputFile, is_packed
from dclm.pool.packing import detect
from dclm.pool.rows import MAX_FIELD_BYTES, MAX_PAGE_BYTES, Row
from dclm.pool.streams import GuardedStream, is_utf16, open_stream, utf8_text
from dclm.pool.texts.layout import FieldFinder, kept_value, look_up

_ID_PREFIX = "<urn:uuid:"
_READ_BYTES = 1 << 18
_DECODER = json.JSONDecoder()
_MAX_NUMBER = 10**100  # Python refuses to convert much longer ones to text


def read_rows(file: InputFile, damage: list[str]) -> Iterator[Row]:
    """One row per line that is not blank; a line that is not a document is a reject whose reason names the line (from
    1).

    Text, URL, id and date are read from the fields that the recipe names, otherwise from those of public corpora
    (`dclm.pool.texts.layout`). `source` counts lines from 0. Of other keys, only those to keep are read.
    """
    finder = FieldFinder(file.fields)
    for number, line in enumerate(read_objects(file, damage), file.first_line):
        if line is None or line.strip():
            yield _row(line, f"{file.name}#{number}", number + 1, finder)


def _row(line: bytes | None, source: str, number: int, finder: FieldFinder) -> Row:
    if line is None:
        return _reject(source, f"line {number}: longer than {MAX_PAGE_BYTES} bytes")
    try:
        value = parsed(line)
    except (ValueError, RecursionError) as error:  # bad JSON, bad UTF-8, absurd numbers or nesting
        return _reject(source, f"line {number}: {f'not JSON: {error}'[:200]}")
    if not isinstance(value, dict):
        return _reject(source, f"line {number}: found {type(value).__name__}, allowed: an object with `text`")
    return row_of_object(value, source, "line", number, finder)


def parsed(line: bytes) -> object:
    """What `json.loads` returns or raises, without its guesses at the encoding of lines that begin like most."""
    if line[:2] != b'{"':  # only the beginning of other lines leaves their encoding open
        return json.loads(line)
    text = line.decode("utf-8", "surrogatepass")
    value, end = _DECODER.raw_decode(text)
    if end < len(text) and text[end:].strip(" \t\r\n"):
        return json.loads(text)  # which reports what follows
    return value


def _reject(source: str, reason: str, url: str | None = None, name: str | None = None, date: str | None = None) -> Row:
    return Row("document", source, name, url, date, None, None, reason)


def row_of_object(value: Mapping[str, object], source: str, kind: str, number: int, finder: FieldFinder) -> Row:
    """The document in an object, with the fields that `finder` finds; a reject if it is not a document.

    kind, number: what the object is in its file, for the reason of a reject.
    """
    paths = finder.paths_in(value)
    url = _string(value, paths.url)
    name = _string(value, paths.id)
    name = name[len(_ID_PREFIX) :].rstrip(">") if name and name.startswith(_ID_PREFIX) else name
    date = _string(value, paths.date)
    if any(map(_is_long, (url, name, date))):
        reason = f"{kind} {number}: its id, URL or date is longer than {MAX_FIELD_BYTES} bytes"
        return _reject(source, reason, *(None if _is_long(field) else field for field in (url, name, date)))
    text = None
    for path in paths.text:
        text = look_up(value, path)
        if text is not None:
            break
    if not isinstance(text, str):
        found = "null" if text is None else type(text).__name__
        reason = f"`text` is {found}" if "text" in value or text is not None else f"no `{finder.fields.text or 'text'}`"
        return _reject(source, f"{kind} {number}: {reason}", url, name, date)
    try:
        payload = text.encode("utf-8")
    except UnicodeEncodeError:
        return _reject(source, f"{kind} {number}: `text` has lone surrogates", url, name, date)
    keep = finder.fields.keep
    kept = tuple([kept_value(look_up(value, path), wanted) for path, wanted in keep]) if keep else ()
    return Row("document", source, name, url, date, None, payload, None, kept)


def _string(value: Mapping[str, object], paths: tuple[str, ...]) -> str | None:
    """The first value that is a text or an integer, with lone surrogates replaced."""
    for path in paths:
        found = look_up(value, path)
        if isinstance(found, int) and not isinstance(found, bool) and abs(found) < _MAX_NUMBER:
            found = str(found)
        if isinstance(found, str) and found:
            return found if found.isascii() else found.encode("utf-8", "replace").decode("utf-8")
    return None


def _is_long(value: str | None) -> bool:
    return value is not None and len(value) > MAX_FIELD_BYTES // 4 and len(value.encode()) > MAX_FIELD_BYTES


def read_objects(file: InputFile, damage: list[str]) -> Iterator[bytes | None]:
    """The lines of the file, or the objects of a `.json` file whose first line is not a complete object."""
    part, named = file.part, ".json" in file.path.lower().removesuffix(".jsonl").rpartition("/")[2]
    if part is not None and named:
        with contextlib.closing(_lines(file, [])) as whole:
            spread = _is_spread(_head(whole))
        if spread and part.offset > 0:
            return  # objects on several lines are read with the first part
        part = None if spread else part
    lines = _lines(file, damage) if part is None else _lines_of_part(file, part, damage)
    if part is not None or not named:
        yield from lines
        return
    head = _head(lines)
    objects = itertools.chain(head, lines)
    yield from _values(objects) if _is_spread(head) else objects


def _head(lines: Iterator[bytes | None]) -> list[bytes | None]:
    """The lines up to the first that is not blank."""
    head: list[bytes | None] = []
    for line in lines:
        head.append(line)
        if line is None or line.strip():
            break
    return head


def _is_spread(head: list[bytes | None]) -> bool:
    """Whether a file that begins with these lines holds an array, or objects that are spread over several lines."""
    first = head[-1] if head else None
    return first is not None and (first.strip() == b"{" or first.lstrip().startswith(b"["))


def _values(lines: Iterable[bytes | None]) -> Iterator[bytes | None]:
    """JSON values one after another, with commas and the brackets of one array between them."""
    decoder = json.JSONDecoder()
    held = ""
    for line in lines:
        if line is None or len(held) > MAX_PAGE_BYTES:
            yield None
            held = ""
            continue
        held = f"{held}{line.decode('utf-8', 'replace')}\n".lstrip(" \t\r\n,[]")
        while held:
            try:
                _, end = decoder.raw_decode(held)
            except ValueError:
                break  # it ends on a later line
            yield held[:end].encode("utf-8", "replace")
            held = held[end:].lstrip(" \t\r\n,[]")
    if held:
        yield held.encode("utf-8", "replace")


def _lines(file: InputFile, damage: list[str]) -> Generator[bytes | None, None, None]:
    """Lines without their ends; None for a line that is too long."""
    with contextlib.closing(open_stream(file.path)) as stream:
        yield from _split(utf8_text(stream, file.path, damage))


def _lines_of_part(file: InputFile, part: ByteRange, damage: list[str]) -> Iterator[bytes | None]:
    """The lines that begin in a part of the file; if it is compressed, in a part of its content.

    Compressed files and UTF-16 under the name of plain files are read completely with the first part.
    """
    with contextlib.closing(open_stream(file.path)) as stream:
        if is_packed(file.path):
            yield from _packed_lines(stream, file.path, part, damage)
            return
        if detect(stream, stream.path).kind != "plain" or is_utf16(stream):
            if part.offset == 0:
                yield from _split(utf8_text(stream, file.path, damage))
            return
        start = max(part.offset - 1, 0)  # the byte before the part shows whether a line begins there
        stream.seek(start)
        chunks = iter(lambda: stream.read(_READ_BYTES), b"")
        yield from _split(chunks, start, part.offset, part.offset + part.length)


def _packed_lines(stream: GuardedStream, path: str, part: ByteRange, damage: list[str]) -> Iterator[bytes | None]:
    """The lines that begin in a part of the content. Each damage is reported by the part in which it is."""
    position = 0
    found: list[str] = []

    def chunks() -> Iterator[tuple[int, bytes]]:
        nonlocal position
        for data in utf8_text(stream, path, found):
            position += len(data)
            if position >= part.offset:  # from the byte before the part, which shows whether a line begins there
                yield position - len(data), data

    near = chunks()
    start, first = next(near, (0, b""))
    yield from _split(itertools.chain((first,), (data for _, data in near)), start, part.offset, sum(part))
    if part.offset <= position < sum(part):
        damage.extend(found)


def _split(chunks: Iterable[bytes], at: int = 0, first: int = 0, end: int | None = None) -> Iterator[bytes | None]:
    """The lines in some bytes, without their ends, that begin at or after offset `first` and before `end`.

    at: the offset of the bytes.
    """
    held: list[bytes] = []
    size = 0  # of the part of a line that has been read
    for data in chunks:
        *whole, rest = data.split(b"\n")
        for part in whole:
            if end is not None and at >= end:
                return
            if at >= first:
                yield None if size + len(part) > MAX_PAGE_BYTES else b"".join((*held, part)) if held else part
            at += size + len(part) + 1
            held, size = [], 0
        size += len(rest)
        if size > MAX_PAGE_BYTES:
            held = []
        elif rest:
            held.append(rest)
    if size and at >= first and (end is None or at < end):
        yield None if size > MAX_PAGE_BYTES else b"".join(held)
