"""Evidence for or against the length that a WARC record claims: HTTP's length, digests, records hidden inside."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

VERSION = re.compile(rb"WARC/\d{1,2}\.\d{1,3}[ \t]*(?:\r?\n|$)", re.IGNORECASE)
"""The first line of a record."""
MARKS = (b"WARC/", b"warc/")
_VERSION_AT_END = re.compile(rb"WARC/\d{1,2}\.\d{1,3}[ \t]*$", re.IGNORECASE)
_FIELD = re.compile(rb"([!#-9;-~]{1,100})[ \t]*:[ \t]*([^\n]*)")
_PLAUSIBLE = re.compile(rb"WARC/\d{1,2}\.\d{1,3}[ \t]*\r?\n[!#-9;-~]{1,100}[ \t]*:", re.IGNORECASE)
_HTTP_LENGTH = re.compile(rb"\ncontent-length[ \t]*:[ \t]*(\d{1,15})[ \t]*\r?(?:\n|$)", re.IGNORECASE)
_HTTP = re.compile(rb"HTTP/|[A-Z]{3,10} [^\r\n]{1,8000} HTTP/", re.IGNORECASE)
_END_OF_HEADERS = re.compile(rb"\r?\n\r?\n")
_HEADER_BYTES = 32 << 10
_HEAD_BYTES = 64 << 10
_MAX_STEPS = 10_000
_MANDATORY = {b"warc-type", b"warc-record-id", b"warc-date", b"content-length"}
_DIGESTS = {b"sha1": 20, b"md5": 16, b"sha256": 32, b"sha-256": 32, b"sha512": 64, b"sha-512": 64}


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of a WARC record."""

    size: int
    """Number of bytes before the block."""
    kind: str
    """WARC-Type in lower case; `unknown` if missing."""
    fields: Mapping[bytes, bytes]
    """Names in lower case. If a name occurs twice, the first value is used."""
    length: int | None
    """Content-Length; None if it is missing or not a number."""
    bare: bool
    """Whether lines end in bare line feeds."""

    def text(self, name: bytes) -> str | None:
        """A field as text; None if it is missing or empty."""
        value = self.fields.get(name)
        return None if value is None else value.decode("utf-8", "replace").strip() or None


def parse_header(data: bytes) -> Header | None:
    """The header at the beginning of `data`; None if its empty line is missing, or another record comes before it."""
    fields: dict[bytes, bytes] = {}
    name = b""
    at = data.find(b"\n") + 1
    bare = data[at - 2 : at - 1] != b"\r"
    while True:
        end = data.find(b"\n", at)
        if end < 0:
            return None
        line = data[at:end].rstrip(b"\r")
        at = end + 1
        if not line:
            break
        if b"WARC/" in line.upper() and _VERSION_AT_END.search(line):  # truncated there
            return None
        if line[:1] in b" \t":
            fields[name] = fields.get(name, b"") + b" " + line.strip()
        elif found := _FIELD.match(line):
            name = found[1].lower()
            fields.setdefault(name, found[2].strip())
    length = fields.get(b"content-length", b"")
    kind = fields.get(b"warc-type", b"").decode("utf-8", "replace").strip().lower()
    number = int(length) if length.isdigit() and len(length) <= 18 else None
    return Header(size=at, kind=kind or "unknown", fields=fields, length=number, bare=bare)


def plausible_at(data: bytes | bytearray, at: int) -> bool:
    """Whether a record may begin at `at`: a version, followed by fields of which one is specific to WARC."""
    if _PLAUSIBLE.match(data, at) is None:
        return False
    header = parse_header(bytes(data[at : at + _HEADER_BYTES]))
    return header is not None and any(name.startswith(b"warc-") for name in header.fields)


def http_payload(block: bytes) -> tuple[int, int] | None:
    """Content-Length of the HTTP message in the block, and the offset of its payload; None if none exists."""
    end = _END_OF_HEADERS.search(block, 0, _HEAD_BYTES)
    if end is None:
        return None
    length = _HTTP_LENGTH.search(block, 0, end.end())
    return None if length is None else (int(length[1]), end.end())


def http_end(block: bytes) -> int | None:
    """Offset of the payload of an HTTP response or request; None if the block is not an HTTP message."""
    if not _HTTP.match(block):
        return None
    end = _END_OF_HEADERS.search(block)
    return len(block) if end is None else end.end()


def confirmed(header: Header, block: bytes, size: int | None = None) -> bool:
    """Whether HTTP's Content-Length or the block digest confirms that this is the whole block.

    `size`: the size of the block, of which `block` is only the beginning.
    """
    if (header.text(b"content-type") or "").lower().startswith("application/http"):
        found = http_payload(block)
        if found is not None and found[0] == (len(block) if size is None else size) - found[1]:
            return True
    return size is None and digest_fits(header, block) is True


def digest_fits(header: Header, block: bytes) -> bool | None:
    """Whether WARC-Block-Digest matches the block; None without a digest that can be checked."""
    return check_digest(header.fields.get(b"warc-block-digest", b""), block)


def check_digest(labelled: bytes, data: bytes) -> bool | None:
    """Whether `algorithm:value` (base 32 or hex) is the digest of `data`; None if this cannot be determined."""
    name, _, value = labelled.strip().partition(b":")
    size = _DIGESTS.get(name.lower())
    if size is None:
        return None
    try:
        wanted = bytes.fromhex(value.decode("ascii")) if len(value) == 2 * size else base64.b32decode(value.upper())
    except (ValueError, binascii.Error):
        return None
    return hashlib.new(name.decode().lower().replace("-", ""), data, usedforsecurity=False).digest() == wanted


def has_mark(block: bytes) -> bool:
    """Whether a record may begin in the block."""
    return any(block.find(mark) >= 0 for mark in MARKS)


def hidden_record(header: Header, block: bytes) -> int | None:
    """Where another record begins that the block swallows; None if none exists.

    A page may show a WARC header, and may itself be a WARC file. So an apparent record counts only if HTTP's length
    does not cover it and the digest (if any) does not match the block; without a digest, only if records follow each
    other from there to the end of the block, or if it comes after an empty line and has all mandatory fields.
    """
    if not has_mark(block) or confirmed(header, block):
        return None
    fits = digest_fits(header, block)
    steps = 0
    for mark in MARKS:
        at = block.find(mark, 1)
        while at >= 0 and steps < _MAX_STEPS:
            steps += 1
            if plausible_at(block, at):
                ends, taken = _leads_to_the_end(block, at, _MAX_STEPS - steps)
                steps += taken
                if ends or fits is False or _is_complete(block, at):
                    return at
            at = block.find(mark, at + 1)
    return None


def _is_complete(block: bytes, at: int) -> bool:
    header = parse_header(block[at : at + _HEADER_BYTES])
    before = block[max(at - 4, 0) : at].replace(b"\r", b"")
    return header is not None and before.endswith(b"\n\n") and header.fields.keys() >= _MANDATORY


def _leads_to_the_end(block: bytes, at: int, allowed: int) -> tuple[bool, int]:
    """Whether the records from `at` on end where the block ends, and their number."""
    for step in range(1, allowed + 1):
        found = parse_header(block[at : at + _HEADER_BYTES])
        if found is None or found.length is None:
            return False, step
        at += found.size + found.length
        rest = block[at : at + 16].lstrip(b" \t\r\n")
        if at <= len(block) and not block[at:].strip(b" \t\r\n"):
            return True, step
        at += len(block[at : at + 16]) - len(rest)
        if not VERSION.match(block, at):
            return False, step
    return False, allowed
