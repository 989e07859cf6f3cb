"""WARC, WET and WAT files: FastWARC reads them while they follow the standard, and `framing` reads the rest."""

from __future__ import annotations

from collections.abc import Iterator

from fastwarc.warc import ArchiveIterator, WarcHeader, WarcRecord

from dclm.pool.archives.evidence import has_mark, http_payload
from dclm.pool.archives.framing import read_framed
from dclm.pool.packing import Packing, detect, stream_bytes
from dclm.pool.rows import MAX_PAGE_BYTES, ArchiveRecord
from dclm.pool.streams import GuardedStream

_READ = frozenset(["response", "resource", "conversion"])
_PIECE = 1 << 20
_SEPARATOR = b"\r\n\r\n"
_LAST_CHUNK = b"\r\n0\r\n\r\n"


def read_records(stream: GuardedStream, damage: list[str], start: int = 0) -> Iterator[ArchiveRecord]:
    """All records from `start` on, where a record begins, in order; unreadable parts are reported in `damage`.

    A record is returned once FastWARC has found the next one directly after it, unless another record may be hidden in
    it. From the first record that fails on, the file is read by its bytes.
    """
    packing = detect(stream, stream.path)
    if packing.kind not in ("plain", "gzip", "zstd") or packing.skips:
        yield from read_framed(stream, packing, damage, start)
        return
    strict = _Strict(stream, packing, start)
    yield from strict.records()
    if strict.restart is not None:
        yield from read_framed(stream, packing, damage, *strict.restart)


class _Strict:
    """One pass with FastWARC that stops at the first irregularity."""

    def __init__(self, stream: GuardedStream, packing: Packing, start: int) -> None:
        self._stream = stream
        self._packing = packing
        self._start = start
        self._last = start  # where FastWARC saw the last record; in compressed files maybe the next member
        self.restart: tuple[int, int] | None = None
        """Where another reader must continue, and how many records from there on were already returned; None: all is
        read."""

    def records(self) -> Iterator[ArchiveRecord]:
        """The records, each once the next one has been found."""
        self._stream.seek(self._start)
        pending: ArchiveRecord | None = None
        given = 0
        try:
            for raw in ArchiveIterator(self._stream, parse_http=False):
                if pending is not None and self._packing.kind != "plain" and raw.stream_pos == pending.offset:
                    pending = None  # FastWARC does not know where the records of a member with several records begin
                    break
                if pending is not None:
                    yield pending
                    given += 1
                self._last = raw.stream_pos
                pending = _record(raw)
                if pending is None:
                    break
        except OSError:
            pending = None
        else:
            if pending is not None and self._is_whole():
                yield pending
                return
        self.restart = (self._last, 0) if self._packing.kind == "plain" else (self._start, given)

    def _is_whole(self) -> bool:
        """Whether nothing follows the last record, and its member is complete: FastWARC stops at an empty one."""
        if self._packing.kind == "plain":
            return True
        magic = self._packing.magic
        if stream_bytes(self._stream, self._last, len(magic)) != magic:
            return False
        damage: list[str] = []
        return sum(1 for _ in read_framed(self._stream, self._packing, damage, self._last)) == 1 and not damage


def _record(raw: WarcRecord) -> ArchiveRecord | None:
    """The record; None if it may be something other than what FastWARC reports."""
    headers = raw.headers
    names = headers.get_bytes_multiple(WarcHeader.WARC_TYPE)
    if len(names) != 1:  # if its header is truncated, fields of the next record's header
        return None
    (name,) = names
    if not name or b"\n" in name or b"WARC/" in name:  # with bare line feeds, the whole first record is one field
        return None
    kind = (_text(name) or "unknown").lower()
    length = raw.content_length
    if headers.get_bytes(WarcHeader.CONTENT_LENGTH) != b"%d" % length:  # missing, repeated, or not in the usual case
        return None
    if kind not in _READ:
        return ArchiveRecord(raw.stream_pos, kind, None, None, None, None, None, None) if _is_plain(raw) else None
    block: bytes | None = None
    problem: str | None = None
    if length > MAX_PAGE_BYTES:
        if not _is_plain(raw):
            return None
        problem = f"record of {length} bytes, allowed: {MAX_PAGE_BYTES}"
    else:
        block = raw.reader.read()
        if len(block) < length or not (_is_covered(block) or _is_bounded(block)):
            return None
    return ArchiveRecord(
        raw.stream_pos,
        kind,
        _text(headers.get_bytes(WarcHeader.WARC_RECORD_ID)),
        _text(headers.get_bytes(WarcHeader.WARC_TARGET_URI)),
        _text(headers.get_bytes(WarcHeader.WARC_DATE)),
        _text(headers.get_bytes(WarcHeader.CONTENT_TYPE)),
        block,
        problem,
    )


def _is_covered(block: bytes) -> bool:
    """Whether the block is an HTTP message of exactly the length in its own header."""
    found = http_payload(block)
    return found is not None and found[0] + found[1] == len(block)


def _is_bounded(block: bytes) -> bool:
    """Whether the block contains no sign of another record, nor the separator that follows one."""
    return not has_mark(block) and (not block.endswith(_SEPARATOR) or block.endswith(_LAST_CHUNK))


def _is_plain(raw: WarcRecord) -> bool:
    """Whether a block that is not kept is complete and contains no sign of another record."""
    left, tail = raw.content_length, b""
    while left > 0:
        data: bytes = raw.reader.read(min(left, _PIECE))
        if not data or has_mark(tail + data):
            return False
        left -= len(data)
        tail = data[-4:]
    return True


def _text(value: bytes | None) -> str | None:
    return value.decode("utf-8", "replace").strip() or None if value is not None else None
