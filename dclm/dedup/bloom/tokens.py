"""The tokens of BFF: UAX #29 words that are not only whitespace, with a fast path for ASCII."""

from __future__ import annotations

import string

import numpy as np
from numba import njit, uint64

from dclm.dedup.columns import U8
from dclm.dedup.hashing import mix
from dclm.text.kernels import lean
from dclm.text.swar import (
    HIGH,
    ONES,
    count_ones,
    eight,
    equal_to,
    in_range,
    letters_and_digits,
    not_ascii,
    skip_letters_and_digits,
)
from dclm.text.unicode import SPACE, character_before, decode
from dclm.text.words import next_word

_START = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bit: offset basis
_PRIME = np.uint64(0x100000001B3)  # and prime

_ALONE, _ALPHANUMERIC, _MIDDLE, _JOINER, _RETURN, _SPACES, _NEWLINE, _BEYOND = range(8)
_KIND = 7
_BLANK = 8
_WIDE = 0  # adding it turns an int32 into an int64, so that all tokens have one type
_WHITE = "\t\n\v\f\r "  # Unicode's White_Space, as in Rust; `str.isspace` also has the separators U+001C to U+001F


def _byte_table() -> U8:
    """The class of each byte in UAX #29: letters and digits, characters that join these on both sides, and others."""
    table = np.full(256, _BEYOND, np.uint8)
    table[:128] = _ALONE
    kinds = {string.ascii_letters + string.digits: _ALPHANUMERIC, "'.:,;": _MIDDLE, "_": _JOINER}
    for characters, kind in {**kinds, "\r": _RETURN, " ": _SPACES, "\n": _NEWLINE}.items():
        table[[ord(c) for c in characters]] = kind
    table[[ord(c) for c in _WHITE]] |= _BLANK
    return table


_BYTES = _byte_table()


@njit(cache=True, nogil=True, inline="always")
def _kind(data: np.ndarray, at: int) -> int:
    return int(_BYTES[data[at]] & _KIND)


@njit(cache=True, nogil=True, inline="always")
def _is_white(code: int, classes: np.ndarray) -> bool:
    return bool(_BYTES[code] & _BLANK) if code < 128 else bool(classes[code] & SPACE)


@lean
def is_blank(data: np.ndarray, at: int, end: int, classes: np.ndarray) -> bool:
    """Whether all characters are whitespace."""
    while at < end:
        code, at = decode(data, at, end)
        if not _is_white(code, classes):
            return False
    return True


@lean
def trimmed_end(data: np.ndarray, start: int, end: int, classes: np.ndarray) -> int:
    """The end of `data[start:end]` without trailing whitespace."""
    while start < end:
        code, at = character_before(data, start, end)
        if not _is_white(code, classes):
            break
        end = at
    return end


@njit(cache=True, nogil=True, inline="always")
def _breaks(data: np.ndarray, first: int, stop: int, end: int) -> bool:
    """Whether a word certainly ends before byte `stop`: a run of letters and digits, or the single character
    `first`."""
    if stop == end:
        return True
    after = _kind(data, stop)
    if first != _ALPHANUMERIC:
        return after != _BEYOND and first in (_ALONE, _MIDDLE)
    if after == _MIDDLE:
        return stop + 1 == end or _kind(data, stop + 1) not in (_ALPHANUMERIC, _BEYOND)
    return after not in (_JOINER, _BEYOND)


@lean
def next_token(data: np.ndarray, at: int, end: int, classes: np.ndarray) -> tuple[int, int]:
    """Start and end of the first token of `data[at:end]`, where a word begins at `at`; (end, end) if none exists.

    Words are those of `dclm.text.words.next_word`. Whitespace, runs of letters and digits and single characters are
    decided here if they are ASCII and the next character does not join them, which covers nearly everything in most
    texts.
    """
    while at < end:
        first = int(_BYTES[data[at]])
        stop = at + 1
        if first & _BLANK:
            while first & _KIND == _SPACES and stop < end and data[stop] == 32:
                stop += 1
            if stop == end or data[stop] < 128:
                at = stop
                continue
            stop = at
        elif first == _ALPHANUMERIC:
            stop = skip_letters_and_digits(data, stop, end)
        if stop == at or not _breaks(data, first, stop, end):
            stop = int(next_word(data, at, end, classes)[0])
            if is_blank(data, at, stop, classes):
                at = stop
                continue
        return at + _WIDE, stop + _WIDE
    return end + _WIDE, end + _WIDE


