"""Byte streams of pool files: opened, guarded, unpacked in bounded pieces."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Iterator
from typing import Protocol

import zstandard

from dclm.core.errors import DataError
from dclm.core.storage import open_input
from dclm.pool.files import ByteRange
from dclm.pool.remote import HttpFile, fetch

GZIP = b"\x1f\x8b\x08"
"""How a gzip member begins: two magic bytes and the only method there is."""
_CHUNK = 1 << 18
_SEARCH_BYTES = 1 << 20


class Stream(Protocol):
    """What readers need of a file: bytes in order, and to start again elsewhere."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class GuardedStream:
    """A stream whose own failures are DataErrors: never to be taken for damage of what it holds."""

    def __init__(self, stream: Stream, path: str) -> None:
        self._stream = stream
        self._path = path
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise DataError(self._path, f"reading failed: {error}") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        self.closed = True


def open_stream(path: str) -> GuardedStream:
    """Open a local path or an URL. Raises: DataError if it is not there or may not be read."""
    if path.startswith(("http://", "https://")):
        return GuardedStream(HttpFile(path), path)
    try:
        return GuardedStream(open_input(path), path)
    except OSError as error:
        raise DataError(path, f"cannot be opened: {error.strerror or error}", "check the permissions") from None


def read_range(path: str, part: ByteRange) -> GuardedStream:
    """A part of a file, fetched whole. Raises: DataError as `open_stream`."""
    if path.startswith(("http://", "https://")):
        return GuardedStream(io.BytesIO(fetch(path, part.offset, part.length)), path)
    stream = open_stream(path)
    try:
        stream.seek(part.offset)
        return GuardedStream(io.BytesIO(stream.read(part.length)), path)
    finally:
        stream.close()


def find_magic(stream: GuardedStream, offset: int, magic: bytes) -> int | None:
    """Where the next `magic` lies, at or after `offset`; None if there is none, or no `magic`."""
    if not magic:
        return None
    tail = b""
    stream.seek(offset)
    while data := stream.read(_SEARCH_BYTES):
        window = tail + data
        at = window.find(magic)
        if at >= 0:
            return offset - len(tail) + at
        offset += len(data)
        tail = window[1 - len(magic) :]
    return None


def breaks_off(stream: GuardedStream, offset: int) -> bool:
    """Whether the gzip member at `offset`, or one after it, is without its end. Leaves the stream where that shows."""
    stream.seek(offset)
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest = b""
    try:
        while rest := rest or stream.read(_CHUNK):
            if packed.eof:
                packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
            packed.decompress(rest, _CHUNK)
            rest = packed.unused_data if packed.eof else packed.unconsumed_tail
    except zlib.error:
        return True
    return not packed.eof


def gzip_member(stream: GuardedStream, offset: int, mark: bytes) -> tuple[int, int]:
    """Of the gzip member at `offset`: its bytes after the first `mark` (which is sought in 256 KiB), and where it ends.

    A member that is corrupt or breaks off ends where it can be read no more.
    """
    stream.seek(offset)
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest = b""
    size = 0
    begin: int | None = None
    with contextlib.suppress(zlib.error):
        while not packed.eof and (rest := packed.unconsumed_tail or stream.read(_CHUNK)):
            data = packed.decompress(rest, _CHUNK)
            begin = data.find(mark) + len(mark) if begin is None else begin
            size += len(data)
    return size - (begin or 0), stream.tell() - len(packed.unused_data or packed.unconsumed_tail)


def unpacked(stream: GuardedStream, name: str, damage: list[str]) -> Iterator[bytes]:
    """The bytes of a plain, gzip or zstd stream in bounded pieces; says in `damage` where and why it ends early."""
    start = stream.read(4)
    stream.seek(0)
    if start[:2] == b"\x1f\x8b":
        yield from _gunzip(stream, damage)
    elif start == b"\x28\xb5\x2f\xfd":
        yield from _unzstd(stream, damage)
    elif start and name.lower().endswith((".gz", ".zst", ".zstd")):
        damage.append("not compressed, whatever its name says: read as it is")
        yield from _plain(stream)
    else:
        yield from _plain(stream)


def _plain(stream: GuardedStream) -> Iterator[bytes]:
    while data := stream.read(_CHUNK):
        yield data


def _gunzip(stream: GuardedStream, damage: list[str]) -> Iterator[bytes]:
    packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
    rest, at = b"", 0
    try:
        while True:
            if not rest:
                rest = stream.read(_CHUNK)
                at += len(rest)
                if not rest:
                    break
            if packed.eof:
                rest = rest.lstrip(b"\0")  # tape padding between and after members
                if not rest:
                    continue
                packed = zlib.decompressobj(zlib.MAX_WBITS | 16)
            data = packed.decompress(rest, _CHUNK)
            rest = packed.unused_data if packed.eof else packed.unconsumed_tail
            if data:
                yield data
    except zlib.error as error:
        damage.append(f"corrupt gzip data before byte {at}: {error}")
        return
    if not packed.eof:
        damage.append(f"truncated gzip at byte {at}")


def _unzstd(stream: GuardedStream, damage: list[str]) -> Iterator[bytes]:
    """Fed in slices of 1 KiB, of which each may unpack to at most about 45 MB."""
    packed = zstandard.ZstdDecompressor().decompressobj()
    rest = b""
    try:
        while rest := rest or stream.read(_CHUNK):
            if packed.eof:
                packed = zstandard.ZstdDecompressor().decompressobj()
            data = packed.decompress(rest[:1024])
            rest = packed.unused_data + rest[1024:]
            if data:
                yield data
    except zstandard.ZstdError as error:
        damage.append(f"corrupt zstd data before byte {stream.tell()}: {error}")
        return
    if not packed.eof:
        damage.append(f"truncated zstd at byte {stream.tell()}")
