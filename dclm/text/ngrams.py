"""How much of a document its repeated word n-grams cover, exactly and in time linear in its words.

An n-gram can only be repeated where the (n-1)-grams at its place and at the next are. Each level therefore numbers the
pairs of the level below, at the places that are left: equal numbers mean equal n-grams, without hashing text again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.interning import EMPTY, intern_pair, intern_span, num_slots
from dclm.text.unicode import ALNUM
from dclm.text.words import next_word

SIZES = tuple(range(2, 11))
"""The n that are counted."""

NGRAMS = (
    *("words", "word_chars"),
    *(f"top_{n}_gram_chars" for n in SIZES),
    *(f"repeated_{n}_gram_chars" for n in SIZES),
)
"""Words are UAX #29's that start alphanumeric. `top`: count × code points of the most frequent n-gram, the longest of
equally frequent ones; 0 where none occurs twice. `repeated`: code points of words inside any n-gram that occurs twice.
"""

_NUM_SIZES = len(SIZES)


@njit(cache=True, nogil=True)
def _intern_words(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16]
) -> tuple[NDArray[np.int32], NDArray[np.int32], int]:
    """(number of each word, code points before each word and in all, how many different words)."""
    room = max((end - start) // 5, 16)
    ids = np.empty(room, np.int32)
    chars = np.zeros(room + 1, np.int32)
    keys = np.empty(room, np.int64)
    slots = np.full(num_slots(room), EMPTY, np.int32)
    num = different = 0
    at = start
    while at < end:
        stop, length, first = next_word(data, at, end, classes)
        if first & ALNUM:
            if num == room:  # words of less than five bytes each, which white space or punctuation include
                room = min(2 * room, num + (end - at))
                ids, chars, keys = _grown(ids, room), _grown(chars, room + 1), _grown(keys, room)
                slots = _rehashed(data, keys, different, num_slots(room))
            ids[num] = intern_span(data, at, stop, slots, keys, different)
            different += ids[num] == different
            chars[num + 1] = chars[num] + length
            num += 1
        at = stop
    return ids[:num], chars[: num + 1], different


@njit(cache=True, nogil=True)
def _grown(old, size):  # type: ignore[no-untyped-def]  # any one-dimensional array
    new = np.empty(size, old.dtype)
    new[: len(old)] = old
    return new


@njit(cache=True, nogil=True)
def _rehashed(data: NDArray[np.uint8], keys: NDArray[np.int64], num: int, size: int) -> NDArray[np.int32]:
    slots = np.full(size, EMPTY, np.int32)
    for i in range(num):
        intern_span(data, int(keys[i]) >> 32, int(keys[i]) & 0xFFFFFFFF, slots, keys, i)
    return slots


@njit(cache=True, nogil=True)
def _forget_single(ids: NDArray[np.int32], counts: NDArray[np.int32]) -> int:
    """Set EMPTY where the n-gram occurs once; how many places are left."""
    left = 0
    for i in range(len(ids)):
        if ids[i] != EMPTY:
            if counts[ids[i]] == 1:
                ids[i] = EMPTY
            else:
                left += 1
    return left


@njit(cache=True, nogil=True)
def _top_chars(ids: NDArray[np.int32], counts: NDArray[np.int32], chars: NDArray[np.int32], n: int) -> int:
    most = longest = 0
    for i in range(len(ids) - n + 1):
        if ids[i] != EMPTY and counts[ids[i]] >= most:
            length = int(chars[i + n] - chars[i])
            longest = max(longest, length) if counts[ids[i]] == most else length
            most = int(counts[ids[i]])
    return most * longest


@njit(cache=True, nogil=True)
def _covered_chars(ids: NDArray[np.int32], chars: NDArray[np.int32], n: int) -> int:
    covered = done = 0
    for i in range(len(ids) - n + 1):
        if ids[i] != EMPTY:
            covered += int(chars[i + n] - chars[max(i, done)])
            done = i + n
    return covered


@njit(cache=True, nogil=True)
def _count_ngrams_of(ids: NDArray[np.int32], chars: NDArray[np.int32], different: int, out: NDArray[np.int64]) -> None:
    counts = np.zeros(different, np.int32)
    for i in range(len(ids)):
        counts[ids[i]] += 1
    left = _forget_single(ids, counts)
    counts = np.empty(left, np.int32)
    keys = np.empty(left, np.int64)
    all_slots = np.empty(num_slots(left), np.int32)
    for n in SIZES:
        if left == 0:
            break
        slots = all_slots[: num_slots(left)]
        slots[:] = EMPTY
        counts[:left] = 0
        num = 0
        for i in range(len(ids)):
            if ids[i] != EMPTY:
                if i + 1 == len(ids) or ids[i + 1] == EMPTY:
                    ids[i] = EMPTY
                else:
                    ids[i] = intern_pair(int(ids[i]), int(ids[i + 1]), slots, keys, num)
                    num += ids[i] == num
                    counts[ids[i]] += 1
        left = _forget_single(ids, counts)
        out[n] = _top_chars(ids, counts, chars, n)
        out[n + _NUM_SIZES] = _covered_chars(ids, chars, n)


@njit(cache=True, nogil=True)
def count_ngrams(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Counts named NGRAMS, int64[names, rows].

    Memory beyond the columns: at most 40 bytes a word of the longest document, which are 7 bytes a byte of ordinary
    text and 20 of text that is nothing but one-letter words.
    """
    out = np.zeros((len(offsets) - 1, 2 + 2 * _NUM_SIZES), np.int64)
    for row in range(len(offsets) - 1):
        ids, chars, different = _intern_words(data, int(offsets[row]), int(offsets[row + 1]), classes)
        out[row, 0], out[row, 1] = len(ids), chars[len(ids)]
        _count_ngrams_of(ids, chars, different, out[row])
    return out.T.copy()
