"""Words: Unicode's (UAX #29), those of `str.split()`, and the tokens that fastText sees.

All kernels read row i of a column as `data[offsets[i]:offsets[i + 1]]` (see `dclm.text.buffers`).
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text import unicode as u
from dclm.text.counting.stop_words import num_bits, stop_word_bit
from dclm.text.kernels import lean
from dclm.text.swar import skip_above, skip_letters
from dclm.text.unicode import (
    ALNUM,
    ALPHA,
    PICTOGRAPHIC,
    SPACE,
    WB_ALETTER,
    WB_MASK,
    WB_OTHER,
    WB_WSEG_SPACE,
    WB_ZWJ,
    decode,
)

_BREAK, _JOIN, _SKIP, _PAIR, _LOOK_BACK, _LOOK_AHEAD = 0, 1, 2, 3, 4, 5
_LETTERS = (u.WB_ALETTER, u.WB_HEBREW_LETTER)
_INSIDE_WORDS = (u.WB_MID_LETTER, u.WB_MID_NUM_LET, u.WB_SINGLE_QUOTE)
_INSIDE_NUMBERS = (u.WB_MID_NUM, u.WB_MID_NUM_LET, u.WB_SINGLE_QUOTE)
_SKIPPED = (u.WB_EXTEND, u.WB_ZWJ, u.WB_FORMAT)
_NEWLINES = (u.WB_CR, u.WB_LF, u.WB_NEWLINE)


def _rules() -> NDArray[np.uint8]:
    """Whether there is a boundary between two neighbors [left, right]; _LOOK_* if a third character decides."""
    rules = np.full((32, 32), _BREAK, np.uint8)
    rules[:, _SKIPPED] = _SKIP  # WB4
    rules[_NEWLINES, :] = rules[:, _NEWLINES] = _BREAK  # WB3a, WB3b
    rules[u.WB_CR, u.WB_LF] = _JOIN  # WB3
    rules[u.WB_WSEG_SPACE, u.WB_WSEG_SPACE] = _JOIN  # WB3d
    for middles, sides in ((_INSIDE_WORDS, _LETTERS), (_INSIDE_NUMBERS, (u.WB_NUMERIC,))):  # WB6, WB7, WB11, WB12
        for middle in middles:
            for side in sides:
                rules[side, middle], rules[middle, side] = _LOOK_AHEAD, _LOOK_BACK
    rules[u.WB_HEBREW_LETTER, u.WB_SINGLE_QUOTE] = _JOIN  # WB7a
    rules[u.WB_HEBREW_LETTER, u.WB_DOUBLE_QUOTE] = _LOOK_AHEAD  # WB7b
    rules[u.WB_DOUBLE_QUOTE, u.WB_HEBREW_LETTER] = _LOOK_BACK  # WB7c
    for left in (*_LETTERS, u.WB_NUMERIC):  # WB5, WB8, WB9, WB10
        for right in (*_LETTERS, u.WB_NUMERIC):
            rules[left, right] = _JOIN
    rules[u.WB_KATAKANA, u.WB_KATAKANA] = _JOIN  # WB13
    for side in (*_LETTERS, u.WB_NUMERIC, u.WB_KATAKANA, u.WB_EXTEND_NUM_LET):  # WB13a, WB13b
        rules[side, u.WB_EXTEND_NUM_LET] = rules[u.WB_EXTEND_NUM_LET, side] = _JOIN
    rules[u.WB_REGIONAL_INDICATOR, u.WB_REGIONAL_INDICATOR] = _PAIR  # WB15, WB16
    return rules


def _triples() -> NDArray[np.bool_]:
    """Whether [left, middle, right] are one word (WB6, WB7, WB7b, WB7c, WB11, WB12)."""
    triples = np.zeros((32, 32, 32), np.bool_)
    for middle in _INSIDE_WORDS:
        for left in _LETTERS:
            triples[left, middle, _LETTERS] = True
    for middle in _INSIDE_NUMBERS:
        triples[u.WB_NUMERIC, middle, u.WB_NUMERIC] = True
    triples[u.WB_HEBREW_LETTER, u.WB_DOUBLE_QUOTE, u.WB_HEBREW_LETTER] = True
    return triples


_RULES = _rules()
_TRIPLES = _triples()


@lean
def _kind_after(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> int:
    """The Word_Break of the next code point that WB4 does not skip; Other at the end."""
    while at < end:
        code, at = decode(data, at, end)
        kind = int(classes[code]) & WB_MASK
        if kind not in _SKIPPED:
            return kind
    return WB_OTHER


@njit(inline="always")
def next_word(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> tuple[int, int, int]:
    """The UAX #29 word that starts at byte `at` < `end`: (its end, its code points, the class of the first one).

    Whitespace and punctuation are words too. `at` and `end` must be word boundaries.

    Source: uniseg 0.10.1, `wordbreak.words`, Unicode 16.0.0.
    """
    code, place = int(data[at]), at + 1
    if code >= 0x80:
        code, place = decode(data, at, end)
    first = int(classes[code])
    raw = last = first & WB_MASK  # of the previous code point, and of the previous one that WB4 does not skip
    before = WB_OTHER  # the one before `last`
    length = 1
    if last == WB_ALETTER:
        after = place
        place = skip_letters(data, place, end)
        length += place - after
    elif _RULES[WB_OTHER, last] == _SKIP:
        last = WB_OTHER
    paired = False  # `last` completes a pair of regional indicators
    while place < end:
        code = int(data[place])
        after = place + 1
        if code >= 0x80:
            code, after = decode(data, place, end)
        bits = int(classes[code])
        kind = bits & WB_MASK
        rule = _RULES[last, kind]
        if rule == _SKIP:
            if last == WB_WSEG_SPACE:  # WB3d applies to neighbors only
                last = WB_OTHER
        else:
            if rule != _JOIN and not (raw == WB_ZWJ and bits & PICTOGRAPHIC):  # WB3c
                if rule == _BREAK or (rule == _PAIR and paired):
                    break
                if rule == _LOOK_BACK and not _TRIPLES[before, last, kind]:
                    break
                if rule == _LOOK_AHEAD and not _TRIPLES[last, kind, _kind_after(data, after, end, classes)]:
                    break
                paired = rule == _PAIR
            before, last = last, kind
        raw = kind
        length += 1
        place = after
        if kind == WB_ALETTER:
            place = skip_letters(data, place, end)
            length += place - after
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


UNICODE_WORDS = ("words", "alnum_words", "alnum_word_chars", "alphabetic_words", "stop_word_kinds")
"""UAX #29 words that are not whitespace; those that start alphanumeric, and their code points; those with a letter;
number of Gopher's stop words that occur in lower case."""


