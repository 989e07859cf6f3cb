"""The step that keeps pages of text: the declared media type, corrected by the content."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

import pyarrow as pa

from dclm.curate.step import Context, Filter, FilterFunction

_SNIFFED_BYTES = 1445  # number of bytes that browsers inspect
_HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,1000}?-->\s*)?<(?:!doctype\s+html|html|head|body|title|meta|script|style|div|table|p|h1|a)[\s>]",
    re.IGNORECASE | re.DOTALL,
)
_XHTML = re.compile(rb"\s*<\?xml.{0,1000}?<html[\s>]", re.IGNORECASE | re.DOTALL)
_BINARY = re.compile(rb"[\x00-\x08\x0b\x0e-\x1a\x1c-\x1f]")
_BYTE_ORDER_MARKS = (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")
_SIGNATURES = (
    (b"\x89PNG\r\n\x1a\n", "image/png"), (b"\xff\xd8\xff", "image/jpeg"), (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"), (b"\x00\x00\x01\x00", "image/x-icon"), (b"II*\x00", "image/tiff"), (b"MM\x00*", "image/tiff"),
    (b"%PDF-", "application/pdf"), (b"PK\x03\x04", "application/zip"), (b"\x1f\x8b", "application/gzip"),
    (b"Rar!", "application/x-rar-compressed"), (b"7z\xbc\xaf", "application/x-7z-compressed"),
    (b"wOFF", "font/woff"), (b"wOF2", "font/woff2"), (b"OTTO", "font/otf"), (b"\x00\x01\x00\x00", "font/ttf"),
    (b"ID3", "audio/mpeg"), (b"OggS", "application/ogg"), (b"fLaC", "audio/flac"), (b"RIFF", "audio/riff"),
    (b"\x1aE\xdf\xa3", "video/webm"), (b"FWS", "application/x-shockwave-flash"),
    (b"CWS", "application/x-shockwave-flash"), (b"\x7fELF", "application/x-executable"),
    (b"\x00asm", "application/wasm"), (b"{\\rtf", "application/rtf"),
)  # fmt: skip
_TEXT_SIGNATURES = frozenset([b"BM", b"ID3", b"RIFF", b"FWS", b"CWS", b"PK\x03\x04"])  # a text may begin with these
_NO_PAGES = ("image/", "audio/", "video/", "font/", "text/css", "text/javascript", "text/ecmascript")
_CONTROLS = re.compile(r"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_UNTOLD = frozenset(["", "application/octet-stream", "unknown/unknown", "application/unknown", "*/*"])


@dataclasses.dataclass(frozen=True, kw_only=True)
class MediaType(Filter):
    """Keeps pages of these media types: the declared type, unless the content shows another.

    Images, fonts, archives and other binary data are recognized by their first bytes, whatever the server declares;
    HTML that is declared as something else is HTML. Without a declared type, text that is not HTML is text/plain. Use
    it before `extract`; documents that already have text are kept. Source: WHATWG's MIME sniffing standard, simplified.
    """

    name: ClassVar[str] = "media_type"

    keep: tuple[str, ...] = ("text/html", "application/xhtml+xml", "text/plain")
    """Media types, without parameters."""

    def open(self, context: Context) -> FilterFunction:
        allowed = frozenset(kind.lower() for kind in self.keep)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            if "body" not in batch.schema.names:
                return pa.array([True] * batch.num_rows, pa.bool_())
            bodies, types = batch.column("body"), batch.column("content_type").to_pylist()
            answers = []
            for body, declared in zip(bodies, types, strict=True):
                start = memoryview(body.as_buffer())[:_SNIFFED_BYTES].tobytes() if body.is_valid else None
                answers.append(start is None or media_type(start, declared) in allowed)
            return pa.array(answers, pa.bool_())

        return keep


def media_type(start: bytes, declared: str | None) -> str:
    """The media type of a page, from its first 1,445 bytes and its Content-Type."""
    named = (declared or "").partition(";")[0].strip().lower()
    if _HTML.match(start):
        return named if named == "application/xhtml+xml" else "text/html"
    if _XHTML.match(start):
        return "application/xhtml+xml"
    wide = start.startswith(_BYTE_ORDER_MARKS) or "utf-16" in (declared or "").lower()
    binary = not wide and _BINARY.search(start) is not None
    for signature, kind in _SIGNATURES:
        if start.startswith(signature) and (binary or signature not in _TEXT_SIGNATURES):
            return kind
    if start[4:8] == b"ftyp":
        return "video/mp4"
    if binary:
        return named if named and not named.startswith("text/") and named not in _UNTOLD else "application/octet-stream"
    return "text/plain" if named in _UNTOLD else named


def is_plain_text(body: bytes | memoryview, declared: str | None) -> bool:
    """Whether a page is plain text with line breaks to keep: declared so and not HTML, or without type and tags."""
    named = (declared or "").partition(";")[0].strip().lower()
    if named != "text/plain" and named not in _UNTOLD:  # most pages: whatever they contain, it is not plain text
        return False
    start = bytes(body[:_SNIFFED_BYTES])
    return media_type(start, declared) == "text/plain" and (named == "text/plain" or b"<" not in start)


def no_page(body: bytes | memoryview, declared: str | None) -> str | None:
    """The media type of a payload without readable text, by its first bytes or declaration; None: perhaps a page."""
    kind = media_type(bytes(body[:_SNIFFED_BYTES]), declared)
    if kind.startswith(_NO_PAGES):
        return kind
    if not kind.startswith("application/") or kind.endswith("xml") or kind in _UNTOLD:
        return None
    return kind


def is_binary(text: str) -> bool:
    """Whether decoded text has more control characters than real text does: more than one in a hundred."""
    return len(_CONTROLS.findall(text)) * 100 > len(text)