@njit(cache=True, nogil=True, inline="always")
def _hash(data: np.ndarray, start: int, end: int) -> np.uint64:
    """FNV-1a, mixed."""
    h = _START
    while start < end:
        h = (h ^ uint64(data[start])) * _PRIME
        start += 1
    return mix(h)


@lean
def _take_tokens(
    data: np.ndarray, at: int, end: int, classes: np.ndarray, hashes: np.ndarray, starts: np.ndarray, count: int
) -> tuple[int, int]:
    """Write tokens from number `count` on, until there are no more or the room is used up: (where to continue, number
    of tokens)."""
    while count < len(hashes):
        start, at = next_token(data, at, end, classes)
        if start == end:
            return end + _WIDE, count
        hashes[count], starts[count] = _hash(data, start, at), start
        count += 1
    return at + _WIDE, count


@njit(cache=True, nogil=True)
def _grow(values: np.ndarray) -> np.ndarray:
    grown = np.empty(2 * len(values), values.dtype)
    grown[: len(values)] = values
    return grown


@njit(cache=True, nogil=True)
def tokenize(data: np.ndarray, start: int, end: int, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Hash and first byte of each token of `data[start:end]`."""
    hashes = np.empty(max(16, (end - start) // 4), np.uint64)
    starts = np.empty(len(hashes), np.int64)
    at, count = _take_tokens(data, start, end, classes, hashes, starts, 0)
    while at < end:
        hashes, starts = _grow(hashes), _grow(starts)
        at, count = _take_tokens(data, at, end, classes, hashes, starts, count)
    return hashes[:count], starts[:count]


@njit(inline="always")
def _middles(word: np.uint64) -> np.uint64:
    """Mask of the bytes of the kind `_MIDDLE`."""
    return equal_to(word, 0x27) | equal_to(word & ~(uint64(2) * ONES), 0x2C) | in_range(word, 0x3A, 0x3B)


@njit(inline="always")
def _blanks(word: np.uint64) -> np.uint64:
    """Mask of the bytes that are whitespace."""
    return equal_to(word, 32) | in_range(word, 9, 13)


@lean
def count_tokens(data: np.ndarray, start: int, end: int, classes: np.ndarray) -> int:
    """Number of tokens that `tokenize` finds.

    Where nothing but letters and digits can be joined, each run of these is a token, and so is each other character
    that is not whitespace: eight bytes are counted at once. Elsewhere, one token is found by `next_token`.
    """
    count, at = 0, int(start)
    inside = uint64(0)  # the highest bit of a byte, if the byte before `at` is a letter or digit
    while at < end:
        word = eight(data, at, end)
        following = int(data[at + 8]) if at + 8 < end else 32
        if not_ascii(word) == uint64(0) and following < 128 and following != 95:
            alphanumeric = letters_and_digits(word)
            before = (alphanumeric << uint64(8)) | inside
            after = alphanumeric >> uint64(8)
            if int(_BYTES[following]) == _ALPHANUMERIC:
                after |= uint64(1) << uint64(63)
            if (_middles(word) & before & after) | equal_to(word, 95) == uint64(0):
                others = ~(alphanumeric | _blanks(word)) & HIGH
                if end - at < 8:
                    others &= (uint64(1) << uint64(8 * (end - at))) - uint64(1)
                count += count_ones(alphanumeric & ~before) + count_ones(others)
                inside = alphanumeric >> uint64(56)
                at += 8
                continue
        if inside != uint64(0):
            count -= 1
            while at > start and _kind(data, at - 1) == _ALPHANUMERIC:
                at -= 1
        token, at = next_token(data, at, end, classes)
        count += token < end
        inside = uint64(0)
    return count
