"""Bytes of a page → text: DCLM's rule (UTF-8 or nothing), or detection as in browsers."""

from __future__ import annotations

import codecs
import re

from resiliparse.parse.encoding import detect_encoding, map_encoding_to_html5

_BOMS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_CHARSET = re.compile(r"charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([\w.:-]{1,40})", re.IGNORECASE)
_META = re.compile(rb"<meta[^>]{0,500}?charset\s{0,20}=\s{0,20}[\"']?\s{0,20}([\w.:-]{1,40})", re.IGNORECASE)
_XML = re.compile(rb"""^\s{0,20}<\?xml[^>]{0,200}?encoding\s{0,20}=\s{0,20}["']([\w.:-]{1,40})""")
_META_BYTES = 4096
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]")
_CONTROLS = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f]")
_ZEROS = 0.1
"""A larger fraction of zero bytes means UTF-16 of a text that is mostly ASCII."""
_SOME_ZEROS = 0.1
"""From this fraction of zero bytes on, their positions reveal the byte order."""
_FLAWS, _CHARACTERS_PER_FLAW = 2, 2000
"""Number of flaws, plus one per this many characters, that do not contradict an encoding declared by a page."""
_MISTAKEN = {
    "mac-cyrillic": "cp1251"
}  # the detector reports it for nearly all windows-1251 text, and hardly any page really uses it
_ISO_2022 = re.compile(rb"\x1b\$[@B]")


def decode_utf8(body: bytes | memoryview) -> str | None:
    """The text, or None if it is not UTF-8. Source: DCLM decodes strictly and drops the rest."""
    try:
        return str(body, "utf-8")
    except UnicodeDecodeError:
        return None


def decode_detected(body: bytes, content_type: str | None) -> str:
    """The text in the most likely encoding of the page; bytes that do not fit become U+FFFD.

    The order is: byte order mark; UTF-16, if the HTTP header names it or the zeros of ASCII text reveal it, and the
    bytes are not valid in another encoding; UTF-8 if it decodes (no other encoding does so by chance); the charset of
    the HTTP header, of a <meta> in the first 4 KiB, of an XML declaration, unless more bytes contradict it than support
    it; UTF-8 if nearly all sequences are valid; Resiliparse's detector on the bytes. A flaw or two in the declared
    encoding change nothing: browsers show U+FFFD there.
    """
    for bom, name in _BOMS:
        if body.startswith(bom):
            return body[len(bom) :].decode(name, "replace")
    header = _CHARSET.search(content_type or "")
    label = map_encoding_to_html5(header[1], fallback_utf8=False) if header else None
    wide = _utf16(body, label)
    if wide is not None:
        return body.decode(wide, "replace")
    text = decode_utf8(body)
    if text is not None and not _ISO_2022.search(body):
        return text
    start = body[:_META_BYTES]
    found = (pattern.search(start) for pattern in (_META, _XML))
    inside = (map_encoding_to_html5(m[1].decode("ascii", "replace"), fallback_utf8=False) if m else None for m in found)
    for said in (label, *inside):
        named = _codec("utf-8" if said and said.startswith("utf-16") else said)  # a label in the page was read as ASCII
        if named is not None and (decoded := _decoded(body, named, declared=True)) is not None:
            return decoded
    mostly = _decoded(body, "utf-8", declared=False)
    if mostly is not None and text is None:
        return mostly
    guess = detect_encoding(body, html5_compatible=False)
    return body.decode(_codec(_MISTAKEN.get(guess or "", guess)) or "cp1252", "replace")


def _decoded(body: bytes, codec: str, *, declared: bool) -> str | None:
    """The text; None if too much does not fit.

    For a declared encoding, too much means more bytes that do not fit than characters beyond ASCII; for one that is
    only tried, a tenth.
    """
    text = body.decode(codec, "replace")
    bad = text.count("\ufffd")
    if bad == 0:
        return text
    good = len(_BEYOND_ASCII.findall(text)) - bad
    if declared:
        return text if bad <= max(good, _FLAWS + len(text) // _CHARACTERS_PER_FLAW) else None
    return text if 10 * bad <= good else None


def _utf16(body: bytes, label: str | None) -> str | None:
    """The codec, if the page is UTF-16: named by the HTTP header and not contradicted, or evident from its zeros."""
    start = body[: _META_BYTES & ~1]
    declared = label is not None and label.startswith("utf-16")
    even, odd = start[::2].count(0), start[1::2].count(0)
    if not start or not (declared or even + odd > len(start) * _ZEROS):
        return None
    if even + odd > len(start) * _SOME_ZEROS and max(even, odd) > 2 * min(even, odd):
        codec = "utf-16-be" if even > odd else "utf-16-le"
    else:
        codec = "utf-16-be" if label == "utf-16-be" else "utf-16-le"
    if declared and even + odd == 0 and decode_utf8(body) is not None and not _CONTROLS.search(start):
        return None  # the header is wrong: UTF-16 is never valid UTF-8 without control characters
    return codec


def _codec(name: str | None) -> str | None:
    """Python's name of an encoding. Labels of pages are looked up in HTML's list: no page may choose idna or the
    like."""
    try:
        return codecs.lookup(name).name if name else None
    except LookupError:
        return None
