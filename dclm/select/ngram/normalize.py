"""CCNet's normalization of text: the input from which the tokens of its KenLM models are made."""

from __future__ import annotations

import functools
import sys
import unicodedata

_PUNCTUATION = {
    **dict.fromkeys("„”“«»「」《》", '"'),
    "，": ",",
    "、": ",",
    "。": ".",
    "．": ". ",
    "…": "...",
    "；": ";",
    "：": ":",
    "∶": ":",
    "？": "?",
    "！": "!",
    "（": "(",
    "）": ")",
    "【": "[",
    "】": "]",
    "〈": "<",
    "〉": ">",
    "´": "'",
    "’": "'",
    "–": "-",
    "━": "-",
    "►": "-",
    "—": " - ",
    "～": "~",
    "％": "%",
}
_CONTROL = (*range(0x20), *range(0x7F, 0xA0))
_ASCII_CONTROL = bytes(point for point in _CONTROL if point < 0x80)
_ASCII = bytes(range(256)).lower().translate(bytes.maketrans(b"123456789", b"000000000"))


@functools.cache
def _table() -> dict[int, str | None]:
    """Code point after lower-casing and NFD → its replacement."""
    table: dict[int, str | None] = {ord(mark): text for mark, text in _PUNCTUATION.items()}
    for point in range(sys.maxunicode + 1):
        category = unicodedata.category(chr(point))
        if category == "Mn":
            table[point] = None
        elif category == "Nd":
            table[point] = "0"
    table.update(dict.fromkeys(_CONTROL))
    return table


def ccnet_normalize(text: str) -> str:
    """Lower case, without accents, each digit a 0, common Unicode punctuation as ASCII, no control characters.

    A line feed is a control character: without a space, the words around it are joined, as in CCNet.

    Source: `text_normalizer.normalize` in facebookresearch/cc_net.
    """
    text = text.strip()
    if text.isascii():
        return text.encode("ascii").translate(_ASCII, _ASCII_CONTROL).decode("ascii")
    return unicodedata.normalize("NFD", text.lower()).translate(_table())
