"""How many of a document's lines and paragraphs are copies of each other."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.interning import EMPTY, intern_span, num_slots
from dclm.text.kernels import lean
from dclm.text.swar import count_ones, eight, find_byte, trails
from dclm.text.unicode import SPACE, character_before, decode

SEGMENTS = ("segments", "repeated", "repeated_chars", "extra", "extra_chars", "chars")
"""Segments are stripped, blank ones skipped. `repeated`: all copies of segments that occur more than once. `extra`: all
copies except the first. `chars`: code points of all segments."""


@njit(inline="always")
def next_break(data: NDArray[np.uint8], at: int, end: int, width: int) -> int:
    """Start of the next run of `width` "\n"; `end` if none exists."""
    while at + width <= end:
        at = find_byte(data, at, end - width + 1, 10)
        if at + width > end:
            break
        if width == 1 or data[at + 1] == 10:
            return at
        at += 1
    return end


@lean
def strip(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16]) -> tuple[int, int]:
    """The span without surrounding whitespace, like `str.strip`; (end, end) if nothing else is left."""
    while start < end:
        code, after = decode(data, start, end)
        if not classes[code] & SPACE:
            break
        start = after
    return start, strip_end(data, start, end, classes)


@lean
def strip_end(data: NDArray[np.uint8], start: int, end: int, classes: NDArray[np.uint16]) -> int:
    """The end of the span without trailing whitespace, like `str.rstrip`."""
    while start < end:
        code, at = character_before(data, start, end)  # bytes that are not UTF-8 are not whitespace
        if not classes[code] & SPACE:
            break
        end = at
    return end


@njit(inline="always")
def count_chars(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Number of code points, counting the bytes that start one."""
    num, at = end - start, start
    while at < end:
        num -= count_ones(trails(eight(data, at, end)))
        at += 8
    return num


@lean
def _num_segments(data: NDArray[np.uint8], start: int, end: int, width: int) -> int:
    """At most so many segments are not blank."""
    num = 1
    at = next_break(data, start, end, width)
    while at < end:
        num += 1
        at = next_break(data, at + width, end, width)
    return num


@lean
def _count_segments_of(
    data: NDArray[np.uint8],
    start: int,
    end: int,
    classes: NDArray[np.uint16],
    width: int,
    slots: NDArray[np.int32],
    keys: NDArray[np.int64],
    lengths: NDArray[np.int32],
    counts: NDArray[np.int32],
    out: NDArray[np.int64],
) -> None:
    """slots: all EMPTY; the arrays after it have room for all segments."""
    num = 0
    at = start
    while at < end:
        stop = next_break(data, at, end, width)
        first, last = strip(data, at, stop, classes)
        if first < last:
            known = intern_span(data, first, last, slots, keys, num)
            if known == num:
                lengths[num] = count_chars(data, first, last)
                counts[num] = 0
                num += 1
            counts[known] += 1
        at = stop + width
    for i in range(num):
        count, length = int(counts[i]), int(lengths[i])
        out[0] += count
        if count > 1:
            out[1] += count
            out[2] += count * length
            out[3] += count - 1
            out[4] += (count - 1) * length
        out[5] += count * length


@njit(cache=True, nogil=True)
def count_segments(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16], width: int
) -> NDArray[np.int64]:
    """Counts named SEGMENTS, int64[names, rows], of segments separated by `width` "\\n": 1 for lines, 2 for paragraphs.

    Memory beyond the columns: 32 bytes for each line or paragraph of the longest document.
    """
    out = np.zeros((len(offsets) - 1, 6), np.int64)
    for row in range(len(offsets) - 1):
        start, end = int(offsets[row]), int(offsets[row + 1])
        room = _num_segments(data, start, end, width)
        slots, keys = np.full(num_slots(room), EMPTY, np.int32), np.empty(room, np.int64)
        lengths, counts = np.empty(room, np.int32), np.empty(room, np.int32)
        _count_segments_of(data, start, end, classes, width, slots, keys, lengths, counts, out[row])
    return out.T.copy()
