"""ARC files (the format before WARC; versions 1 and 2), plain or in gzip members, including the faults of old
crawls."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Protocol

from dclm.pool.archives.framing import MAX_VAIN
from dclm.pool.packing import GZIP
from dclm.pool.rows import MAX_PAGE_BYTES, ArchiveRecord
from dclm.pool.streams import GuardedStream, find_magic

_HEADER = re.compile(rb"([a-z][a-z0-9+.-]*:.*?) ([0-9A-Fa-f.:]+) (\d{4,18}) (.*) (\S+)$", re.IGNORECASE)
_CHUNK = 1 << 16
_MAX_LINE = 1 << 16


class _Source(Protocol):
    def read(self, size: int = -1) -> bytes: ...


class _Member:
    """One gzip member as a stream; once it is read to its end, `following` is where the next may begin."""

    def __init__(self, stream: GuardedStream, offset: int) -> None:
        stream.seek(offset)
        self._stream = stream
        self._at = offset
        self._packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
        self._rest = b""

    def read(self, size: int = -1) -> bytes:
        while not self._packed.eof:
            if not self._rest:
                self._rest = self._stream.read(_CHUNK)
                self._at += len(self._rest)
                if not self._rest:
                    raise EOFError("the file is truncated")
            data = self._packed.decompress(self._rest, max(size, 1))
            self._rest = self._packed.unconsumed_tail
            if data:
                return data
        return b""

    @property
    def following(self) -> int:
        return self._at - len(self._packed.unused_data)


class _Lines:
    """Reads lines and exact numbers of bytes from a stream, counting the position."""

    def __init__(self, source: _Source) -> None:
        self._source = source
        self._held = b""
        self.position = 0

    def line(self) -> bytes:
        """The next line with its end, cut at 64 KiB; empty at the end."""
        while (end := self._held.find(b"\n")) < 0 and len(self._held) < _MAX_LINE:
            data = self._source.read(_CHUNK)
            if not data:
                break
            self._held += data
        cut = end + 1 if end >= 0 else min(len(self._held), _MAX_LINE)
        return self._take(cut)

    def exactly(self, size: int, keep: bool) -> bytes:
        """The next `size` bytes, fewer at the end; empty if they are not to be kept."""
        parts: list[bytes] = []
        while size > 0:
            if not self._held:
                self._held = self._source.read(_CHUNK)
                if not self._held:
                    break
            data = self._take(min(size, len(self._held)))
            size -= len(data)
            if keep:
                parts.append(data)
        return b"".join(parts)

    def _take(self, size: int) -> bytes:
        data, self._held = self._held[:size], self._held[size:]
        self.position += size
        return data


def read_records(stream: GuardedStream, damage: list[str]) -> Iterator[ArchiveRecord]:
    """All records in order; the file's own header has the type `warcinfo`, every other one `response`.

    `offset` is that of the gzip member, or of the record in a plain file. ARC has no record ids.
    """
    if stream.read(3) != GZIP:
        stream.seek(0)
        yield from _records(_Lines(stream), None, damage)
        return
    start: int | None = 0
    vain = 0
    while start is not None and vain <= MAX_VAIN:
        member = _Member(stream, start)
        try:
            yield from _records(_Lines(member), start, damage)
            following, vain = member.following, 0
        except (zlib.error, EOFError) as error:
            damage.append(f"corrupt gzip data in the member at byte {start}: {error}")
            following, vain = start + 1, vain + 1
        start = find_magic(stream, following, GZIP)


def _records(lines: _Lines, member: int | None, damage: list[str]) -> Iterator[ArchiveRecord]:
    while True:
        at = lines.position
        line = lines.line()
        if not line:
            return
        if not line.strip():
            continue
        header = _HEADER.match(line.strip())
        if header is None:
            place = f"byte {at}" if member is None else f"byte {at} of the member at byte {member}"
            damage.append(f"no ARC header at {place}: skipped to the next one")
            while line and _HEADER.match(line.strip()) is None:
                at = lines.position
                line = lines.line()
            header = _HEADER.match(line.strip())
            if header is None:
                return
        yield _record(header, lines, at if member is None else member)


def _record(header: re.Match[bytes], lines: _Lines, offset: int) -> ArchiveRecord:
    url, _, date, content_type, size = (group.decode("utf-8", "replace") for group in header.groups())
    length = int(size) if size.isascii() and size.isdigit() else -1
    read = 0 <= length <= MAX_PAGE_BYTES
    block: bytes | None = lines.exactly(length, keep=read)
    kind = "warcinfo" if url.startswith("filedesc:") else "response"
    problem = None
    if length < 0:
        problem = f"the record's length is {size[:20]!r}"
    elif not read:
        problem = f"record of {length} bytes, allowed: {MAX_PAGE_BYTES}"
    elif block is not None and len(block) < length:
        problem = f"truncated: {len(block)} of {length} bytes"
    if problem is not None or kind == "warcinfo":
        block = None
    return ArchiveRecord(offset, kind, None, url, _date(date), content_type.split(" ")[0], block, problem)


def _date(digits: str) -> str:
    """ISO 8601 for the usual fourteen digits (extra digits are cut); any other value unchanged."""
    if len(digits) < 14:
        return digits
    d = digits
    return f"{d[:4]}-{d[4:6]}-{d[6:8]}T{d[8:10]}:{d[10:12]}:{d[12:14]}Z"
