"""Writes dclm/text/unicode_data.py: one 16-bit class per code point, compressed.

Run by hand with Python 3.11 (whose `str` methods follow Unicode 14.0.0) and uniseg 0.10.1 (Unicode 16.0.0), the
versions used for the reference outputs:  python tests/text/make_unicode_data.py
"""

from __future__ import annotations

import base64
import lzma
import sys
import unicodedata
from pathlib import Path

import numpy as np
import uniseg
from numpy.typing import NDArray
from uniseg.emoji import extended_pictographic
from uniseg.wordbreak import word_break

from dclm.text import unicode as u

TARGET = Path(__file__).resolve().parents[2] / "dclm" / "text" / "unicode_data.py"

HEAD = '''"""Code point classes, xz in base85. Written by tests/text/make_unicode_data.py, read by dclm.text.unicode."""

STR_UNICODE_VERSION = "14.0.0"
"""isalnum, isalpha, isupper, islower, isdigit, isspace, as in Python 3.11."""

WORD_BREAK_UNICODE_VERSION = "16.0.0"
"""Word_Break and Extended_Pictographic, as in uniseg 0.10.1."""

'''

WORD_BREAKS = {
    "Other": u.WB_OTHER,
    "CR": u.WB_CR,
    "LF": u.WB_LF,
    "Newline": u.WB_NEWLINE,
    "Extend": u.WB_EXTEND,
    "ZWJ": u.WB_ZWJ,
    "Format": u.WB_FORMAT,
    "Regional_Indicator": u.WB_REGIONAL_INDICATOR,
    "Katakana": u.WB_KATAKANA,
    "Hebrew_Letter": u.WB_HEBREW_LETTER,
    "ALetter": u.WB_ALETTER,
    "Single_Quote": u.WB_SINGLE_QUOTE,
    "Double_Quote": u.WB_DOUBLE_QUOTE,
    "MidNumLet": u.WB_MID_NUM_LET,
    "MidLetter": u.WB_MID_LETTER,
    "MidNum": u.WB_MID_NUM,
    "Numeric": u.WB_NUMERIC,
    "ExtendNumLet": u.WB_EXTEND_NUM_LET,
    "WSegSpace": u.WB_WSEG_SPACE,
}


def code_point_class(code: int) -> int:
    """The bits of one code point, by Python's `str` methods and uniseg's tables."""
    c = chr(code)
    bits = WORD_BREAKS[word_break(c).value]
    for flag, holds in (
        (u.PICTOGRAPHIC, extended_pictographic(c)),
        (u.ALNUM, c.isalnum()),
        (u.ALPHA, c.isalpha()),
        (u.UPPER, c.isupper()),
        (u.DIGIT, c.isdigit()),
        (u.SPACE, c.isspace()),
        (u.LOWER, c.islower()),
    ):
        bits |= flag if holds else 0
    return bits


def make_table() -> NDArray[np.uint16]:
    """The classes of all 0x110000 code points."""
    return np.array([code_point_class(code) for code in range(sys.maxunicode + 1)], np.uint16)


def main() -> None:
    assert (unicodedata.unidata_version, uniseg.unidata_version) == ("14.0.0", "16.0.0")
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "lc": 0, "lp": 1, "pb": 1}]
    packed = lzma.compress(make_table().astype("<u2").tobytes(), lzma.FORMAT_XZ, filters=filters)
    text = base64.b85encode(packed).decode("ascii")
    lines = [f'    "{text[i : i + 100]}"' for i in range(0, len(text), 100)]
    TARGET.write_text(HEAD + "CLASSES = (\n" + "\n".join(lines) + "\n)\n", encoding="ascii")


if __name__ == "__main__":
    main()
