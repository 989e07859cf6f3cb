"""Limits runs of newlines."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.config import Count
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import string_array, with_columns
from dclm.text.buffers import utf8
from dclm.text.kernels import lean
from dclm.text.swar import copy_bytes, find_byte

_NEWLINE = 10


@lean
def _limit_runs(
    data: NDArray[np.uint8],
    offsets: NDArray[np.int32],
    most: int,
    out: NDArray[np.uint8],
    out_offsets: NDArray[np.int32],
    removed: NDArray[np.int64],
) -> None:
    """Write the texts with at most `most` newlines in a row, and the number of newlines removed from each."""
    size = 0
    for row in range(len(offsets) - 1):
        copied, end = int(offsets[row]), int(offsets[row + 1])
        at = find_byte(data, copied, end, _NEWLINE)
        while at < end:
            kept = at + most
            while at < end and data[at] == _NEWLINE:
                at += 1
            if at > kept:
                copy_bytes(out, size, data, copied, kept)
                size += kept - copied
                removed[row] += at - kept
                copied = at
            at = find_byte(data, at, end, _NEWLINE)
        copy_bytes(out, size, data, copied, end)
        size += end - copied
        out_offsets[row + 1] = size


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
            out, out_offsets = np.empty(offsets[-1] - offsets[0], np.uint8), np.zeros(len(offsets), np.int32)
            removed = np.zeros(len(batch), np.int64)
            _limit_runs(data, offsets, self.max_consecutive, out, out_offsets, removed)
            text = string_array(out[: out_offsets[-1]], out_offsets) if removed.any() else batch["text"]
            return with_columns(batch, {"text": text, "_edits": pa.array(removed)})

        return edit
