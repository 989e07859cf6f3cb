"""Bytes of a page → text: DCLM's rule (UTF-8 or nothing), or detection as browsers do it."""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET = re.compile(r"charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([\w.:-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,500}?charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([\w.:-]{1,40})", re.IGNORECASE)
_META_BYTES = 4096
_MISTAKEN = {
    "mac-cyrillic": "cp1251"
}  # the detector says so of nearly all windows-1251, and hardly a page is the other
_ISO_2022 = re.compile(rb"\x1b\$[@B]")


def decode_utf8(body: bytes | memoryview) -> str | None:
    """The text, or None where it is not UTF-8. Source: DCLM decodes strictly and drops the rest."""
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError:
        return None


def decode_detected(body: bytes, content_type: str | None) -> str:
    """The text in the encoding that the page most likely has; bytes that do not fit become U+FFFD.

    In this order: byte order mark; UTF-8 where it decodes (no other encoding does so by chance); the charset of the
    HTTP header; that of a <meta> in the first 4 KiB; Resiliparse's detector on the bytes.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, "replace")
    text = decode_utf8(body)
    if text is not None and not _ISO_2022.search(body):
        return text
    header = _CHARSET.search(content_type or "")
    meta = _META.search(body[:_META_BYTES])
    labels = (header[1] if header else None, meta[1].decode("ascii", "replace") if meta else None)
    named = (_codec(map_encoding_to_html5(label, fallback_utf8=False) if label else None) for label in labels)
    guess = detect_encoding(body, html5_compatible=False)
    for codec in (*named, _codec(_MISTAKEN.get(guess or "", guess))):
        if codec is not None and not (codec == "utf-8" and text is None):
            return body.decode(codec, "replace")
    return body.decode("cp1252", "replace")


def _codec(name: str | None) -> str | None:
    """Python's name of an encoding. Labels of pages come through HTML's list: no page may choose idna or the like."""
    try:
        return codecs.lookup(name).name if name else None
    except LookupError:
        return None
