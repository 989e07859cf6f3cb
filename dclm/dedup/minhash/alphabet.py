"""What each code point becomes before shingles are made: a table that kernels index, one per normalization."""

from __future__ import annotations

import string
from functools import cache
from typing import Literal

import numpy as np

from dclm.dedup.columns import U32
from dclm.text.fold import CASED_LATER, EXPANDS, SKIP, SPACE, TABLE_SIZE, fold_table

__all__ = ["EXPANDS", "SKIP", "SPACE", "TABLE_SIZE", "Normalization", "alphabet"]

Normalization = Literal["none", "lower", "lower_no_ascii_punctuation", "lower_no_punctuation"]


@cache
def alphabet(normalization: Normalization) -> U32:
    """Code point → code point, SPACE, SKIP or an expansion (see `EXPANDS`).

    `lower` is `str.lower()` code point by code point: `İ` becomes `i` without its combining dot, and a final sigma
    becomes the ordinary one, so that case never keeps two shingles apart. `lower_no_ascii_punctuation` also deletes
    ASCII punctuation, as SlimPajama does. `lower_no_punctuation` folds variants of typography: compatibility forms
    (NFKC), case, and the accents of Latin, Greek and Cyrillic; punctuation, symbols and invisible characters of all
    scripts are deleted, but dashes separate words, because texts are typeset with and without spaces around them.
    """
    if normalization == "lower_no_punctuation":
        return fold_table()
    table = np.arange(TABLE_SIZE, dtype=np.uint32)
    for point in range(TABLE_SIZE):
        char = chr(point)
        if char.isspace():
            table[point] = SPACE
        elif normalization != "none" and point not in CASED_LATER:
            table[point] = ord(char.lower()[0])
    if normalization != "none":
        table[ord("ς")] = ord("σ")
    if normalization == "lower_no_ascii_punctuation":
        for char in string.punctuation:
            table[ord(char)] = SKIP
    table.setflags(write=False)
    return table
