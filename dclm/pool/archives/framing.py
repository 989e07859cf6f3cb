"""Finds WARC records from the bytes themselves: every byte between two records is whitespace or is reported as damage.

This is the slower of two ways to read an archive (`dclm.pool.archives.warc` has the other one). It handles files that
a strict reader refuses for any reason: bare line feeds, field names and versions in lower case, lengths that are
wrong in either direction, junk, broken members, zstd dictionaries. A record's Content-Length is trusted if the next
record (or the end of the file) follows it, and no other record is hidden in it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from dclm.pool.archives.evidence import MARKS, VERSION, Header, confirmed, hidden_record, parse_header, plausible_at
from dclm.pool.archives.window import Window, pass_over
from dclm.pool.packing import Packing, pieces
from dclm.pool.rows import MAX_PAGE_BYTES, ArchiveRecord
from dclm.pool.streams import GuardedStream, find_magic

MAX_VAIN = 1000
"""Number of consecutive starts without a record after which the rest is skipped; otherwise junk could take forever."""
MAX_HEADER_BYTES = 32 << 10
CORRUPT = "the compressed record is corrupt"
_READ = frozenset(["response", "resource", "conversion"])
_SEPARATOR = re.compile(rb"\r?\n\r?\n")
_KEEP = MAX_PAGE_BYTES + (1 << 20)


def read_framed(
    stream: GuardedStream, packing: Packing, damage: list[str], start: int = 0, skip: int = 0
) -> Iterator[ArchiveRecord]:
    """The records from the member, frame or (in plain files) record at `start` on, without the first `skip`."""
    reader = _Framed(stream, packing, damage)
    for number, record in enumerate(reader.records(start)):
        if number >= skip:
            yield record


class _Block(NamedTuple):
    """The result of determining a record's content."""

    data: bytes | None
    problem: str | None
    following: int
    """Where reading continues."""


