"""Byte streams of pool files: opened, guarded, decompressed in bounded pieces."""

from __future__ import annotations

import codecs
import io
from collections.abc import Iterator
from typing import IO, Protocol, cast

import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.storage import open_input
from dclm.pool.files import PACKED, ByteRange, is_http
from dclm.pool.packing import BrokenError, detect, pieces
from dclm.pool.remote import HttpFile, fetch

_SEARCH_BYTES = 1 << 20
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


class Stream(Protocol):
    """The interface that readers need of a file: bytes in order, and seeking."""

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class GuardedStream:
    """A stream whose own failures are DataErrors, so that they are never mistaken for damage of its content."""

    def __init__(self, stream: Stream, path: str) -> None:
        self._stream = stream
        self.path = path
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        try:
            return self._stream.read(size)
        except OSError as error:
            raise DataError(self.path, f"reading failed: {error}") from error

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()

    def close(self) -> None:
        self._stream.close()
        self.closed = True


def open_stream(path: str) -> GuardedStream:
    """Open a local path or a URL. Raises: DataError if it does not exist or may not be read."""
    if is_http(path):
        return GuardedStream(HttpFile(path), path)
    try:
        return GuardedStream(open_input(path), path)
    except OSError as error:
        raise DataError(path, f"cannot be opened: {error.strerror or error}", "check the permissions") from None


def read_range(path: str, part: ByteRange) -> GuardedStream:
    """A part of a file, downloaded completely. Raises: DataError like `open_stream`."""
    if is_http(path):
        return GuardedStream(io.BytesIO(fetch(path, part.offset, part.length)), path)
    stream = open_stream(path)
    try:
        stream.seek(part.offset)
        return GuardedStream(io.BytesIO(stream.read(part.length)), path)
    finally:
        stream.close()


def find_magic(stream: GuardedStream, offset: int, magic: bytes) -> int | None:
    """Where the next `magic` is, at or after `offset`; None if none exists, or if `magic` is empty."""
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


def unpacked(stream: GuardedStream, name: str, damage: list[str]) -> Iterator[bytes]:
    """The bytes of a file in bounded pieces, whatever its compression; `damage` reports where and why it ends early."""
    packing = detect(stream, stream.path)
    if packing.kind == "plain" and name.lower().endswith(PACKED) and stream.read(1):
        damage.append("not compressed, despite its name: read unchanged")
    try:
        for piece in pieces(stream, packing):
            yield piece.data
    except BrokenError as error:
        if error.detail is None:
            damage.append(f"truncated {packing.kind} at byte {error.at}")
        else:
            damage.append(f"corrupt {packing.kind} data before byte {error.at}: {error.detail}")


def utf8_text(stream: GuardedStream, name: str, damage: list[str]) -> Iterator[bytes]:
    """Like `unpacked`, for files of text: UTF-16 with a byte order mark, as spreadsheets save it, becomes UTF-8.

    Invalid UTF-16 becomes U+FFFD. Everything else stays unchanged, including a byte order mark of UTF-8.
    """
    decoder: codecs.IncrementalDecoder | None = None
    head = b""
    begun = False
    for data in unpacked(stream, name, damage):
        if not begun:
            head += data
            if len(head) < 2:
                continue
            data, begun = head, True
            if data[:2] in _UTF16:
                decoder = codecs.getincrementaldecoder(_UTF16[data[:2]])("replace")
                data = data[2:]
        yield data if decoder is None else decoder.decode(data).encode("utf-8", "replace")
    if not begun and head:
        yield head
    elif decoder is not None:
        yield decoder.decode(b"", final=True).encode("utf-8", "replace")


def is_utf16(stream: GuardedStream) -> bool:
    """Whether the stream begins with a byte order mark of UTF-16. Moves to its start."""
    stream.seek(0)
    head = stream.read(2)
    stream.seek(0)
    return head in _UTF16


def parquet_file(
    stream: GuardedStream, metadata: pq.FileMetaData | None = None, read_dictionary: list[str] | None = None
) -> pq.ParquetFile:
    """A Parquet file, of which only what is needed is read. Raises: pa.ArrowInvalid, OSError if it is none."""
    source = cast(IO[bytes], stream)
    return pq.ParquetFile(source, metadata=metadata, pre_buffer=False, read_dictionary=read_dictionary)
