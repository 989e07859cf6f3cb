"""Texts divided into lines or paragraphs, with their positions."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.core.arrow import buffer_of
from dclm.dedup.columns import I64
from dclm.text.buffers import utf8

Unit = Literal["line", "paragraph"]
_NEWLINES: dict[Unit, int] = {"line": 1, "paragraph": 2}


class Units(NamedTuple):
    """The units of a column of texts, in order."""

    texts: pa.StringArray
    """Without the newlines that end them."""
    rows: I64
    """Indices into the column."""
    starts: I64
    """First byte in the text; the newlines after a unit belong to it."""
    ends: I64


def cut(texts: pa.StringArray, unit: Unit) -> Units:
    """The parts of each text between newlines (line) or between two newlines in a row (paragraph), as from `str.split`.

    An empty part at the end does not count, however. The units of a text, including newlines, joined are the text.
    """
    data, offsets, rows, starts, ends = _cut(*utf8(texts), _NEWLINES[unit])
    return Units(pa.StringArray.from_buffers(len(rows), buffer_of(offsets), buffer_of(data)), rows, starts, ends)


@njit(cache=True, nogil=True, inline="always")
def _breaks_at(data: np.ndarray, at: int, end: int, newlines: int) -> bool:
    return data[at] == 10 and (newlines == 1 or (at + 1 < end and data[at + 1] == 10))


@njit(cache=True, nogil=True)
def _cut(
    data: np.ndarray, offsets: np.ndarray, newlines: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    texts = len(offsets) - 1
    room = texts
    for at in range(int(offsets[0]), int(offsets[texts])):
        room += data[at] == 10
    out = np.empty(int(offsets[texts]) - int(offsets[0]), np.uint8)
    out_offsets = np.zeros(room + 1, np.int32)
    rows, starts, ends = np.empty(room, np.int64), np.empty(room, np.int64), np.empty(room, np.int64)
    count, filled = 0, 0
    for row in range(texts):
        first, end = int(offsets[row]), int(offsets[row + 1])
        start, at = first, first
        while True:
            last = at >= end
            if last or _breaks_at(data, at, end, newlines):
                out[filled : filled + at - start] = data[start:at]
                filled += at - start
                at = at if last else at + newlines
                if at > start:
                    rows[count], starts[count], ends[count] = row, start - first, at - first
                    count += 1
                    out_offsets[count] = filled
                start = at
                if last:
                    break
            else:
                at += 1
    return out[:filled], out_offsets[: count + 1], rows[:count], starts[:count], ends[:count]
