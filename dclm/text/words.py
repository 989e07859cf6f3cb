"""Words: Unicode's (UAX #29), those of `str.split()`, and the tokens fastText sees.

All kernels read row i of a column as `data[offsets[i]:offsets[i + 1]]` (see `dclm.text.buffers`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text import unicode as u
from dclm.text.unicode import (
    ALNUM,
    PICTOGRAPHIC,
    SPACE,
    WB_ALETTER,
    WB_CR,
    WB_DOUBLE_QUOTE,
    WB_EXTEND,
    WB_FORMAT,
    WB_HEBREW_LETTER,
    WB_LF,
    WB_MASK,
    WB_MID_LETTER,
    WB_MID_NUM,
    WB_MID_NUM_LET,
    WB_NEWLINE,
    WB_NUMERIC,
    WB_OTHER,
    WB_REGIONAL_INDICATOR,
    WB_SINGLE_QUOTE,
    WB_WSEG_SPACE,
    WB_ZWJ,
    decode,
)

_BREAK, _JOIN, _LOOK_BACK, _LOOK_AHEAD = 0, 1, 2, 3


def _pair_rules() -> NDArray[np.uint8]:
    """Rules WB5–WB13b for neighbours, Extend, Format and ZWJ left out; _LOOK_* where a third character decides."""
    rules = np.zeros((32, 32), np.uint8)
    letters = (u.WB_ALETTER, u.WB_HEBREW_LETTER)
    inside_word = (u.WB_MID_LETTER, u.WB_MID_NUM_LET, u.WB_SINGLE_QUOTE)
    inside_number = (u.WB_MID_NUM, u.WB_MID_NUM_LET, u.WB_SINGLE_QUOTE)
    for middles, sides in ((inside_word, letters), (inside_number, (u.WB_NUMERIC,))):  # WB6, WB7, WB11, WB12
        for middle in middles:
            for side in sides:
                rules[side, middle], rules[middle, side] = _LOOK_AHEAD, _LOOK_BACK
    rules[u.WB_HEBREW_LETTER, u.WB_SINGLE_QUOTE] = _JOIN  # WB7a
    rules[u.WB_HEBREW_LETTER, u.WB_DOUBLE_QUOTE] = _LOOK_AHEAD  # WB7b
    rules[u.WB_DOUBLE_QUOTE, u.WB_HEBREW_LETTER] = _LOOK_BACK  # WB7c
    for left in (*letters, u.WB_NUMERIC):  # WB5, WB8, WB9, WB10
        for right in (*letters, u.WB_NUMERIC):
            rules[left, right] = _JOIN
    rules[u.WB_KATAKANA, u.WB_KATAKANA] = _JOIN  # WB13
    for side in (*letters, u.WB_NUMERIC, u.WB_KATAKANA, u.WB_EXTEND_NUM_LET):  # WB13a, WB13b
        rules[side, u.WB_EXTEND_NUM_LET] = rules[u.WB_EXTEND_NUM_LET, side] = _JOIN
    return rules


_PAIRS = _pair_rules()


@njit(cache=True, nogil=True)
def _is_skipped(kind: int) -> bool:
    return kind == WB_EXTEND or kind == WB_ZWJ or kind == WB_FORMAT


@njit(cache=True, nogil=True)
def _kind_after(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> int:
    """The Word_Break of the next code point that WB4 does not skip; Other at the end."""
    while at < end:
        code, at = decode(data, at, end)
        kind = classes[code] & WB_MASK
        if not _is_skipped(kind):
            return int(kind)
    return WB_OTHER


@njit(cache=True, nogil=True)
def _around(left: int, middle: int, right: int) -> bool:
    """Whether `middle` between its neighbours makes one word of the three (WB6, WB7, WB7b, WB7c, WB11, WB12)."""
    if left == WB_NUMERIC:
        return right == WB_NUMERIC and (middle == WB_MID_NUM or middle == WB_MID_NUM_LET or middle == WB_SINGLE_QUOTE)
    if middle == WB_DOUBLE_QUOTE:
        return left == WB_HEBREW_LETTER and right == WB_HEBREW_LETTER
    if middle != WB_MID_LETTER and middle != WB_MID_NUM_LET and middle != WB_SINGLE_QUOTE:
        return False
    return (left == WB_ALETTER or left == WB_HEBREW_LETTER) and (right == WB_ALETTER or right == WB_HEBREW_LETTER)


@njit(cache=True, nogil=True)
def next_word(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> tuple[int, int, int]:
    """The UAX #29 word that starts at byte `at` < `end`: (end of it, its code points, the class of the first).

    White space and punctuation are words too. `at` must be a word boundary, of which `end` is one.

    Source: uniseg 0.10.1, `wordbreak.words`, Unicode 16.0.0.
    """
    code, place = decode(data, at, end)
    first = int(classes[code])
    raw = first & WB_MASK  # of the code point before, and of the two before that which WB4 does not skip
    last = WB_OTHER if _is_skipped(raw) else raw
    before = WB_OTHER
    length = 1
    paired = False  # `last` closes a pair of regional indicators
    while place < end:
        code, after = decode(data, place, end)
        bits = classes[code]
        kind = int(bits) & WB_MASK
        if raw == WB_ALETTER and kind == WB_ALETTER:  # nearly always
            before = WB_ALETTER
        elif raw == WB_CR:  # WB3
            if kind != WB_LF:
                break
            last = kind
        elif raw == WB_LF or raw == WB_NEWLINE or kind == WB_CR or kind == WB_LF or kind == WB_NEWLINE:  # WB3a, WB3b
            break
        elif _is_skipped(kind):  # WB4
            pass
        else:
            if raw == WB_ZWJ and bits & PICTOGRAPHIC:  # WB3c
                pass
            elif raw == WB_WSEG_SPACE and kind == WB_WSEG_SPACE:  # WB3d
                pass
            elif last == WB_REGIONAL_INDICATOR and kind == WB_REGIONAL_INDICATOR:  # WB15, WB16
                if paired:
                    break
                paired = True
            else:
                rule = _PAIRS[last, kind]
                if rule == _BREAK:
                    break
                if rule == _LOOK_BACK and not _around(before, last, kind):
                    break
                if rule == _LOOK_AHEAD and not _around(last, kind, _kind_after(data, after, end, classes)):
                    break
            before, last = last, kind
        raw = kind
        length += 1
        place = after
    return place, length, first


@njit(cache=True, nogil=True)
def unicode_word_ends(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16]) -> NDArray[np.int32]:
    """Byte offsets (into `data`) at which the UAX #29 words of `data[start:end]` end."""
    ends = np.empty(max((end - start) // 4, 16), np.int32)
    num = 0
    at = start
    while at < end:
        at, _, _ = next_word(data, at, end, classes)
        if num == len(ends):
            grown = np.empty(2 * num, np.int32)
            grown[:num] = ends
            ends = grown
        ends[num] = at
        num += 1
    return ends[:num].copy()


@njit(cache=True, nogil=True)
def count_unicode_words(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """int64[3, rows]: UAX #29 words that are not all white space; those whose first character is alphanumeric; …

    … and the code points of the latter.
    """
    counts = np.zeros((3, len(offsets) - 1), np.int64)
    for row in range(len(offsets) - 1):
        at, end = int(offsets[row]), int(offsets[row + 1])
        while at < end:
            stop, length, first = next_word(data, at, end, classes)
            if first & ALNUM:
                counts[0, row] += 1
                counts[1, row] += 1
                counts[2, row] += length
            elif not is_space(data, at, stop, classes):
                counts[0, row] += 1
            at = stop
    return counts


@njit(cache=True, nogil=True)
def is_space(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> bool:
    """Whether all code points are white space, as after `str.strip()` nothing is left."""
    while at < end:
        code, at = decode(data, at, end)
        if not classes[code] & SPACE:
            return False
    return True


@njit(cache=True, nogil=True)
def is_separator(byte: int) -> bool:
    """Whether fastText's `Dictionary::readWord` ends a token here."""
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@njit(cache=True, nogil=True)
def count_tokens(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """int64[2, rows]: fastText's tokens, where each newline is one too ("</s>"); and those that start alphanumeric.

    Source: DCLM `split_words(model="fasttext")` without and with `ignore_punctuation`. A word that opens with a quote
    or a bracket is not counted by the latter, a quirk that parity needs.
    """
    counts = np.zeros((2, len(offsets) - 1), np.int64)
    for row in range(len(offsets) - 1):
        end = int(offsets[row + 1])
        inside = False
        tokens = words = 0
        for at in range(offsets[row], end):
            byte = data[at]
            if is_separator(byte):
                inside = False
                tokens += byte == 10
            elif not inside:
                inside = True
                tokens += 1
                code, _ = decode(data, at, end)
                words += (classes[code] & ALNUM) != 0
        counts[0, row] = tokens
        counts[1, row] = words
    return counts
