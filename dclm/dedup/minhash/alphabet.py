"""What each code point becomes before shingles are made: a table that kernels index, one for each normalization."""

from __future__ import annotations

import string
from functools import cache
from typing import Literal

import numpy as np

from dclm.dedup.columns import U32

Normalization = Literal["none", "lower", "lower_no_punctuation"]

SPACE = 0xFFFFFFFF
"""Table value of whitespace (what `str.split()` splits at)."""
SKIP = 0xFFFFFFFE
"""Table value of what normalization deletes."""
TABLE_SIZE = 0x20000
"""Code points from here on stand for themselves: none has a lower case, none is whitespace."""
_CASED_LATER = {0xA7CB, 0xA7CC, 0xA7DA, 0xA7DC, *range(0x10D50, 0x10D66)}
"""Capitals that Unicode 16 added: left alone, so that shingles do not depend on the Python that hashes them."""


@cache
def alphabet(normalization: Normalization) -> U32:
    """Code point → code point, SPACE or SKIP.

    `lower` is `str.lower()` code point by code point: `İ` becomes `i` without its combining dot, and a final sigma
    becomes the ordinary one, so that case never keeps two shingles apart. `lower_no_punctuation` also deletes ASCII
    punctuation, as SlimPajama does.
    """
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    for point in range(TABLE_SIZE):
        char = chr(point)
        if char.isspace():
            table[point] = SPACE
        elif normalization != "none" and point not in _CASED_LATER:
            table[point] = ord(char.lower()[0])
    if normalization != "none":
        table[ord("ς")] = ord("σ")
    if normalization == "lower_no_punctuation":
        for char in string.punctuation:
            table[ord(char)] = SKIP
    table.setflags(write=False)
    return table
