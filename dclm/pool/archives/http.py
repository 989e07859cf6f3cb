"""The payload of an HTTP response as stored by a crawl: lenient header parsing, transfer and content codings undone."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from typing import NamedTuple

import brotli  # type: ignore[import-untyped]
import zstandard

from dclm.pool.archives.gzip import Member
from dclm.pool.rows import MAX_PAGE_BYTES, Payload

_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_FIELD = re.compile(
    rb"(?im)^(content-type|content-encoding|transfer-encoding|tdm-reservation|x-robots-tag|link)[ \t]*:[ \t]*([^\r\n]*)"
)
_RIGHTS = (b"tdm-reservation", b"x-robots-tag", b"link")
_MAX_RIGHTS_BYTES = 4096
"""Longer header fields about rights are cut: none that is meant to be read is that long."""
_FOLD = re.compile(rb"\r?\n[ \t]+")  # a field continues on the next line
_INTERIM = re.compile(rb"HTTP/[0-9.]{1,8} 1[0-9]{2}\b[^\r\n]{0,1000}(?:\r?\n[^\r\n]{1,8000}){0,100}\r?\n\r?\n(?=HTTP/)")
_CHUNK_SIZE = re.compile(rb"[ \t]*([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")
MAX_CODINGS = 10
"""Maximum number of nested content codings; no honest server uses more."""
MAX_MEMBERS = 1 << 18
"""Maximum number of members of one gzip body. Each costs microseconds, however small; those of bgzip hold 64 KiB."""


class Response(NamedTuple):
    """The content of a response, or why it is not available."""

    content_type: str | None
    body: Payload | None
    reject: str | None
    cut: str | None = None
    """Description of the truncation, if `body` is only the readable part."""
    rights: str | None = None
    """Header fields about the use of the page, as lines `name: value`; None if there are none."""


class UndecodableError(ValueError):
    """A coding of the payload cannot be undone."""


class _CutError(Exception):
    """The coded data is truncated."""

    def __init__(self, data: bytes) -> None:
        super().__init__("it is truncated")
        self.data = data
        """The readable part."""


def parse_response(block: bytes) -> Response:
    """Headers and payload of the block of a `response` record.

    A coding that the header names but the payload does not have (crawls keep the header and store the plain bytes) is
    ignored. After "100 Continue" and similar responses, the response that follows is read. The status is not checked:
    an error page is a page. For a truncated chunked or compressed payload, the readable part is returned, as shown by
    browsers.
    """
    start = 0
    while interim := _INTERIM.match(block, start):
        start = interim.end()
    if block[start : start + 5].upper() != b"HTTP/":
        return Response(None, None, "no HTTP response in the record")
    end = _END_OF_HEADERS.search(block, start)
    head = block[start : end.start()] if end else block[start:]
    body: Payload = memoryview(block)[end.end() :] if end else b""
    fields: dict[bytes, list[bytes]] = {}
    for name, value in _FIELD.findall(_FOLD.sub(b" ", head)):
        fields.setdefault(name.lower(), []).append(value)
    types = fields.get(b"content-type", [])
    content_type = types[-1].strip().decode("utf-8", "replace") if types else None
    rights = _rights(fields)
    try:
        cut: list[str] = []
        transfer = b",".join(fields.get(b"transfer-encoding", []))
        if b"chunked" in transfer.lower():
            body = join_chunks(body, cut)
        body = undo_codings(body, transfer, cut)
        body = undo_codings(body, b",".join(fields.get(b"content-encoding", [])), cut)
    except UndecodableError as error:
        return Response(content_type, None, str(error))
    if cut and not body:
        return Response(content_type, None, cut[-1])
    return Response(content_type, body or b"", None, cut[-1] if cut else None, rights)


def _rights(fields: Mapping[bytes, list[bytes]]) -> str | None:
    lines = [
        b"%s: %s" % (name, value[:_MAX_RIGHTS_BYTES])
        for name in _RIGHTS
        for value in fields.get(name, [])
        if name != b"link" or b"license" in value.lower()
    ]
    return b"\n".join(lines).decode("utf-8", "replace") if lines else None


def join_chunks(body: Payload, cut: list[str]) -> Payload:
    """The payload of a chunked body; a body that is not chunked is returned unchanged.

    A truncated chunk is returned as far as it goes, with a line in `cut`. The last, empty chunk may be missing.
    Raises: UndecodableError if a chunk does not begin where the previous one ends.
    """
    if _CHUNK_SIZE.match(body) is None:
        return body
    joined = bytearray()  # not a list: a chunk may be a single byte
    view = memoryview(body)
    at = 0
    while at < len(view):
        line = _CHUNK_SIZE.match(body, at)
        if line is None:
            raise UndecodableError(f"transfer encoding chunked is broken at byte {at}")
        size = int(line[1], 16)
        if size == 0:
            break
        at = line.end()
        if at + size > len(view):
            cut.append(f"transfer encoding chunked is truncated at byte {len(view)}")
        joined += view[at : at + size]
        at += size
        ending = bytes(view[at : at + 2])
        at += 2 if ending == b"\r\n" else 1 if ending[:1] == b"\n" else 0
    return bytes(joined)


def undo_codings(body: Payload, header: bytes, cut: list[str]) -> Payload:
    """Undo the codings that a Content-Encoding or Transfer-Encoding header lists, last one first.

    Unknown words are ignored. Truncated data is returned as far as it can be read, with a line in `cut`.

    Raises: UndecodableError if the data is corrupt or longer than `MAX_PAGE_BYTES`, or the list is longer than
    `MAX_CODINGS`.
    """
    names = [name.strip().lower() for name in header.split(b",")]
    names = [name for name in names if name in _CODINGS]
    if len(names) > MAX_CODINGS:
        raise UndecodableError(f"{len(names)} content encodings, allowed: {MAX_CODINGS}")
    for name in reversed(names):
        if not body or _looks_plain(body, name):
            continue
        try:
            body = _CODINGS[name](body)
        except _CutError as error:
            cut.append(f"content encoding {name.decode()} is corrupt: {error}")
            body = error.data
        except (zlib.error, brotli.error, zstandard.ZstdError) as error:
            raise UndecodableError(f"content encoding {name.decode()} is corrupt: {error}") from None
        if len(body) > MAX_PAGE_BYTES:
            raise UndecodableError(f"content encoding {name.decode()} unpacks to more than {MAX_PAGE_BYTES} bytes")
    return body


def _looks_plain(body: Payload, name: bytes) -> bool:
    start = bytes(body[:64])
    if name in (b"gzip", b"x-gzip"):
        return not start.startswith(b"\x1f\x8b")
    if name == b"zstd":
        return not start.startswith(b"\x28\xb5\x2f\xfd")
    return start.lstrip()[:1] == b"<"


def _gunzip(body: Payload) -> bytes:
    """All members, up to the limit plus one byte."""
    parts: list[bytes] = []
    room = MAX_PAGE_BYTES + 1
    view = memoryview(body)
    at = members = 0
    while room > 0 and bytes(view[at : at + 2]) == b"\x1f\x8b":
        members += 1
        if members > MAX_MEMBERS:
            raise UndecodableError(f"more than {MAX_MEMBERS} gzip members")
        member = Member()
        while at < len(view) and room > 0 and not member.ended:
            unpacked, used = member.feed(view[at:], room)
            parts.append(unpacked)
            room -= len(unpacked)
            at += used
        if room > 0 and not member.ended:
            raise _CutError(b"".join(parts))
    return b"".join(parts)


def _inflate(body: Payload) -> bytes:
    """zlib format, as in the standard, or a bare deflate stream, which some servers send."""
    bare = (body[0] & 0x0F) != 8 or (body[0] * 256 + (body[1] if len(body) > 1 else 0)) % 31 != 0
    packed = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
    data = packed.decompress(body, MAX_PAGE_BYTES + 1)
    if not packed.eof and len(data) <= MAX_PAGE_BYTES:
        raise _CutError(data)
    return data


def _unbrotli(body: Payload) -> bytes:
    packed = brotli.Decompressor()
    data: bytes = packed.process(bytes(body), output_buffer_limit=MAX_PAGE_BYTES + 1)
    if not packed.is_finished() and len(data) <= MAX_PAGE_BYTES:
        raise _CutError(data)
    return data


def _unzstd(body: Payload) -> bytes:
    """Fed in slices of 1 KiB, each of which may expand to at most about 45 MB."""
    parts: list[bytes] = []
    size = 0
    packed = zstandard.ZstdDecompressor().decompressobj()
    for start in range(0, len(body), 1024):
        parts.append(packed.decompress(body[start : start + 1024]))
        size += len(parts[-1])
        if packed.eof or size > MAX_PAGE_BYTES:
            return b"".join(parts)
    raise _CutError(b"".join(parts))


_CODINGS: dict[bytes, Callable[[Payload], bytes]] = {
    b"gzip": _gunzip,
    b"x-gzip": _gunzip,
    b"deflate": _inflate,
    b"br": _unbrotli,
    b"zstd": _unzstd,
}
