"""Text → the hashes of its n-grams (shingles) of words or characters, in one pass over the UTF-8 bytes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import numpy as np
from numba import int64, njit, uint32, uint64

from dclm.dedup.columns import U64
from dclm.dedup.hashing import mix
from dclm.dedup.minhash.alphabet import EXPANDS, SKIP, SPACE, TABLE_SIZE, Normalization, alphabet
from dclm.text.kernels import lean

Unit = Literal["word", "character", "script"]
CHARACTER, WORD, SCRIPT = 0, 1, 2
UNITS: dict[Unit, int] = {"character": CHARACTER, "word": WORD, "script": SCRIPT}
"""Unit of a shingle → its number in kernels."""
_START = np.uint64(0xCBF29CE484222325)  # FNV-1a, 64 bit: offset basis
_PRIME = np.uint64(0x100000001B3)  # and prime
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd: the base of the polynomial over token hashes


@njit(cache=True, nogil=True, inline="always")
def decode(data: np.ndarray, at: int) -> tuple[np.uint32, int]:
    """The code point at byte `at` of valid UTF-8 and its number of bytes."""
    b0 = uint32(data[at])
    if b0 < uint32(0x80):
        return b0, 1
    b1 = uint32(data[at + 1]) & uint32(0x3F)
    if b0 < uint32(0xE0):
        return uint32(((b0 & uint32(0x1F)) << uint32(6)) | b1), 2
    b2 = uint32(data[at + 2]) & uint32(0x3F)
    if b0 < uint32(0xF0):
        return uint32(((b0 & uint32(0x0F)) << uint32(12)) | (b1 << uint32(6)) | b2), 3
    b3 = uint32(data[at + 3]) & uint32(0x3F)
    return uint32(((b0 & uint32(0x07)) << uint32(18)) | (b1 << uint32(12)) | (b2 << uint32(6)) | b3), 4


@njit(cache=True, nogil=True, inline="always")
def _expansion(value: np.uint32) -> tuple[np.int64, np.int64]:
    """Start in the table, and number, of the code points that a value expands to (see `EXPANDS`)."""
    return int64((value - uint32(EXPANDS)) >> uint32(3)), int64(value & uint32(7))


@njit(cache=True, nogil=True, inline="always")
def spaceless(point: np.uint32) -> bool:
    """Whether a code point belongs to a script that puts no spaces between words: Han, Kana, Thai, Lao, Khmer …"""
    code = int64(point)
    if code < 0x0E00:
        return False
    if code < 0x3040:
        return bool(code < 0x0F00 or 0x1000 <= code < 0x10A0 or 0x1780 <= code < 0x1800)
    if code < 0xA000:
        return bool(code < 0x3100 or 0x31F0 <= code < 0x3200 or code >= 0x3400)
    return bool(0xF900 <= code < 0xFB00 or 0xFF66 <= code < 0xFFA0 or 0x20000 <= code < 0x40000)


@lean
def word_hashes(
    data: np.ndarray, start: int, end: int, table: np.ndarray, out: np.ndarray, by_script: bool = False
) -> int:
    """Write hashes of the whitespace-separated words of `data[start:end]` to `out`; returns their number.

    A word that normalization empties does not count. by_script: each character of a script without spaces is a word.
    """
    count = 0
    h = _START
    open_word = False
    at = start
    while at < end:
        point, width = decode(data, at)
        at += width
        if point < uint32(TABLE_SIZE):
            point = table[point]
        if point == uint32(SPACE):
            if open_word:
                out[count] = mix(h)
                count += 1
                h = _START
                open_word = False
        elif by_script and spaceless(point):
            if open_word:
                out[count] = mix(h)
                count += 1
            out[count] = mix((_START ^ uint64(point)) * _PRIME)
            count += 1
            h = _START
            open_word = False
        elif point < uint32(EXPANDS):
            h = (h ^ uint64(point)) * _PRIME
            open_word = True
        elif point != uint32(SKIP):
            place, length = _expansion(point)
            for k in range(length):
                h = (h ^ uint64(table[place + k])) * _PRIME
            open_word = True
    if open_word:
        out[count] = mix(h)
        count += 1
    return count


@lean
def word_places(data: np.ndarray, start: int, end: int, table: np.ndarray, out: np.ndarray) -> int:
    """First byte and end of the words that `word_hashes` hashes, as they occur in the text; returns their number."""
    count = 0
    first, last = -1, -1  # start of the current word; −1: none yet
    is_word = False
    at = start
    while at <= end:
        point, width = (uint32(SPACE), 1) if at == end else decode(data, at)
        if at < end and point < uint32(TABLE_SIZE):
            point = table[point]
        if point == uint32(SPACE):
            if is_word:
                out[count, 0], out[count, 1] = first, last
                count += 1
            first, is_word = -1, False
        else:
            first = at if first < 0 else first
            last = at + width
            is_word = is_word or point != uint32(SKIP)
        at += width
    return count


@lean
def character_hashes(data: np.ndarray, start: int, end: int, table: np.ndarray, out: np.ndarray) -> int:
    """Write hashes of the characters of `data[start:end]` to `out`; a run of whitespace is one space, none at the
    ends."""
    count = 0
    gap = False
    at = start
    while at < end:
        point, width = decode(data, at)
        at += width
        if point < uint32(TABLE_SIZE):
            point = table[point]
        if point == uint32(SPACE):
            gap = count > 0
        elif point != uint32(SKIP):
            if gap:
                out[count] = mix((_START ^ uint64(32)) * _PRIME)
                count += 1
                gap = False
            place, length = (int64(0), int64(1)) if point < uint32(EXPANDS) else _expansion(point)
            for k in range(length):
                part = point if point < uint32(EXPANDS) else table[place + k]
                out[count] = mix((_START ^ uint64(part)) * _PRIME)
                count += 1
    return count


@lean
def combine(tokens: np.ndarray, count: int, ngram: int, out: np.ndarray) -> int:
    """Write hashes of all n-grams of the first `count` tokens to `out` (may be `tokens` itself); returns their number.

    Fewer tokens than `ngram`, but at least one: a single shingle of them all.
    """
    if count == 0:
        return 0
    ngram = min(ngram, count)
    leading = uint64(1)  # _BASE ** ngram
    for _ in range(ngram):
        leading *= _BASE
    h = uint64(0)
    for i in range(ngram):
        h = h * _BASE + tokens[i]
    for i in range(count - ngram):
        first = tokens[i]
        following = tokens[i + ngram]
        out[i] = mix(h)
        h = h * _BASE + following - first * leading
    out[count - ngram] = mix(h)
    return count - ngram + 1


@lean
def shingles(data: np.ndarray, start: int, end: int, table: np.ndarray, unit: int, ngram: int, out: np.ndarray) -> int:
    """Write shingle hashes of one text to `out` (room for one per byte), in text order with repeats; returns their
    number. unit: see `UNITS`."""
    if unit != CHARACTER:
        count = word_hashes(data, start, end, table, out, unit == SCRIPT)
    else:
        count = character_hashes(data, start, end, table, out)
    return combine(out, count, ngram, out)


@lean
def room_for(offsets: np.ndarray) -> int:
    """Maximum number of shingles per text of a column: the number of bytes of the longest one.

    Memory that is never written is never allocated: words need about 1.5 bytes per byte of text.
    """
    longest = 0
    for i in range(len(offsets) - 1):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest


def shingle_hash(text: str, normalization: Normalization = "lower") -> int:
    """The 64-bit hash that kernels give the shingle made of all words of `text`.

    For use with other libraries: `datasketch.MinHash(scheme="affine64", hashfunc=lambda b: shingle_hash(b.decode()))`
    fed with " ".join(words) has the signature that `minhash` computes.
    """
    return int(text_shingles([text], ngram=1 << 30, normalization=normalization)[0][0])


def text_shingles(
    texts: Iterable[str], ngram: int, normalization: Normalization = "lower", unit: Unit = "word"
) -> list[U64]:
    """Sorted distinct shingle hashes of each text: the sets whose Jaccard index counts."""
    table = alphabet(normalization)
    sets: list[U64] = []
    for text in texts:
        data = np.frombuffer(text.encode(), np.uint8)
        out = np.empty(len(data), np.uint64)
        sets.append(np.unique(out[: shingles(data, 0, len(data), table, UNITS[unit], ngram, out)]))
    return sets
