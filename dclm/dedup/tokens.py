"""The tokens of BFF: UAX #29 words that are not all white space, with a short way through ASCII."""

from __future__ import annotations

import string

import numpy as np
from numba import njit, uint64

from dclm.dedup.columns import U8
from dclm.dedup.hashing import mix
from dclm.text.words import is_space, next_word

_START = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bit: offset basis
_PRIME = np.uint64(0x100000001B3)  # and prime

_ALONE, _ALPHANUMERIC, _MIDDLE, _JOINER, _RETURN, _SPACES, _NEWLINE, _BEYOND = range(8)
_KIND = 7
_BLANK = 8


def _byte_table() -> U8:
    """What each byte is to UAX #29: letters and digits; what joins such as stand on both sides of it; and so on."""
    table = np.full(256, _BEYOND, np.uint8)
    table[:128] = _ALONE
    kinds = {string.ascii_letters + string.digits: _ALPHANUMERIC, "'.:,;": _MIDDLE, "_": _JOINER}
    for characters, kind in {**kinds, "\r": _RETURN, " ": _SPACES, "\n": _NEWLINE}.items():
        table[[ord(c) for c in characters]] = kind
    table[[c for c in range(128) if chr(c).isspace()]] |= _BLANK
    return table


_BYTES = _byte_table()


@njit(cache=True, nogil=True, inline="always")
def _kind(data: np.ndarray, at: int) -> int:
    return int(_BYTES[data[at]] & _KIND)


@njit(cache=True, nogil=True)
def word_end(data: np.ndarray, start: int, end: int, classes: np.ndarray) -> int:
    """Where the word that starts at byte `start` < `end` ends: that of `dclm.text.words.next_word`.

    Runs of ASCII letters and digits before a character that does not join them, runs of spaces and single ASCII
    characters are decided here; they are nearly all there is in most texts.
    """
    stop = start + 1
    kind = _kind(data, start)
    decided = False
    if kind == _ALPHANUMERIC:
        while stop < end and _kind(data, stop) == _ALPHANUMERIC:
            stop += 1
        if stop == end:
            decided = True
        else:
            after = _kind(data, stop)
            if after == _MIDDLE:
                decided = stop + 1 == end or _kind(data, stop + 1) not in (_ALPHANUMERIC, _BEYOND)
            else:
                decided = after not in (_JOINER, _BEYOND)
    elif kind == _SPACES:
        while stop < end and data[stop] == 32:
            stop += 1
        decided = stop == end or data[stop] < 128
    elif kind == _NEWLINE:
        decided = True
    elif kind in (_ALONE, _MIDDLE):
        decided = stop == end or data[stop] < 128
    return stop if decided else int(next_word(data, start, end, classes)[0])


@njit(cache=True, nogil=True, inline="always")
def is_token(data: np.ndarray, at: int, stop: int, classes: np.ndarray) -> bool:
    """Whether the word `data[at:stop]` has a character that is no white space."""
    first = _BYTES[data[at]]
    if first == _BEYOND or (first & _BLANK and stop > at + 1):
        return not is_space(data, at, stop, classes)
    return not first & _BLANK


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
    count = 0
    at = start
    while at < end:
        stop = word_end(data, at, end, classes)
        if is_token(data, at, stop, classes):
            if count == len(hashes):
                hashes, starts = _grow(hashes), _grow(starts)
            h = _START
            for i in range(at, stop):
                h = (h ^ uint64(data[i])) * _PRIME
            hashes[count], starts[count] = mix(h), at
            count += 1
        at = stop
    return hashes[:count], starts[:count]