class _Framed:
    def __init__(self, stream: GuardedStream, packing: Packing, damage: list[str]) -> None:
        self._stream = stream
        self._packing = packing
        self._damage = damage
        self._converted = 0
        self._vain = 0

    def records(self, start: int) -> Iterator[ArchiveRecord]:
        """The records of every stretch that can be decompressed, from `start` on."""
        following: int | None = start
        lost: tuple[int, str] | None = None
        while following is not None:
            window = Window(pieces(self._stream, self._packing, following))
            self._vain += 1
            for record in self._stretch(window):
                self._vain = 0
                if lost is not None:
                    self._damage.append(f"between bytes {lost[0]} and {record.offset}: {lost[1]}")
                    lost = None
                yield record
            broken = window.broken
            if broken is None:
                break
            if broken.detail is None:
                self._damage.append(f"truncated {self._packing.kind}: the file ends at byte {broken.at}")
                break
            lost = lost or (broken.offset, f"corrupt {self._packing.kind} data")
            following = None
            if self._vain <= MAX_VAIN:
                following = find_magic(self._stream, broken.offset + 1, self._packing.magic)
        if lost is not None:
            self._damage.append(f"from byte {lost[0]} to the end: {lost[1]}")
        if self._converted:
            what = (
                "shorter than their Content-Length by at most their number of line feeds: carriage returns were removed"
            )
            self._damage.append(f"{self._converted} records are {what}")

    def _stretch(self, window: Window) -> Iterator[ArchiveRecord]:
        at = 0
        while True:
            at = pass_over(window, at)
            window.drop(at)
            if not window.has(at + 1):
                return
            header, problem = self._header(window, at)
            if header is None:
                begin = self._start(window, at + 1)
                end = window.end if begin is None else begin
                if not (window.broken is not None and begin is None):
                    self._report(window, at, end, problem)
                at = end
                continue
            offset = window.stored(at, self._packing.kind != "plain")
            content = at + header.size
            block = self._block(window, header, content, offset)
            yield _record(header, block, offset)
            at = block.following

    def _header(self, window: Window, at: int) -> tuple[Header | None, str]:
        window.has(at + MAX_HEADER_BYTES)
        data = window.bytes(at, min(at + MAX_HEADER_BYTES, window.end))
        if VERSION.match(data) is None:
            return None, "no record"
        header = parse_header(data)
        if header is None:
            whole = len(data) < MAX_HEADER_BYTES
            return None, "a header without an end" if whole else "Maximum header length exceeded"
        return header, ""

    def _report(self, window: Window, start: int, end: int, what: str) -> None:
        packed = self._packing.kind != "plain"
        begin, last = window.stored(start, packed), window.stored(max(end - 1, start), packed)
        size = end - start
        place = f"between bytes {begin} and {last + (0 if packed else 1)}" if last > begin else f"at byte {begin}"
        self._damage.append(f"{place}, {size} unpacked bytes: {what}" if packed else f"{place}, {size} bytes: {what}")

    def _say_of(self, offset: int, what: str) -> None:
        self._damage.append(f"the record at byte {offset} {what}")

    def _start(self, window: Window, position: int, keep: int | None = None, stop: int | None = None) -> int | None:
        """Where a record begins from `position` on, before `stop`; None: nowhere. Bytes from `keep` on stay held."""
        while True:
            window.has(position + (1 << 18))
            held, base = window.held, window.base
            for mark in sorted(_marks(held, position - base)):
                if stop is not None and base + mark >= stop:
                    return None
                window.has(base + mark + MAX_HEADER_BYTES)
                if plausible_at(window.held, mark):
                    return base + mark
            position = max(position, window.end - 16)
            if window.ended or (stop is not None and position >= stop):
                return None
            if keep is None or position - keep > _KEEP:
                window.drop(position)

    def _block(self, window: Window, header: Header, content: int, offset: int) -> _Block:
        length = header.length
        if length is None:
            following = pass_over(window, content)
            if not window.has(following + 1) or VERSION.match(window.bytes(following, window.end)):
                self._say_of(offset, "has no Content-Length and no block")
                return _Block(b"", None, following)  # some hand-made records consist only of a header
            begin = self._start(window, content)
            end = window.end if begin is None else begin
            self._say_of(offset, "has no Content-Length: skipped to the next one")
            return _Block(None, "it has no Content-Length", end)
        if length > MAX_PAGE_BYTES:
            return self._oversized(window, header, content, offset)
        end = content + length
        if window.has(end):
            block = window.bytes(content, end)
            if not self._follows(window, end):
                begin = self._start(window, content, keep=content)
                return self._misfit(window, header, content, begin, offset)
            if not _separated(window, end) and not confirmed(header, block):
                if _strip_separator(block) != block:
                    return self._misfit(window, header, content, end, offset)
                self._say_of(offset, "is followed by another record without a line end between them")
            inside = hidden_record(header, block)
            return (
                self._misfit(window, header, content, content + inside, offset) if inside else _Block(block, None, end)
            )
        return self._misfit(window, header, content, self._start(window, content, keep=content), offset)

    def _member_inside(self, window: Window, content: int, end: int) -> int | None:
        """Where in a block a member begins that begins with a record."""
        if self._packing.kind == "plain":
            return None
        starts = (at - content for at in window.starts() if content < at < end)
        return next((at for at in starts if plausible_at(window.held, content + at - window.base)), None)

    def _follows(self, window: Window, end: int) -> bool:
        """Whether the next record, or the end of the file, comes at `end`, after at most whitespace."""
        at = pass_over(window, end)
        if not window.has(at + 1):
            return True
        window.has(at + 256)
        return VERSION.match(window.bytes(at, min(at + 256, window.end))) is not None

    def _misfit(self, window: Window, header: Header, content: int, begin: int | None, offset: int) -> _Block:
        """A record whose Content-Length does not lead to the next one, which begins at `begin`; None if there is no
        record."""
        length = header.length
        assert length is not None
        following = window.end if begin is None else begin
        if window.base > content:  # too many bytes in between
            self._say_of(
                offset, f"claims {length} bytes, but the next record begins only after {following - content} bytes"
            )
            return _Block(None, f"its Content-Length of {length} bytes is wrong", following)
        if begin is None and window.broken is not None and following - content < length:
            what = f"truncated: {following - content} of {length} bytes"
            return _Block(None, what if window.broken.detail is None else CORRUPT, following)
        whole = window.bytes(content, following)
        actual = whole if begin is None and following - content < length else _strip_separator(whole)
        if begin is None and following - content < length and header.bare:
            actual = _strip_separator(whole)
        if header.bare and b"\r\n" not in actual and 0 < length - len(actual) <= actual.count(b"\n") + 2:
            self._converted += 1
            return _Block(actual, None, following)
        sure = confirmed(header, actual)
        if length > len(actual):
            if begin is None:
                self._damage.append(f"the file ends within the record at byte {offset}")
                return _Block(None, f"truncated: {len(whole)} of {length} bytes", following)
            self._say_of(offset, f"claims to be longer than it is: {length} bytes, found {len(actual)}")
            what = f"claims {length} bytes, but another record begins after {len(actual)}"
            return _Block(actual, None, following) if sure else _Block(None, what, following)
        after = window.bytes(content + length, following)
        if _SEPARATOR.match(after) and not sure:
            self._report(window, content + length, following, "no record")
            return _Block(whole[:length], None, following)
        self._say_of(offset, f"claims to be shorter than it is: {length} bytes, found {len(actual)}")
        what = f"truncated by its Content-Length: {length} of {len(actual)} bytes"
        return _Block(actual, None, following) if sure else _Block(None, what, following)

    def _oversized(self, window: Window, header: Header, content: int, offset: int) -> _Block:
        length = header.length
        assert length is not None
        what = f"record of {length} bytes, allowed: {MAX_PAGE_BYTES}"
        window.has(content + (1 << 16))
        sure = confirmed(header, window.bytes(content, min(content + (1 << 16), window.end)), length)
        begin = None if sure else self._start(window, content, stop=content + length)
        if begin is None:
            self._pass(window, content + length)
            if window.end < content + length:
                if window.broken is None:
                    self._damage.append(f"the file ends within the record at byte {offset}")
                what = f"truncated: {window.end - content} of {length} bytes"
                return _Block(None, what, window.end)
            if self._follows(window, content + length):
                return _Block(None, what, content + length)
            begin = self._start(window, content + length)
            begin = window.end if begin is None else begin
            self._report(window, content + length, begin, "no record")
            return _Block(None, what, begin)
        self._say_of(offset, f"claims to be longer than it is: {length} bytes, found {begin - content}")
        return _Block(None, f"claims {length} bytes, but another record begins after {begin - content}", begin)

    def _pass(self, window: Window, end: int) -> None:
        while window.end < end and not window.ended:
            window.drop(window.end)
            window.has(min(end, window.end + (1 << 18)))


def _marks(held: bytearray, start: int) -> Iterator[int]:
    for mark in MARKS:
        at = held.find(mark, start)
        while at >= 0:
            yield at
            at = held.find(mark, at + 1)


def _separated(window: Window, end: int) -> bool:
    """Whether a line end, or the end of the file, comes at `end`."""
    return not window.has(end + 1) or window.bytes(end, end + 1).isspace()


def _strip_separator(block: bytes) -> bytes:
    """The block without the two line ends that follow every record, if present."""
    for _ in range(2):
        block = block[:-2] if block.endswith(b"\r\n") else block[:-1] if block.endswith(b"\n") else block
    return block


def _record(header: Header, block: _Block, offset: int) -> ArchiveRecord:
    if header.kind not in _READ:
        return ArchiveRecord(offset, header.kind, None, None, None, None, None, None)
    get, data = header.text, block.data if block.problem is None else None
    names = (get(b"warc-record-id"), get(b"warc-target-uri"), get(b"warc-date"), get(b"content-type"))
    return ArchiveRecord(offset, header.kind, *names, data, block.problem)
