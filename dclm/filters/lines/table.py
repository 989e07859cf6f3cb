"""The lines of a batch of texts as one table, and the texts reassembled from the lines that are kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.segments import strip
from dclm.text.kernels import lean
from dclm.text.swar import count_byte, find_byte

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]
_NEWLINE = 10


class Lines(NamedTuple):
    """`text.split("\\n")` of every row: line i is `data[starts[i]:ends[i]]`, row r has `first[r]` to `first[r+1]`."""

    starts: Ints
    ends: Ints
    first: Ints


@lean
def _count_lines(data: Bytes, offsets: Ints, first: Ints) -> None:
    for row in range(len(offsets) - 1):
        first[row + 1] = first[row] + 1 + count_byte(data, int(offsets[row]), int(offsets[row + 1]), _NEWLINE)


@lean
def _find_lines(data: Bytes, offsets: Ints, starts: Ints, ends: Ints) -> None:
    line = 0
    for row in range(len(offsets) - 1):
        at, end = int(offsets[row]), int(offsets[row + 1])
        while True:
            starts[line] = at
            at = find_byte(data, at, end, _NEWLINE)
            ends[line] = at
            line += 1
            if at == end:
                break
            at += 1


@njit(cache=True, nogil=True)
def split_lines(data: Bytes, offsets: Ints) -> tuple[Ints, Ints, Ints]:
    """The fields of `Lines`. An empty text has one empty line."""
    first = np.zeros(len(offsets), np.int32)
    _count_lines(data, offsets, first)
    starts, ends = np.empty(first[-1], np.int32), np.empty(first[-1], np.int32)
    _find_lines(data, offsets, starts, ends)
    return starts, ends, first


@lean
def any_to_strip(data: Bytes, offsets: Ints, classes: Classes) -> bool:
    """Whether any text begins or ends with whitespace."""
    for row in range(len(offsets) - 1):
        start, end = offsets[row], offsets[row + 1]
        if start < end:
            left, right = strip(data, start, end, classes)
            if left > start or right < end:
                return True
    return False


@njit(cache=True, nogil=True)
def join_lines(
    data: Bytes, starts: Ints, ends: Ints, first: Ints, keep: NDArray[np.bool_], strips: bool, classes: Classes
) -> tuple[Bytes, Ints, NDArray[np.int64]]:
    """The kept lines of each row with "\\n" between them (optionally stripped): bytes, offsets, number of lines
    removed."""
    rows = len(first) - 1
    out = np.empty(ends[-1] - starts[0] if len(ends) else 0, np.uint8)
    offsets = np.zeros(rows + 1, np.int32)
    removed = np.zeros(rows, np.int64)
    size = 0
    for row in range(rows):
        begin, none = size, True
        line = first[row]
        while line < first[row + 1]:
            if not keep[line]:
                removed[row] += 1
                line += 1
                continue
            start = starts[line]
            while line + 1 < first[row + 1] and keep[line + 1]:  # adjacent kept lines are copied together
                line += 1
            if not none:
                out[size] = _NEWLINE
                size += 1
            none = False
            length = ends[line] - start
            out[size : size + length] = data[start : ends[line]]
            size += length
            line += 1
        if strips:
            left, right = strip(out, begin, size, classes)
            if left > begin:
                for place in range(right - left):
                    out[begin + place] = out[left + place]
            size = begin + right - left
        offsets[row + 1] = size
    return out[:size], offsets, removed
