"""Lines as in C4: stripped, and none of them blank."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import string_array, with_edits
from dclm.text.buffers import utf8
from dclm.text.counting.counts import LINE_ENDS
from dclm.text.counting.segments import strip
from dclm.text.unicode import class_table, decode


@njit(cache=True, nogil=True)
def _strip_lines(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
    """The texts with stripped lines and "\\n" between them: bytes, offsets, number of lines changed or removed in
    each."""
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    out_offsets = np.zeros(rows + 1, np.int32)
    edits = np.zeros(rows, np.int64)
    size = 0
    for row in range(rows):
        at, end = offsets[row], offsets[row + 1]
        while at < end:
            start, stop, code = at, at, 0
            while at < end and code not in LINE_ENDS:  # which are whitespace: the line may keep its own
                code, at = decode(data, at, end)
                stop = at
            left, right = strip(data, start, stop, classes)
            edits[row] += left > start or right < stop - (code == 10)
            if left < right:
                if size > out_offsets[row]:
                    out[size] = 10
                    size += 1
                out[size : size + right - left] = data[left:right]
                size += right - left
        out_offsets[row + 1] = size
    return out[:size], out_offsets, edits


@dataclasses.dataclass(frozen=True, kw_only=True)
class StripLines(Map):
    """Strips every line and removes lines that are then blank; a page left empty is dropped.

    Lines are those of `str.splitlines`, which also end at "\\r", U+2028 and others; then all end at "\\n". `_edits`
    counts the lines that were changed or removed.

    Source: `C4QualityFilter` of datatrove, which does this first.
    """

    name: ClassVar[str] = "strip_lines"

    def open(self, context: Context) -> MapFunction:
        classes = class_table()

        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            out, offsets, edits = _strip_lines(*utf8(batch["text"]), classes)
            return with_edits(batch, string_array(out, offsets), pa.array(edits), pa.array(np.diff(offsets) == 0))

        return edit
