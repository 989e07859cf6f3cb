"""Copies and repeated n-grams as datatrove counts them for Gopher's rules (the reference's own definition is in
`ngrams`)."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.interning import EMPTY, intern_span, num_slots
from dclm.text.counting.ngrams import SIZES, find_words, intern_words, keep_repeated, pair_up
from dclm.text.counting.segments import count_chars, strip
from dclm.text.kernels import lean

GOPHER_NGRAMS = (
    "words",
    *(f"top_{n}_gram_chars" for n in SIZES),
    *(f"duplicate_{n}_gram_chars" for n in SIZES),
)
"""Words are UAX #29's that are not whitespace. `top`: count × code points, including single spaces between words, of
the most frequent n-gram, the first of equally frequent ones. `duplicate`: code points of the n-grams that occurred
before, continuing after each of these."""

GOPHER_COPIES = (
    *("chars", "lines", "duplicate_lines", "duplicate_line_chars"),
    *("paragraphs", "duplicate_paragraphs", "duplicate_paragraph_chars"),
)
"""Lines are separated by runs of "\\n", paragraphs of the stripped text by runs of two or more. Duplicates: all copies
except the first."""

_NUM_SIZES = len(SIZES)


@lean
def _top_chars(
    ids: NDArray[np.int32],
    places: NDArray[np.int32],
    left: int,
    counts: NDArray[np.int32],
    chars: NDArray[np.int32],
    n: int,
) -> int:
    if left == 0:  # all occur once: the first one is used
        return int(chars[n]) + n - 1 if len(chars) > n else 0
    best = 0
    for i in range(left):
        if counts[ids[i]] > counts[ids[best]]:
            best = i
    place = places[best]
    return int(counts[ids[best]]) * (int(chars[place + n] - chars[place]) + n - 1)


@lean
def _duplicate_chars(
    ids: NDArray[np.int32],
    places: NDArray[np.int32],
    left: int,
    counts: NDArray[np.int32],
    chars: NDArray[np.int32],
    n: int,
) -> int:
    """Overwrites `counts`."""
    duplicate = done = 0
    for i in range(left):
        if places[i] >= done:
            if counts[ids[i]] == 0:
                duplicate += int(chars[places[i] + n] - chars[places[i]])
                done = places[i] + n
            counts[ids[i]] = 0  # seen
    return duplicate


@njit(cache=True, nogil=True)
def count_gopher_ngrams(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Counts named GOPHER_NGRAMS, int64[names, rows]. Memory as `ngrams.count_ngrams`."""
    out = np.zeros((len(GOPHER_NGRAMS), len(offsets) - 1), np.int64)
    for row in range(len(offsets) - 1):
        spans, chars = find_words(data, int(offsets[row]), int(offsets[row + 1]), classes, True)
        num = len(spans)
        slots = np.empty(num_slots(num), np.int32)
        ids, counts = np.empty(num, np.int32), np.empty(num, np.int32)
        intern_words(data, spans, slots, ids, counts)
        places = np.arange(num).astype(np.int32)
        left = keep_repeated(ids, places, num, counts)
        out[0, row] = num
        for n in SIZES:
            left = pair_up(ids, places, left, slots[: num_slots(left)], spans, counts)
            left = keep_repeated(ids, places, left, counts)
            out[n - 1, row] = _top_chars(ids, places, left, counts, chars, n)
            out[n - 1 + _NUM_SIZES, row] = _duplicate_chars(ids, places, left, counts, chars, n)
    return out


@lean
def _run(data: NDArray[np.uint8], at: int, end: int, least: int) -> tuple[int, int]:
    """(start, end) of the next run of at least this many "\\n"; (end, end) if none exists."""
    while at < end:
        start = at
        while at < end and data[at] == 10:
            at += 1
        if at - start >= least:
            return start, at
        at += at == start
    return end, end


@njit(cache=True, nogil=True)
def _count_copies_of(data: NDArray[np.uint8], start: int, end: int, least: int, out: NDArray[np.int64]) -> None:
    room = 1
    _, at = _run(data, start, end, least)
    while at < end:
        room += 1
        _, at = _run(data, at, end, least)
    room += 1  # an empty piece after a run at the end
    keys = np.empty(room, np.int64)
    slots = np.full(num_slots(room), EMPTY, np.int32)
    num = 0
    at = start
    while True:
        stop, after = _run(data, at, end, least)
        known = intern_span(data, at, stop, slots, keys, num)
        out[0] += 1
        if known == num:
            num += 1
        else:
            out[1] += 1
            out[2] += count_chars(data, at, stop)
        if stop == after:  # the end, not preceded by a run
            break
        at = after


@njit(cache=True, nogil=True)
def count_gopher_copies(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> NDArray[np.int64]:
    """Counts named GOPHER_COPIES, int64[names, rows]."""
    out = np.zeros((len(offsets) - 1, len(GOPHER_COPIES)), np.int64)
    for row in range(len(offsets) - 1):
        start, end = int(offsets[row]), int(offsets[row + 1])
        out[row, 0] = count_chars(data, start, end)
        _count_copies_of(data, start, end, 1, out[row, 1:4])
        start, end = strip(data, start, end, classes)
        _count_copies_of(data, start, end, 2, out[row, 4:7])
    return out.T.copy()
