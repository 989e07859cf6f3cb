"""WARC, WET and WAT files, read with FastWARC; where a file is damaged, from the next sound record on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastwarc.warc import ArchiveIterator, WarcHeader, WarcRecord

from dclm.pool.rows import MAX_PAGE_BYTES
from dclm.pool.streams import GZIP, GuardedStream, breaks_off, find_magic

_MAGIC = {GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_READ = frozenset(["response", "resource", "conversion"])


class Record(NamedTuple):
    """One record of an archive. `block` is None for types that are not read, and where `problem` says why."""

    offset: int
    type: str
    id: str | None
    url: str | None
    date: str | None
    content_type: str | None
    block: bytes | None
    problem: str | None


def read_records(stream: GuardedStream, damage: list[str]) -> Iterator[Record]:
    """All records from the stream's position on, in order; what cannot be read is said in `damage`.

    Read strictly as long as that goes. Where a compressed block is broken, or bytes that are no record lie between
    records, reading starts again at the next block or record that can be seen. Bare line feeds and overlong headers
    are read in FastWARC's lenient mode and are no damage.
    """
    start, skip, lenient = stream.tell(), 0, False
    head = stream.read(4)
    magic = next((m for m in _MAGIC if head.startswith(m)), b"")
    lost: int | None = None
    reason = ""
    while True:
        seen, last, end = 0, start, start
        try:
            stream.seek(start)
            for record in ArchiveIterator(stream, parse_http=False, quirks_mode=lenient):
                if not lenient and _misread(record):
                    raise OSError("bare line feeds")
                seen, last = seen + 1, record.stream_pos
                end = last + max(record.content_length, 1)
                if seen <= skip:
                    continue
                if lost is not None:
                    damage.append(f"between bytes {lost} and {last}: {reason}")
                    lost = None
                found = _record(record)
                yield found
                if found.problem == _CORRUPT:
                    raise OSError(_CORRUPT)
            if magic == GZIP and breaks_off(stream, last if _begins_at(stream, last, magic) else start):
                damage.append(f"truncated gzip: the file breaks off at byte {stream.tell()}")
            break
        except OSError as error:
            what = str(error)
        if "decompress" in what or what == _CORRUPT:
            lost, reason = last if lost is None else lost, f"corrupt {_MAGIC[magic]} data"
            following = find_magic(stream, max(start, last) + 1, magic)
        elif what == _NOT_A_RECORD and not magic:
            lost, reason = end if lost is None else lost, "no record"
            following = find_magic(stream, max(end, start + 1), b"WARC/")
        elif lenient:
            lost, reason, following = last, what, None
        else:
            if what == _NOT_A_RECORD:
                damage.append(f"after the record at byte {last} comes none: passed over up to the next one")
            lenient = True
            start, skip = (last, min(seen, 1)) if _begins_at(stream, last, magic) else (start, seen)
            continue
        if following is None:
            break
        start, skip, lenient = following, 0, False
    if lost is not None:
        damage.append(f"from byte {lost} to the end: {reason}")


_NOT_A_RECORD = "Invalid WARC header"  # FastWARC's words
_CORRUPT = "the compressed record is corrupt"


def _misread(record: WarcRecord) -> bool:
    """Whether a strict reading took a whole record for one header (files with bare line feeds) or found no type."""
    kind = record.headers.get_bytes(WarcHeader.WARC_TYPE)
    return kind is None or b"\n" in kind


def _record(record: WarcRecord) -> Record:
    headers = record.headers
    kind = _text(headers.get_bytes(WarcHeader.WARC_TYPE)) or "unknown"
    kind = kind.lower()
    if kind not in _READ:
        return Record(record.stream_pos, kind, None, None, None, None, None, None)
    length = record.content_length
    block: bytes | None = None
    problem: str | None = None
    if length > MAX_PAGE_BYTES:
        problem = f"record of {length} bytes, allowed: {MAX_PAGE_BYTES}"
    else:
        try:
            data: bytes = record.reader.read()
        except OSError:
            problem = _CORRUPT
        else:
            if len(data) < length:
                problem = f"truncated: {len(data)} of {length} bytes"
            else:
                block = data
    return Record(
        record.stream_pos,
        kind,
        _text(headers.get_bytes(WarcHeader.WARC_RECORD_ID)),
        _text(headers.get_bytes(WarcHeader.WARC_TARGET_URI)),
        _text(headers.get_bytes(WarcHeader.WARC_DATE)),
        _text(headers.get_bytes(WarcHeader.CONTENT_TYPE)),
        block,
        problem,
    )


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace").strip() or None if value is not None else None


def _begins_at(stream: GuardedStream, offset: int, magic: bytes) -> bool:
    """Whether reading can start at `offset`: anywhere in a plain file, at the start of a block in a packed one."""
    stream.seek(offset)
    return stream.read(len(magic)) == magic