@lean
def _count_unicode_words_of(
    data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16], out: NDArray[np.int64]
) -> None:
    seen = 0
    while at < end:
        stop, length, first = next_word(data, at, end, classes)
        if first & ALNUM:
            out[1] += 1
            out[2] += length
        if first & ALNUM or not is_space(data, at, stop, classes):
            out[0] += 1
            out[3] += has_letter(data, at, stop, classes)
            seen |= stop_word_bit(data, at, stop, False)
        at = stop
    out[4] = num_bits(seen)


@njit(cache=True, nogil=True)
def count_unicode_words(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Counts named UNICODE_WORDS, int64[names, rows]."""
    out = np.zeros((len(offsets) - 1, len(UNICODE_WORDS)), np.int64)
    for row in range(len(offsets) - 1):
        _count_unicode_words_of(data, int(offsets[row]), int(offsets[row + 1]), classes, out[row])
    return out.T.copy()


@lean
def is_space(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> bool:
    """Whether all code points are whitespace, so that `str.strip()` would leave nothing."""
    while at < end:
        code, at = decode(data, at, end)
        if not classes[code] & SPACE:
            return False
    return True


@lean
def has_letter(data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16]) -> bool:
    """Whether any code point satisfies `str.isalpha`."""
    while at < end:
        code, at = decode(data, at, end)
        if classes[code] & ALPHA:
            return True
    return False


@njit(inline="always")
def is_separator(byte: int) -> bool:
    """Whether fastText's `Dictionary::readWord` ends a token here."""
    return byte <= 32 and (byte == 32 or 9 <= byte <= 13 or byte == 0)


@lean
def _count_tokens_of(
    data: NDArray[np.uint8], at: int, end: int, classes: NDArray[np.uint16], out: NDArray[np.int64]
) -> None:
    tokens = words = 0
    while at < end:
        if is_separator(data[at]):
            tokens += data[at] == 10
            at += 1
            continue
        code, start = int(data[at]), at
        if code >= 0x80:
            code, _ = decode(data, at, end)
        while at < end and not is_separator(data[at]):
            at = skip_above(data, at + 1, end, 32)
        words += (classes[code] & ALNUM) != 0
        tokens += not (classes[code] & SPACE and is_space(data, start, at, classes))
    out[0], out[1] = tokens, words


@njit(cache=True, nogil=True)
def count_tokens(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """int64[2, rows]: fastText's tokens, where each newline is also one ("</s>"); and those that start alphanumeric.

    Source: DCLM `split_words(model="fasttext")` without and with `ignore_punctuation`. Both skip tokens of whitespace,
    such as a no-break space between others. A word that opens with a quote or a bracket is not counted by the latter, a
    quirk that parity requires.
    """
    out = np.zeros((len(offsets) - 1, 2), np.int64)
    for row in range(len(offsets) - 1):
        _count_tokens_of(data, int(offsets[row]), int(offsets[row + 1]), classes, out[row])
    return out.T.copy()
