"""What each code point becomes before shingles are made: a table that kernels index, one per normalization."""

from __future__ import annotations

import string
import unicodedata
from functools import cache
from typing import Literal

import numpy as np

from dclm.dedup.columns import U32

Normalization = Literal["none", "lower", "lower_no_ascii_punctuation", "lower_no_punctuation"]

SPACE = 0xFFFFFFFF
"""Table value of whitespace (characters at which `str.split()` splits)."""
SKIP = 0xFFFFFFFE
"""Table value of characters that normalization deletes."""
EXPANDS = 0xC0000000
"""Table values from here up to `SKIP` stand for several code points: `(value − EXPANDS) & 7` of them, which begin at
index `(value − EXPANDS) >> 3` of the table itself, after the code points."""
TABLE_SIZE = 0x20000
"""Code points from here on are unchanged: none has a lower case, none is whitespace."""
_CASED_LATER = {0xA7CB, 0xA7CC, 0xA7DA, 0xA7DC, *range(0x10D50, 0x10D66)}
"""Capitals added in Unicode 16: unchanged, so that shingles do not depend on the Python version."""
_DIACRITICS = {*range(0x300, 0x370), *range(0x1AB0, 0x1B00), *range(0x1DC0, 0x1E00), *range(0x20D0, 0x2100)}
_INVISIBLE = {*range(0xFE00, 0xFE10), *range(0xFE20, 0xFE30), 0x34F, 0x115F, 0x1160, 0x3164, 0xFFA0}
_APOSTROPHES = {0x2B9, 0x2BB, 0x2BC, 0x2BD}  # letters in Unicode, apostrophes on pages
_DELETED = _DIACRITICS | _INVISIBLE | _APOSTROPHES
_DASHES = {0x2212}  # the minus sign; the other dashes have category Pd


@cache
def alphabet(normalization: Normalization) -> U32:
    """Code point → code point, SPACE, SKIP or an expansion (see `EXPANDS`).

    `lower` is `str.lower()` code point by code point: `İ` becomes `i` without its combining dot, and a final sigma
    becomes the ordinary one, so that case never keeps two shingles apart. `lower_no_ascii_punctuation` also deletes
    ASCII punctuation, as SlimPajama does. `lower_no_punctuation` folds variants of typography: compatibility forms
    (NFKC), case, and the accents of Latin, Greek and Cyrillic; punctuation, symbols and invisible characters of all
    scripts are deleted, but dashes separate words, since texts are set with and without spaces around them.
    """
    if normalization == "lower_no_punctuation":
        return _folded()
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    for point in range(TABLE_SIZE):
        char = chr(point)
        if char.isspace():
            table[point] = SPACE
        elif normalization != "none" and point not in _CASED_LATER:
            table[point] = ord(char.lower()[0])
    if normalization != "none":
        table[ord("ς")] = ord("σ")
    if normalization == "lower_no_ascii_punctuation":
        for char in string.punctuation:
            table[ord(char)] = SKIP
    table.setflags(write=False)
    return table


def _folded() -> U32:
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    expanded: list[int] = []
    for point in range(TABLE_SIZE):
        if point in _CASED_LATER:
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


def _fold(point: int) -> list[int] | None:
    """What a code point becomes; empty: it is deleted; None: it separates words."""
    char = chr(point)
    category = unicodedata.category(char)
    if char.isspace() or category == "Pd" or point in _DASHES:
        return None
    if _is_deleted(point, category):
        return []
    apart = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", char).casefold())
    if any(c.isspace() for c in apart):
        return [point]
    left = "".join(c for c in apart if not _is_deleted(ord(c), unicodedata.category(c)))
    return [ord(c) for c in unicodedata.normalize("NFKC", left)]


def _is_deleted(point: int, category: str) -> bool:
    return category[0] in "PS" or category in ("Cf", "Cc") or point in _DELETED
