"""The counts used by document filters, with one pass over the bytes per group of counts.

Every kernel returns int64[names, rows], in the order of the tuple of names above it.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.segments import next_break, strip
from dclm.text.counting.stop_words import num_bits, stop_word_bit
from dclm.text.kernels import lean
from dclm.text.swar import skip_letters
from dclm.text.unicode import ALNUM, ALPHA, SPACE, decode

WORDS = (
    "chars",
    "alnum_chars",
    "words",
    "word_chars",
    "alphabetic_words",
    "stop_words",
    "stop_word_kinds",
    "alnum_words",
)
"""Words are those of `str.split()`; alphabetic ones have a letter; stop words are compared in lower case; `alnum_words`
start alphanumeric."""

SYMBOLS = ("hash_signs", "dots", "spaced_dots", "ellipsis_signs")
"""Substrings "#", "...", ". . ." and "…", each counted like `str.count`, without overlaps with itself."""

LINES = (
    "lines",
    "bullet_lines",
    "gopher_bullet_lines",
    "ellipsis_lines",
    "gopher_ellipsis_lines",
    "paragraphs",
    "all_lines",
)
"""Lines end at "\\n", paragraphs at "\\n\\n"; blank ones do not count. `all_lines` also counts blank ones, but not the
empty one after the last "\\n". Bullets are ● • * - (DCLM) or • - (Gopher); ellipses are "...", ". . .", "…" or, with
`gopher_`, the same without the spaced one.
"""

SPLIT_LINES = ("lines", "chars", "longest")
"""Lines of `str.splitlines`; the code points in them; those of the longest line."""

_DOT = ord(".")
_BULLETS = tuple(map(ord, "●•*-"))
_GOPHER_BULLETS = tuple(map(ord, "•-"))
LINE_ENDS = tuple(map(ord, "\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029"))
"""Whether `str.splitlines` splits here; "\\r\\n" is one line end."""


@lean
def _count_words_of(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16], out: NDArray[np.int64]
) -> None:
    chars = alnum_chars = words = word_chars = alphabetic_words = stop_words = seen = alnum_words = 0
    word_start = -1
    alphabetic = 0
    at = start
    while at <= end:
        code, after = 32, at + 1  # the end acts like a space
        if at < end:
            code = int(data[at])
            if code >= 0x80:
                code, after = decode(data, at, end)
            chars += 1
        bits = int(classes[code])
        if not bits & SPACE:
            if word_start < 0:
                word_start = at
                words += 1
                alnum_words += (bits & ALNUM) != 0
            at = skip_letters(data, after, end)
            alphabetic |= (bits & ALPHA) | (at - after)
            alnum_chars += ((bits & ALNUM) != 0) + at - after
            word_chars += 1 + at - after
            chars += at - after
            continue
        if word_start >= 0:
            alphabetic_words += alphabetic != 0
            bit = stop_word_bit(data, word_start, at, True)
            stop_words += bit != 0
            seen |= bit
            word_start = -1
            alphabetic = 0
        at = after
    out[0], out[1], out[2], out[3] = chars, alnum_chars, words, word_chars
    out[4], out[5], out[6], out[7] = alphabetic_words, stop_words, num_bits(seen), alnum_words


@njit(cache=True, nogil=True)
def count_words(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Counts named WORDS."""
    out = np.zeros((len(offsets) - 1, len(WORDS)), np.int64)
    for row in range(len(offsets) - 1):
        _count_words_of(data, offsets[row], offsets[row + 1], classes, out[row])
    return out.T.copy()


@lean
def _dots_at(data: NDArray[np.uint8], at: int, end: int) -> bool:
    return bool(at + 3 <= end and data[at] == _DOT and data[at + 1] == _DOT and data[at + 2] == _DOT)


@lean
def _spaced_dots_at(data: NDArray[np.uint8], at: int, end: int) -> bool:
    if at + 5 > end or data[at] != _DOT or data[at + 2] != _DOT or data[at + 4] != _DOT:
        return False
    return bool(data[at + 1] == 32 and data[at + 3] == 32)


@lean
def _ellipsis_at(data: NDArray[np.uint8], at: int, end: int) -> bool:
    return bool(at + 3 <= end and data[at] == 0xE2 and data[at + 1] == 0x80 and data[at + 2] == 0xA6)


@lean
def _count_symbols_of(data: NDArray[np.uint8], start: int, end: int, out: NDArray[np.int64]) -> None:
    dots_end = spaced_end = 0
    for at in range(start, end):
        byte = data[at]
        if byte == 35:
            out[0] += 1
        elif byte == _DOT:
            if at >= dots_end and _dots_at(data, at, end):
                out[1] += 1
                dots_end = at + 3
            if at >= spaced_end and _spaced_dots_at(data, at, end):
                out[2] += 1
                spaced_end = at + 5
        elif byte == 0xE2 and _ellipsis_at(data, at, end):
            out[3] += 1


@njit(cache=True, nogil=True)
def count_symbols(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Counts named SYMBOLS."""
    out = np.zeros((len(offsets) - 1, len(SYMBOLS)), np.int64)
    for row in range(len(offsets) - 1):
        _count_symbols_of(data, int(offsets[row]), int(offsets[row + 1]), out[row])
    return out.T.copy()


@lean
def _count_line(data: NDArray[np.uint8], start: int, end: int, out: NDArray[np.int64]) -> None:
    """Counts for one stripped, nonempty line."""
    first, _ = decode(data, start, end)
    out[0] += 1
    out[1] += first in _BULLETS
    out[2] += first in _GOPHER_BULLETS
    plain = (end - start >= 3) and (_dots_at(data, end - 3, end) or _ellipsis_at(data, end - 3, end))
    out[3] += plain or (end - start >= 5 and _spaced_dots_at(data, end - 5, end))
    out[4] += plain


@lean
def _count_lines_of(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16], out: NDArray[np.int64]
) -> None:
    blank = True  # the paragraph so far
    single = False  # the previous "\n" was not the second of a paragraph's end
    out[6] = end > start and data[end - 1] != 10
    at = start
    while at < end:
        stop = next_break(data, at, end, 1)
        first, last = strip(data, at, stop, classes)
        if first < last:
            _count_line(data, first, last, out)
            out[5] += blank
            blank = False
        out[6] += stop < end
        if single and stop == at:
            blank, single = True, False
        else:
            single = True
        at = stop + 1


@njit(cache=True, nogil=True)
def count_lines(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Counts named LINES."""
    out = np.zeros((len(offsets) - 1, len(LINES)), np.int64)
    for row in range(len(offsets) - 1):
        _count_lines_of(data, offsets[row], offsets[row + 1], classes, out[row])
    return out.T.copy()


@lean
def _count_split_lines_of(data: NDArray[np.uint8], at: int, end: int, out: NDArray[np.int64]) -> None:
    length = 0
    while at < end:
        code, at = decode(data, at, end)
        if code in LINE_ENDS:
            at += code == 13 and at < end and data[at] == 10
            out[0] += 1
            length = 0
        else:
            out[1] += 1
            length += 1
            out[2] = max(out[2], length)
    out[0] += length > 0


@njit(cache=True, nogil=True)
def count_split_lines(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Counts named SPLIT_LINES."""
    out = np.zeros((len(offsets) - 1, len(SPLIT_LINES)), np.int64)
    for row in range(len(offsets) - 1):
        _count_split_lines_of(data, int(offsets[row]), int(offsets[row + 1]), out[row])
    return out.T.copy()
