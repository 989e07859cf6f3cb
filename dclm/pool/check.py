"""An independent check of archives: compares what FastWARC and our reader find in a file with what warcio finds."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from dclm.core.errors import DataError
from dclm.pool.archives import arc, warc
from dclm.pool.archives.evidence import check_digest, http_end
from dclm.pool.files import ARC, InputFile
from dclm.pool.packing import BrokenError, Packing, detect, pieces
from dclm.pool.rows import MAX_PAGE_BYTES
from dclm.pool.streams import GuardedStream, open_stream

_SHOWN = 20
"""Maximum number of differences per file that are listed one by one."""
_TYPES = {"arc_header": "warcinfo"}


@dataclass(frozen=True, kw_only=True)
class Check:
    """The result of checking a file."""

    name: str
    records: int
    """Number of records that our reader found, including types that it does not read."""
    digests: int
    """Number of block and payload digests that could be checked."""
    problems: tuple[str, ...]
    """Damage, differences between the readers, and digests that do not match."""


class _Seen(NamedTuple):
    place: str
    type: str
    id: str | None
    length: int | None
    digest: bytes | None


def check_archive(file: InputFile) -> Check:
    """Read an archive twice and compare types, ids, lengths and contents record by record, and digests with contents.

    Raises: DataError if the file cannot be opened or is not an archive.
    """
    if file.kind != "warc":
        raise DataError(file.path, f"found a file of kind {file.kind}, allowed: WARC, WET, WAT and ARC")
    problems: list[str] = []
    with contextlib.closing(open_stream(file.path)) as first, contextlib.closing(open_stream(file.path)) as second:
        ours = _ours(file, first, problems)
        digests: list[bool] = []
        theirs = _theirs(second, problems, digests)
        count = different = 0
        for mine, other in itertools.zip_longest(ours, theirs):
            count += mine is not None
            difference = _difference(mine, other)
            different += difference is not None
            if difference is not None and different <= _SHOWN:
                problems.append(difference)
    if different > _SHOWN:
        problems.append(f"{different - _SHOWN} more records differ")
    return Check(name=file.name, records=count, digests=len(digests), problems=tuple(problems))


def _ours(file: InputFile, stream: GuardedStream, problems: list[str]) -> Iterator[_Seen]:
    read = arc.read_records if file.name.lower().endswith(ARC) else warc.read_records
    damage: list[str] = []
    for record in read(stream, damage):
        place = f"the record at byte {record.offset}"
        if record.problem is not None:
            problems.append(f"{place}: {record.problem}")
        block = record.block
        digest = None if block is None else hashlib.sha1(block, usedforsecurity=False).digest()
        yield _Seen(place, record.type, record.id, None if block is None else len(block), digest)
    problems.extend(damage)


def _theirs(stream: GuardedStream, problems: list[str], digests: list[bool]) -> Iterator[_Seen]:
    packing = detect(stream, stream.path)
    plain = packing.kind in ("plain", "gzip")
    source = stream if plain else io.BufferedReader(_Unpacked(stream, packing))
    warnings = io.StringIO()
    try:
        with contextlib.redirect_stderr(warnings):  # where warcio logs its warnings
            for number, record in enumerate(ArchiveIterator(source, no_record_parse=True), 1):
                place = f"warcio's record {number}"
                block = record.raw_stream.read(MAX_PAGE_BYTES + 1)
                while record.raw_stream.read(1 << 20):
                    pass
                headers = record.rec_headers
                end = http_end(block)
                for name, data in (("Block", block), ("Payload", block if end is None else block[end:])):
                    labelled = headers.get_header(f"WARC-{name}-Digest")
                    fits = check_digest(labelled.encode(), data) if labelled else None
                    if fits is not None and record.rec_type != "revisit":  # its payload is that of another record
                        digests.append(fits)
                        if not fits:
                            problems.append(f"{place}: its WARC-{name}-Digest does not match its content")
                kind = _TYPES.get(record.rec_type, record.rec_type or "unknown")
                digest = hashlib.sha1(block, usedforsecurity=False).digest()
                yield _Seen(place, kind.lower(), headers.get_header("WARC-Record-ID"), len(block), digest)
    except (ArchiveLoadFailed, BrokenError, OSError, ValueError, EOFError) as error:
        problems.append(f"warcio failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"[:300])
    first = next((line.strip() for line in warnings.getvalue().splitlines() if line.strip()), None)
    if first is not None:
        problems.append(f"warcio warns: {first}"[:300])


def _difference(mine: _Seen | None, other: _Seen | None) -> str | None:
    if mine is None or other is None:
        seen = mine or other
        assert seen is not None
        return f"{seen.place} ({seen.type}): not found by the other reader"
    if mine.type != other.type:
        return f"{mine.place}: type {mine.type}, but {other.type} according to warcio"
    if mine.length is None:
        return None
    if mine.id != other.id:
        return f"{mine.place}: id {mine.id}, but {other.id} according to warcio"
    if mine.length != other.length:
        return f"{mine.place}: {mine.length} bytes, but {other.length} according to warcio"
    return f"{mine.place}: its bytes differ from warcio's" if mine.digest != other.digest else None


class _Unpacked(io.RawIOBase):
    """The uncompressed bytes of a file, for a reader that does not support its compression."""

    def __init__(self, stream: GuardedStream, packing: Packing) -> None:
        super().__init__()
        self._pieces = pieces(stream, packing)
        self._held = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while not self._held:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._held = memoryview(piece.data)
        size = min(len(buffer), len(self._held))
        buffer[:size] = self._held[:size]
        self._held = self._held[size:]
        return size
