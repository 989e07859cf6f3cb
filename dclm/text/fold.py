"""Texts without typographic variation: case, compatibility forms, accents, punctuation, invisible characters.

The table is that of `normalize: lower_no_punctuation` (see `dclm.dedup.minhash.alphabet`), so that words count here as
they do in the comparison of documents.
"""

from __future__ import annotations

import unicodedata
from functools import cache

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.arrow import buffer_of
from dclm.text.buffers import utf8
from dclm.text.kernels import lean
from dclm.text.unicode import decode

SPACE = 0xFFFFFFFF
"""Table value of characters that separate words."""
SKIP = 0xFFFFFFFE
"""Table value of characters that are deleted."""
EXPANDS = 0xC0000000
"""Table values from here up to `SKIP` stand for several code points: `(value − EXPANDS) & 7` of them, which begin at
index `(value − EXPANDS) >> 3` of the table itself, after the code points."""
TABLE_SIZE = 0x20000
"""Code points from here on are unchanged: none has a lower case, none is whitespace."""
CASED_LATER = frozenset([0xA7CB, 0xA7CC, 0xA7DA, 0xA7DC, *range(0x10D50, 0x10D66)])
"""Capitals added in Unicode 16: unchanged, so that results do not depend on the Python version."""
_DIACRITICS = {*range(0x300, 0x370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100)}
_INVISIBLE = {*range(0xFE00, 0xFE10), *range(0xFE20, 0xFE30), 0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0}
_APOSTROPHES = {0x2B9, 0x2BB, 0x2BC, 0x2BD}  # letters in Unicode, apostrophes on pages
_DELETED = _DIACRITICS | _INVISIBLE | _APOSTROPHES
_DASHES = {0x2212}  # the minus sign; the other dashes have category Pd


@cache
def fold_table() -> NDArray[np.uint32]:
    """Code point → code point, SPACE, SKIP or an expansion (see `EXPANDS`)."""
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    expanded: list[int] = []
    for point in range(TABLE_SIZE):
        if point in CASED_LATER:
            continue
        points = _fold(point)
        if points is None:
            table[point] = SPACE
        elif not points:
            table[point] = SKIP
        elif len(points) == 1:
            table[point] = points[0]
        elif len(points) <= len(chr(point).encode("utf-8", "surrogatepass")):  # kernels have room for one per byte
            table[point] = EXPANDS | (TABLE_SIZE + len(expanded)) << 3 | len(points)
            expanded += points
    table = np.append(table, np.array(expanded, np.uint32))
    table.setflags(write=False)
    return table


def fold(text: pa.StringArray) -> pa.StringArray:
    """Every text folded; a character that separates words becomes a space. Nulls become empty."""
    data, offsets = _fold_column(*utf8(text), fold_table())
    return pa.StringArray.from_buffers(len(text), buffer_of(offsets), buffer_of(data))


def fold_word(word: str) -> str:
    """One text folded, without whitespace around it."""
    folded: str = fold(pa.array([word], pa.string()))[0].as_py()
    return folded.strip()


def _fold(point: int) -> list[int] | None:
    """What a code point becomes; empty: it is deleted; None: it separates words."""
    char = chr(point)
    category = unicodedata.category(char)
    if char.isspace() or category == "Pd" or point in _DASHES:
        return None
    if _is_deleted(point, category):
        return []
    if unicodedata.is_normalized("NFKD", char) and char.casefold() == char:
        return [point]  # as most characters do, and the rest takes longer
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    if any(c.isspace() for c in apart):
        return [point]
    left = "".join(c for c in apart if not _is_deleted(ord(c), unicodedata.category(c)))
    return [ord(c) for c in unicodedata.normalize("NFKC", left)]


def _is_deleted(point: int, category: str) -> bool:
    return category[0] in "PS" or category in ("Cf", "Cc") or point in _DELETED


@lean
def _put(out: NDArray[np.uint8], at: int, code: int) -> int:
    """Writes a code point as UTF-8; returns the position after it."""
    if code < 0x80:
        out[at] = code
        return at + 1
    if code < 0x800:
        out[at], out[at + 1] = 0xC0 | code >> 6, 0x80 | code & 0x3F
        return at + 2
    if code < 0x10000:
        out[at], out[at + 1], out[at + 2] = 0xE0 | code >> 12, 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
        return at + 3
    out[at], out[at + 1] = 0xF0 | code >> 18, 0x80 | code >> 12 & 0x3F
    out[at + 2], out[at + 3] = 0x80 | code >> 6 & 0x3F, 0x80 | code & 0x3F
    return at + 4


@njit(cache=True, nogil=True)
def _fold_column(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], table: NDArray[np.uint32]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    rows = len(offsets) - 1
    out = np.empty(3 * (offsets[rows] - offsets[0]) + 4, np.uint8)  # U+FB1D and the like grow, at most threefold
    ends = np.zeros(rows + 1, np.int32)
    size = 0
    for row in range(rows):
        at, end = int(offsets[row]), int(offsets[row + 1])
        while at < end:
            code, at = decode(data, at, end)
            value = int(table[code]) if code < TABLE_SIZE else code
            if value == SPACE:
                out[size] = 32
                size += 1
            elif value < EXPANDS:
                size = _put(out, size, value)
            elif value != SKIP:
                place = (value - EXPANDS) >> 3
                for k in range((value - EXPANDS) & 7):
                    size = _put(out, size, int(table[place + k]))
        ends[row + 1] = size
    return out[:size].copy(), ends
