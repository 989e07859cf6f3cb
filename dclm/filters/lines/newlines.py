"""Limits runs of newlines."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.config import Count
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import string_array, with_columns
from dclm.text.buffers import utf8

_NEWLINE = 10


@njit(cache=True, nogil=True)
def _limit_runs(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], most: int
) -> tuple[NDArray[np.uint8], NDArray[np.int32], NDArray[np.int64]]:
    """The texts with at most `most` newlines in a row: bytes, offsets, number of newlines removed from each."""
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    out_offsets = np.zeros(rows + 1, np.int32)
    removed = np.zeros(rows, np.int64)
    size = 0
    for row in range(rows):
        run = 0
        for place in range(offsets[row], offsets[row + 1]):
            run = run + 1 if data[place] == _NEWLINE else 0
            if run > most:
                removed[row] += 1
                continue
            out[size] = data[place]
            size += 1
        out_offsets[row + 1] = size
    return out[:size], out_offsets, removed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Newlines(Map):
    """Shortens longer runs of newlines to `max_consecutive`. `_edits` counts the removed newlines.

    Source: DCLM's `newline_removal_modifier`.
    """

    name: ClassVar[str] = "newlines"
    version: ClassVar[int] = 2

    max_consecutive: Count = 2
    """Maximum number of consecutive newlines; 0 deletes all."""

    def open(self, context: Context) -> MapFunction:
        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            data, offsets = utf8(batch["text"])
            out, out_offsets, removed = _limit_runs(data, offsets, self.max_consecutive)
            text = string_array(out, out_offsets) if removed.any() else batch["text"]
            return with_columns(batch, {"text": text, "_edits": pa.array(removed)})

        return edit
