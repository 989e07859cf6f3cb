"""The records of an archive that begin in a part of it, read from the first position at which one seems to begin.

Whether that is a true beginning is known from the previous part: where it ends, the next record begins. Both positions
are recorded, and the parts of a file whose ends do not meet are read again as one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dclm.pool.archives.evidence import VERSION, plausible_at
from dclm.pool.archives.warc import read_records
from dclm.pool.files import ByteRange
from dclm.pool.packing import BrokenError, Packing, detect, pieces, stream_bytes
from dclm.pool.rows import ArchiveRecord
from dclm.pool.streams import GuardedStream, find_magic

_CUT = ("plain", "gzip", "zstd")
_SEARCH_BYTES = 1 << 20
_HEADER_BYTES = 32 << 10
_START = re.compile(rb"\r?\n\r?\n(?=WARC/)", re.IGNORECASE)


class Seam(NamedTuple):
    """Where reading a part began and where the next part must begin."""

    begin: int | None
    """Offset of the first record; None: no record begins in the part."""
    following: int | None
    """Offset of the first record after the part; None if it does not exist or nothing was read."""
    clear: bool = True
    """Whether nothing is damaged between the part's last record and the next one."""


class PartReader:
    """Reads one part; `seam` is complete at the end."""

    def __init__(self, stream: GuardedStream, part: ByteRange, damage: list[str]) -> None:
        self._stream, self._part, self._damage = stream, part, damage
        self.seam = Seam(None, None)

    def records(self) -> Iterator[ArchiveRecord]:
        """The records that begin in the part, in order. Files that cannot be divided are read completely with the first
        part."""
        packing = detect(self._stream, self._stream.path)
        can_be_cut = packing.kind in _CUT and not packing.skips
        begin = _first_record(self._stream, packing, self._part) if can_be_cut else self._part.offset or 0
        if begin is None or (self._part.offset and not can_be_cut) or not self._part.length:
            return
        self.seam = Seam(begin, None)
        end = self._part.offset + self._part.length
        known = len(self._damage)
        for record in read_records(self._stream, self._damage, begin):
            if record.offset >= end and can_be_cut:
                self.seam = Seam(begin, record.offset, len(self._damage) == known)
                return
            yield record
            known = len(self._damage)


def _first_record(stream: GuardedStream, packing: Packing, part: ByteRange) -> int | None:
    """Position at which a record seems to begin in the part; None: nowhere."""
    if part.offset == 0:
        return 0
    end = part.offset + part.length
    if packing.kind == "plain":
        return _first_plain(stream, part.offset, end)
    at = find_magic(stream, part.offset, packing.magic)
    while at is not None and at < end:
        if _begins_a_record(stream, packing, at):
            return at
        at = find_magic(stream, at + 1, packing.magic)
    return None


def _begins_a_record(stream: GuardedStream, packing: Packing, at: int) -> bool:
    try:
        piece = next(pieces(stream, packing, at), None)
    except BrokenError:
        return False
    return piece is not None and VERSION.match(piece.data) is not None


def _first_plain(stream: GuardedStream, start: int, end: int) -> int | None:
    """The first position after an empty line that reads like the header of a record."""
    before = max(start - 4, 0)
    at = before
    while at < end:
        block = stream_bytes(stream, at, _SEARCH_BYTES + _HEADER_BYTES)
        for found in _START.finditer(block, 0, min(_SEARCH_BYTES, len(block))):
            position = at + found.end()
            if start <= position < end and plausible_at(block, found.end()):
                return position
        if len(block) <= _SEARCH_BYTES:
            return None
        at += _SEARCH_BYTES - 4
    return None


def seams_meet(parts: Sequence[ByteRange], seams: Sequence[Seam]) -> bool:
    """Whether each part of a file certainly began where, according to the previous part, the next record begins."""
    if not all(seam.clear for seam in seams):
        return False
    following = seams[0].following
    for part, seam in zip(parts[1:], seams[1:], strict=True):
        mine = following is not None and following < part.offset + part.length
        if seam.begin != (following if mine else None):
            return False
        if mine:
            following = seam.following
    return True
