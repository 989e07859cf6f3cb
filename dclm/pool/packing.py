"""Detects a pool file's compression from its content, and yields its bytes in bounded pieces with their position.

zstd files may begin with skippable frames (pzstd writes one before every frame) and may carry their dictionary in one,
as in the draft for compressed WARC files. gzip members may be empty, and zeros may occur between them.
"""

from __future__ import annotations

import bz2
import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, cast

import zstandard
from fastwarc.stream_io import Lz4Reader
from zlib_ng import zlib_ng

from dclm.core.errors import DataError

PackingKind = Literal["plain", "gzip", "zstd", "lz4", "bzip2", "xz"]
GZIP = b"\x1f\x8b\x08"
"""The first bytes of a gzip member: two magic bytes and the only compression method."""
MAGIC: dict[PackingKind, bytes] = {
    "gzip": GZIP,
    "zstd": b"\x28\xb5\x2f\xfd",
    "lz4": b"\x04\x22\x4d\x18",
    "bzip2": b"BZh",
    "xz": b"\xfd7zXZ\x00",
}
_SKIPPABLE = frozenset(bytes([0x50 + n]) + b"\x2a\x4d\x18" for n in range(16))  # the same for zstd and lz4
_DICTIONARY_FRAME = b"\x5d\x2a\x4d\x18"
_MAX_DICTIONARY_BYTES = 64 << 20
_CHUNK = 1 << 18
_SLICE = 1 << 14  # fed at once: the rest is copied when a member ends, and members can be 20 bytes long
_INFLATE_ERROR = cast(type[Exception], zlib_ng.error)
_ZSTD_SLICE = 1 << 10  # expands to at most about 45 MB


class _Source(Protocol):
    def read(self, size: int = -1) -> bytes: ...

    def seek(self, offset: int, whence: int = 0) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


@dataclass(frozen=True, kw_only=True)
class Packing:
    """The compression of a file."""

    kind: PackingKind
    skips: bool = False
    """Whether the file begins with a skippable frame."""
    dictionary: zstandard.ZstdCompressionDict | None = None

    @property
    def magic(self) -> bytes:
        """The first bytes of a member or frame; empty in plain files."""
        return MAGIC.get(self.kind, b"")


class Piece(NamedTuple):
    """Uncompressed bytes of one member or frame; `offset` is where it begins in the file (for plain files, where the
    bytes are)."""

    offset: int
    data: bytes


class BrokenError(Exception):
    """Compressed data that cannot be read further. `offset`: of its member; `at`: how far the file has been read."""

    def __init__(self, offset: int, at: int, detail: str | None) -> None:
        super().__init__(detail or "the file is truncated")
        self.offset = offset
        self.at = at
        self.detail = detail
        """None: the file is truncated."""


def detect(stream: _Source, path: str) -> Packing:
    """The compression of a file according to its first bytes. Leaves the stream at the beginning.

    Raises: DataError if a dictionary in the file is broken or too large.
    """
    stream.seek(0)
    start = stream.read(6)
    at, dictionary = 0, None
    while start[:4] in _SKIPPABLE:
        size = int.from_bytes(stream_bytes(stream, at + 4, 4), "little")
        if at == 0 and start[:4] == _DICTIONARY_FRAME:
            dictionary = _dictionary(stream_bytes(stream, 8, min(size, _MAX_DICTIONARY_BYTES + 1)), path)
        at += 8 + size
        start = stream_bytes(stream, at, 6)
    kind: PackingKind = next((kind for kind, magic in MAGIC.items() if start.startswith(magic)), "plain")
    if at and kind not in ("zstd", "lz4"):
        kind = "zstd"  # only skippable frames: a file without content
    stream.seek(0)
    return Packing(kind=kind, skips=at > 0, dictionary=dictionary)


def stream_bytes(stream: _Source, offset: int, size: int) -> bytes:
    """Up to `size` bytes from `offset` on."""
    stream.seek(offset)
    parts = []
    while size > 0 and (data := stream.read(size)):
        parts.append(data)
        size -= len(data)
    return b"".join(parts)


def _dictionary(data: bytes, path: str) -> zstandard.ZstdCompressionDict:
    if len(data) > _MAX_DICTIONARY_BYTES:
        raise DataError(path, f"its zstd dictionary has more than {_MAX_DICTIONARY_BYTES} bytes")
    if data.startswith(MAGIC["zstd"]):
        try:
            data = zstandard.ZstdDecompressor().decompressobj().decompress(data)
        except zstandard.ZstdError as error:
            raise DataError(path, f"its zstd dictionary cannot be read: {error}") from None
    return zstandard.ZstdCompressionDict(data)


def pieces(stream: _Source, packing: Packing, start: int = 0) -> Iterator[Piece]:
    """The uncompressed bytes from `start` on, which is the beginning of a member or frame.

    Raises: BrokenError if the compressed data is corrupt or truncated.
    """
    stream.seek(start)
    return _READERS[packing.kind](stream, packing, start)


