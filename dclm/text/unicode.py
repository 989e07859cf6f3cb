"""UTF-8 decoding and code point classes for kernels: Python's `str` predicates and Unicode's Word_Break in one table.

The versions of Unicode are frozen in `unicode_data`, so that decisions do not depend on the Python that makes them.
"""

from __future__ import annotations

import base64
import functools
import lzma

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.unicode_data import CLASSES

WB_OTHER = 0
WB_CR = 1
WB_LF = 2
WB_NEWLINE = 3
WB_EXTEND = 4
WB_ZWJ = 5
WB_FORMAT = 6
WB_REGIONAL_INDICATOR = 7
WB_KATAKANA = 8
WB_HEBREW_LETTER = 9
WB_ALETTER = 10
WB_SINGLE_QUOTE = 11
WB_DOUBLE_QUOTE = 12
WB_MID_NUM_LET = 13
WB_MID_LETTER = 14
WB_MID_NUM = 15
WB_NUMERIC = 16
WB_EXTEND_NUM_LET = 17
WB_WSEG_SPACE = 18
WB_MASK = 31
"""`class & WB_MASK` is the Word_Break property (UAX #29)."""

PICTOGRAPHIC = 1 << 5
"""Extended_Pictographic."""
ALNUM = 1 << 6
"""`str.isalnum` of the one-character string; so below."""
ALPHA = 1 << 7
UPPER = 1 << 8
DIGIT = 1 << 9
SPACE = 1 << 10
"""`str.isspace`: what `str.split()` and `str.strip()` treat as whitespace."""
LOWER = 1 << 11


REPLACEMENT = 0xFFFD


@functools.cache
def class_table() -> NDArray[np.uint16]:
    """The class of every code point, uint16[0x110000] (2.2 MB), read-only; kernels take it as an argument."""
    return np.frombuffer(lzma.decompress(base64.b85decode(CLASSES)), "<u2").astype(np.uint16, copy=False)


@njit(inline="always")
def is_trail(byte: int) -> bool:
    """Whether this is a continuation byte."""
    return (byte & 0xC0) == 0x80


@njit(inline="always")
def trail(byte: int) -> int:
    """The six bits that a continuation byte carries."""
    return int(byte) & 0x3F


@lean
def decode(data: NDArray[np.uint8], at: int, end: int) -> tuple[int, int]:
    """The code point that starts at byte `at` and the position of the next one.

    Never reads at or beyond `end`. A byte that does not start a well-formed sequence (Arrow does not check) is U+FFFD.
    """
    first = int(data[at])
    if first < 0x80:
        return first, at + 1
    if 0xC2 <= first < 0xE0:
        if at + 2 <= end and is_trail(data[at + 1]):
            return ((first & 0x1F) << 6) | trail(data[at + 1]), at + 2
    elif 0xE0 <= first < 0xF0:
        if at + 3 <= end and is_trail(data[at + 1]) and is_trail(data[at + 2]):
            code = ((first & 0x0F) << 12) | (trail(data[at + 1]) << 6) | trail(data[at + 2])
            if code >= 0x800 and not 0xD800 <= code < 0xE000:
                return code, at + 3
        return REPLACEMENT, at + 1
    if 0xF0 <= first < 0xF5 and at + 4 <= end and is_trail(data[at + 1]) and is_trail(data[at + 2]):
        code = ((first & 0x07) << 18) | (trail(data[at + 1]) << 12) | (trail(data[at + 2]) << 6) | trail(data[at + 3])
        if 0x10000 <= code < 0x110000 and is_trail(data[at + 3]):
            return code, at + 4
    return REPLACEMENT, at + 1


@lean
def character_before(data: NDArray[np.uint8], start: int, at: int) -> tuple[int, int]:
    """The code point that ends at byte `at`, and the position where it starts; never reads before `start`."""
    place = at - 1
    while place > start and at - place < 4 and is_trail(data[place]):
        place -= 1
    code, following = decode(data, place, at)
    return (code, place) if following == at else (REPLACEMENT, at - 1)
