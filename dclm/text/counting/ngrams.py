"""How much of a document its repeated word n-grams cover, exactly and in time linear in its words.

An n-gram can be repeated only if the (n-1)-grams at its position and at the next are. So each level numbers the pairs
of the level below, at the remaining positions: equal numbers mean equal n-grams, without hashing text again.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.interning import EMPTY, intern_pair, intern_span, num_slots
from dclm.text.kernels import lean
from dclm.text.swar import skip_letters
from dclm.text.unicode import ALNUM
from dclm.text.words import is_space, next_word

SIZES = tuple(range(2, 11))
"""The n that are counted."""

NGRAMS = (
    *("words", "word_chars"),
    *(f"top_{n}_gram_chars" for n in SIZES),
    *(f"repeated_{n}_gram_chars" for n in SIZES),
)
"""Words are UAX #29's that start alphanumeric. `top`: count × code points of the most frequent n-gram, the longest of
equally frequent ones; 0 if none occurs twice. `repeated`: code points of words inside any n-gram that occurs twice.
"""

_NUM_SIZES = len(SIZES)


@njit(cache=True, nogil=True)
def _grown(old, size):  # type: ignore[no-untyped-def]  # any one-dimensional array
    new = np.empty(size, old.dtype)
    new[: len(old)] = old
    return new


@lean
def _take_words(
    data: NDArray[np.uint8],
    at: int,
    end: int,
    classes: NDArray[np.uint16],
    punctuation: bool,
    spans: NDArray[np.int64],
    chars: NDArray[np.int32],
    num: int,
) -> tuple[int, int]:
    """Write words from `place` on until there are no more or the room is used up: (where to continue, number of
    words)."""
    while at < end and num < len(spans):
        if data[at] == 32 and at + 1 < end and data[at + 1] < 0x80 and classes[data[at + 1]] & ALNUM:
            at += 1  # a space that nothing joins
        if 97 <= (data[at] | 32) <= 122:
            stop = skip_letters(data, at + 1, end)
            if stop < end and data[stop] == 32:  # nothing joins it
                spans[num] = (at << 32) | stop
                chars[num + 1] = chars[num] + stop - at
                num += 1
                at = stop
                continue
        stop, length, first = next_word(data, at, end, classes)
        if first & ALNUM or (punctuation and not is_space(data, at, stop, classes)):
            spans[num] = (at << 32) | stop
            chars[num + 1] = chars[num] + length
            num += 1
        at = stop
    return at, num


@njit(cache=True, nogil=True)
def find_words(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16], punctuation: bool
) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """(start and end of each word, packed; code points of the words before each word, and of all).

    Words are UAX #29's that start alphanumeric, or with `punctuation` all that are not whitespace.
    """
    room = max((end - start) // 6, 16)
    spans = np.empty(room, np.int64)
    chars = np.zeros(room + 1, np.int32)
    at, num = _take_words(data, start, end, classes, punctuation, spans, chars, 0)
    while at < end:
        room = min(2 * room, num + (end - at))
        spans, chars = _grown(spans, room), _grown(chars, room + 1)
        at, num = _take_words(data, at, end, classes, punctuation, spans, chars, num)
    return spans[:num], chars[: num + 1]


@lean
def intern_words(
    data: NDArray[np.uint8],
    spans: NDArray[np.int64],
    slots: NDArray[np.int32],
    ids: NDArray[np.int32],
    counts: NDArray[np.int32],
) -> None:
    """Number the words, and count each. Overwrites `spans` with the keys of the distinct ones."""
    slots[:] = EMPTY
    num = 0
    for i in range(len(spans)):
        ids[i] = intern_span(data, int(spans[i]) >> 32, int(spans[i]) & 0xFFFFFFFF, slots, spans, num)
        if ids[i] == num:
            counts[num] = 0
            num += 1
        counts[ids[i]] += 1


@lean
def keep_repeated(ids: NDArray[np.int32], places: NDArray[np.int32], left: int, counts: NDArray[np.int32]) -> int:
    """Move the n-grams that occur more than once to the front; returns their number."""
    kept = 0
    for i in range(left):
        if counts[ids[i]] > 1:
            ids[kept], places[kept] = ids[i], places[i]
            kept += 1
    return kept


@lean
def pair_up(
    ids: NDArray[np.int32],
    places: NDArray[np.int32],
    left: int,
    slots: NDArray[np.int32],
    keys: NDArray[np.int64],
    counts: NDArray[np.int32],
) -> int:
    """From n-grams to the (n+1)-grams formed by two neighbors, in place; returns their number."""
    slots[:] = EMPTY
    num = kept = 0
    for i in range(left - 1):
        if places[i + 1] == places[i] + 1:
            found = intern_pair(int(ids[i]), int(ids[i + 1]), slots, keys, num)
            if found == num:
                counts[num] = 0
                num += 1
            counts[found] += 1
            ids[kept], places[kept] = found, places[i]
            kept += 1
    return kept


@lean
def _top_chars(
    ids: NDArray[np.int32],
    places: NDArray[np.int32],
    left: int,
    counts: NDArray[np.int32],
    chars: NDArray[np.int32],
    n: int,
) -> int:
    most = longest = 0
    for i in range(left):
        count, length = int(counts[ids[i]]), int(chars[places[i] + n] - chars[places[i]])
        if count > most or (count == most and length > longest):
            most, longest = count, length
    return most * longest


@lean
def _covered_chars(places: NDArray[np.int32], left: int, chars: NDArray[np.int32], n: int) -> int:
    covered = done = 0
    for i in range(left):
        covered += int(chars[places[i] + n] - chars[max(places[i], done)])
        done = places[i] + n
    return covered


@njit(cache=True, nogil=True)
def _count_ngrams_of(
    data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16], out: NDArray[np.int64]
) -> None:
    spans, chars = find_words(data, start, end, classes, False)
    num = len(spans)
    slots = np.empty(num_slots(num), np.int32)
    ids, counts = np.empty(num, np.int32), np.empty(num, np.int32)
    intern_words(data, spans, slots, ids, counts)
    places = np.arange(num, dtype=np.int32)
    left = keep_repeated(ids, places, num, counts)
    out[0], out[1] = num, chars[num]
    for n in SIZES:
        left = pair_up(ids, places, left, slots[: num_slots(left)], spans, counts)
        left = keep_repeated(ids, places, left, counts)
        if left == 0:
            break
        out[n] = _top_chars(ids, places, left, counts, chars, n)
        out[n + _NUM_SIZES] = _covered_chars(places, left, chars, n)


@njit(cache=True, nogil=True)
def count_ngrams(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    """Counts named NGRAMS, int64[names, rows].

    Memory beyond the columns: at most 48 bytes per word of the longest document, which is 7 bytes per byte of ordinary
    text and 24 for text of only one-letter words.
    """
    out = np.zeros((len(offsets) - 1, len(NGRAMS)), np.int64)
    for row in range(len(offsets) - 1):
        _count_ngrams_of(data, int(offsets[row]), int(offsets[row + 1]), classes, out[row])
    return out.T.copy()