def _plain(stream: _Source, packing: Packing, start: int) -> Iterator[Piece]:
    while data := stream.read(_CHUNK):
        yield Piece(start, data)
        start += len(data)


class _Input:
    """The file's bytes in slices, counting the position."""

    def __init__(self, stream: _Source, start: int, size: int) -> None:
        self._stream, self._size = stream, size
        self._chunk, self._used = memoryview(b""), 0
        self.at = start

    def take(self, size: int | None = None) -> memoryview:
        """The next slice; empty at the end."""
        if self._used == len(self._chunk):
            self._chunk, self._used = memoryview(self._stream.read(_CHUNK)), 0
        data = self._chunk[self._used : self._used + (size or self._size)]
        self._used += len(data)
        self.at += len(data)
        return data

    def give_back(self, size: int) -> None:
        """Return the last `size` bytes of the last slice again next time."""
        self._used -= size
        self.at -= size

    def skip(self, size: int) -> bool:
        """Skip `size` bytes; False if the file ends before that."""
        while size > 0 and (data := self.take(size)):
            size -= len(data)
        return size == 0


def _gunzip(stream: _Source, packing: Packing, start: int) -> Iterator[Piece]:
    source = _Input(stream, start, _SLICE)
    while True:
        data: bytes | memoryview = source.take()
        zeros = len(data) - len(bytes(data).lstrip(b"\0"))  # tape padding between and after members
        if zeros == len(data):
            if not zeros:
                return
            continue
        source.give_back(len(data) - zeros)
        member = source.at
        packed = zlib_ng.decompressobj(zlib_ng.MAX_WBITS | 16)
        rest: bytes | memoryview = b""
        while not packed.eof:
            rest = rest or source.take()
            if not rest:
                raise BrokenError(member, source.at, None)
            try:
                found = packed.decompress(rest, _CHUNK)
            except _INFLATE_ERROR as error:
                raise BrokenError(member, source.at, str(error)) from None
            rest = packed.unconsumed_tail
            if found:
                yield Piece(member, found)
        source.give_back(len(packed.unused_data))


def _unzstd(stream: _Source, packing: Packing, start: int) -> Iterator[Piece]:
    source = _Input(stream, start, _ZSTD_SLICE)
    unpacker = zstandard.ZstdDecompressor(dict_data=packing.dictionary)
    while True:
        frame = source.at
        head = bytes(source.take(8))
        while 0 < len(head) < 8 and (more := source.take(8 - len(head))):
            head += more
        if not head:
            return
        if head[:4] in _SKIPPABLE:
            if len(head) < 8 or not source.skip(int.from_bytes(head[4:], "little")):
                raise BrokenError(frame, source.at, None)
            continue
        packed = unpacker.decompressobj()
        data: bytes | memoryview = head
        while True:
            try:
                found = packed.decompress(data)
            except zstandard.ZstdError as error:
                raise BrokenError(frame, source.at, str(error)) from None
            if found:
                yield Piece(frame, found)
            if packed.eof:
                break
            data = source.take()
            if not data:
                raise BrokenError(frame, source.at, None)
        source.give_back(len(packed.unused_data))


def _unlz4(stream: _Source, packing: Packing, start: int) -> Iterator[Piece]:
    reader = Lz4Reader(stream)
    reader.inner_seek(start)
    at = start
    while True:
        try:
            data = reader.read(_CHUNK)
        except DataError:
            raise
        except OSError as error:
            raise BrokenError(at, reader.inner_tell(), str(error)) from None
        if not data:
            return
        yield Piece(at, data)
        at = reader.frame_start_position() or at


def _members(open_one: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]) -> Callable[..., Iterator[Piece]]:
    def unpack(stream: _Source, packing: Packing, start: int) -> Iterator[Piece]:
        source = _Input(stream, start, _SLICE)
        while True:
            member = source.at
            data: bytes | memoryview = source.take()
            if not data:
                return
            packed = open_one()
            while True:
                try:
                    found = packed.decompress(data, _CHUNK)
                except (OSError, lzma.LZMAError, EOFError) as error:
                    raise BrokenError(member, source.at, str(error)) from None
                if found:
                    yield Piece(member, found)
                if packed.eof:
                    break
                data = source.take() if packed.needs_input else b""
                if not data and packed.needs_input:
                    raise BrokenError(member, source.at, None)
            source.give_back(len(packed.unused_data))

    return unpack


_READERS: dict[PackingKind, Callable[[_Source, Packing, int], Iterator[Piece]]] = {
    "plain": _plain,
    "gzip": _gunzip,
    "zstd": _unzstd,
    "lz4": _unlz4,
    "bzip2": _members(bz2.BZ2Decompressor),
    "xz": _members(lzma.LZMADecompressor),
}
