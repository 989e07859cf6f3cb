"""WARC, WET and WAT files, read with FastWARC; where a file is damaged, from the next sound record on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from fastwarc.warc import ArchiveIterator, WarcHeader, WarcRecord

from dclm.pool.rows import MAX_PAGE_BYTES
from dclm.pool.streams import GZIP, GuardedStream, breaks_off, find_magic, gzip_member

_MAGIC = {GZIP: "gzip", b"\x28\xb5\x2f\xfd": "zstd", b"\x04\x22\x4d\x18": "lz4"}
_NOT_A_RECORD = "Invalid WARC header"  # FastWARC's words
_CORRUPT = "the compressed record is corrupt"
_TOO_LONG = "a record that claims to be longer than it is"
_TRUNCATED = "truncated"
MAX_VAIN = 1000  # starts in a row without a record, after which the rest is given up: else junk could take for ever
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
    records, or a record claims to be so long that it swallows others, reading starts again at the next block or record
    that can be seen. Bare line feeds and overlong headers are read in FastWARC's lenient mode and are no damage.
    """
    return _Reader(stream, damage).records()


class _Reader:
    """One file and how far it has been read. Offsets are those of the file as it is stored."""

    def __init__(self, stream: GuardedStream, damage: list[str]) -> None:
        self._stream = stream
        self._damage = damage
        self._start = stream.tell()  # where FastWARC was set on last …
        self._skip = 0  # … so many of the records from there have been given already …
        self._seen = 0  # … it has found so many, …
        self._last = self._start  # … the last of them here …
        self._end = self._start  # … and its content does not end before here (plain files)
        self._length = 0  # Content-Length of the last record found …
        self._problem: str | None = None  # … and what is wrong with it
        self._lenient = False
        head = stream.read(4)
        self._magic = next((m for m in _MAGIC if head.startswith(m)), b"")
        self._lost: int | None = None
        self._reason = ""
        self._vain = 0

    def records(self) -> Iterator[Record]:
        """All records that can be read."""
        while True:
            try:
                yield from self._pass()
                break
            except OSError as error:
                if not self._recover(str(error)):
                    break
        if self._lost is not None:
            self._damage.append(f"from byte {self._lost} to the end: {self._reason}")

    def _pass(self) -> Iterator[Record]:
        """Records from `_start` on. Raises: OSError where FastWARC cannot go on."""
        self._stream.seek(self._start)
        self._seen, self._last, self._end = 0, self._start, self._start
        for record in ArchiveIterator(self._stream, parse_http=False, quirks_mode=self._lenient):
            if not self._lenient and _misread(record):
                raise OSError("bare line feeds")
            self._seen, self._last, self._vain = self._seen + 1, record.stream_pos, 0
            self._length, self._problem = record.content_length, None
            self._end = self._last + max(self._length, 1)
            if self._seen <= self._skip:
                continue
            if self._lost is not None:
                self._damage.append(f"between bytes {self._lost} and {self._last}: {self._reason}")
                self._lost = None
            found = _record(record)
            self._problem = found.problem
            yield found
            if found.problem == _CORRUPT:
                raise OSError(_CORRUPT)
        if self._following() is not None:
            raise OSError(_TOO_LONG)
        member = self._last if self._begins_at(self._last) else self._start
        if self._magic == GZIP and breaks_off(self._stream, member):
            self._damage.append(f"truncated gzip: the file breaks off at byte {self._stream.tell()}")
        elif (self._problem or "").startswith(_TRUNCATED) or self._is_beyond():
            self._damage.append(f"the file breaks off in the record at byte {self._last}")

    def _recover(self, what: str) -> bool:
        """Choose where and how to go on; False: nowhere."""
        following: int | None = None
        if "decompress" in what or what == _CORRUPT:
            self._lose(self._last, f"corrupt {_MAGIC[self._magic]} data")
            following = find_magic(self._stream, max(self._start, self._last) + 1, self._magic)
        elif what == _TOO_LONG or (what == _NOT_A_RECORD and self._magic and self._following() is not None):
            self._lose(self._last, _TOO_LONG)
            following = self._following()
        elif what == _NOT_A_RECORD and not self._magic:
            self._lose(self._end, "no record")
            following = self._inside()
            if following is None:
                following = find_magic(self._stream, max(self._end, self._start + 1), b"WARC/")
        elif self._lenient:  # such as an endless header
            self._lose(self._last if self._magic else self._end, what.rstrip("."))
            following = (
                find_magic(self._stream, max(self._start, self._last) + 1, self._magic)
                if self._magic
                else find_magic(self._stream, max(self._end, self._start + 1), b"WARC/")
            )
        else:
            if what == _NOT_A_RECORD:
                self._damage.append(f"after the record at byte {self._last} comes none: passed over up to the next one")
            self._lenient = True
            if self._begins_at(self._last):
                self._start, self._skip = self._last, min(self._seen, 1)
            else:
                self._skip = self._seen
            return True
        self._vain += 1
        if following is None or self._vain > MAX_VAIN:
            return False
        self._start, self._skip, self._lenient = following, 0, False
        return True

    def _following(self) -> int | None:
        """If the last record claims more bytes than its gzip member has (or a plain file): where the next one is."""
        if self._magic == GZIP and self._begins_at(self._last):
            content, following = gzip_member(self._stream, self._last, b"\r\n\r\n")
            return following if content < self._length and self._begins_at(following) else None
        if self._magic or not (self._problem or self._is_beyond()):
            return None
        return self._inside()

    def _inside(self) -> int | None:
        """Where a record begins after the last one's beginning, be it in what is taken for its content."""
        at = find_magic(self._stream, self._last + 1, b"\nWARC/1.")
        return None if at is None else at + 1

    def _is_beyond(self) -> bool:
        """Whether the last record of a plain file would end behind the file."""
        return not self._magic and self._end > self._stream.seek(0, 2)

    def _lose(self, offset: int, reason: str) -> None:
        self._lost, self._reason = offset if self._lost is None else self._lost, reason

    def _begins_at(self, offset: int) -> bool:
        """Whether reading can start at `offset`: anywhere in a plain file, at the start of a block in a packed one."""
        self._stream.seek(offset)
        return self._stream.read(len(self._magic)) == self._magic


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
                problem = f"{_TRUNCATED}: {len(data)} of {length} bytes"
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
