"""Removes spans of bytes from the texts of a column."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.arrow import buffer_of, strings
from dclm.text.buffers import utf8
from dclm.text.counting.segments import strip_end
from dclm.text.unicode import class_table
from dclm.text.words import is_space

I64 = NDArray[np.int64]


class Spans(NamedTuple):
    """Bytes `starts[i]` … `ends[i]` of the text of row `rows[i]`, sorted by row and start; they may overlap."""

    rows: I64
    starts: I64
    ends: I64

    @staticmethod
    def of(edits: pa.Table) -> Spans:
        """The spans of a table with columns row, start and end, in any order."""
        rows, starts, ends = (edits.column(name).to_numpy().astype(np.int64) for name in ("row", "start", "end"))
        order = np.lexsort((ends, starts, rows))
        return Spans(rows[order], starts[order], ends[order])


class Edited(NamedTuple):
    """Texts after spans were removed."""

    texts: pa.StringArray
    counts: I64
    """Number of spans removed from each text, after merging overlapping ones."""
    blank: NDArray[np.bool_]
    """Whether a span was removed and only whitespace is left."""


def remove_spans(texts: pa.StringArray, spans: Spans) -> Edited:
    """`texts` without `spans`, whose rows are indices into `texts`.

    Overlapping spans are merged. A text that loses its end also loses the whitespace before it. Spans must be within
    their text and begin and end between characters.
    """
    data, offsets, counts, blank = _remove(*utf8(texts), *spans, class_table())
    edited = pa.StringArray.from_buffers(len(texts), buffer_of(offsets), buffer_of(data))
    return Edited(edited, counts, blank)


def without_spans(batch: pa.RecordBatch, spans: Spans) -> pa.RecordBatch:
    """The batch without those of `spans` whose rows are in its column `_row`, as a Map would leave it.

    Sets `_edits`, and `_drop` if only whitespace is left of a text; neither if there is nothing to remove.
    """
    own = batch.column("_row").to_numpy()
    if not len(own):
        return batch
    mine = slice(*np.searchsorted(spans.rows, [own[0], own[-1] + 1]))
    rows, starts, ends = (values[mine] for values in spans)
    place = np.searchsorted(own, rows)
    here = own[place] == rows
    if not here.any():
        return batch
    edited = remove_spans(strings(batch.column("text")), Spans(place[here], starts[here], ends[here]))
    batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), edited.texts)
    return batch.append_column("_edits", pa.array(edited.counts)).append_column("_drop", pa.array(edited.blank))


@njit(cache=True, nogil=True)
def _remove(
    data: np.ndarray, offsets: np.ndarray, rows: np.ndarray, starts: np.ndarray, ends: np.ndarray, classes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Spans sorted by (row, start)."""
    count = len(offsets) - 1
    out = np.empty(int(offsets[count]) - int(offsets[0]), np.uint8)
    out_offsets = np.zeros(count + 1, np.int32)
    counts = np.zeros(count, np.int64)
    blank = np.zeros(count, np.bool_)
    filled, span = 0, 0
    for row in range(count):
        first, end = int(offsets[row]), int(offsets[row + 1])
        at, removed_to = first, first - 1  # next byte to copy; end of the previous span
        while span < len(rows) and rows[span] == row:
            left, right = first + starts[span], first + ends[span]
            assert first <= left <= right <= end
            if left < right:
                counts[row] += left >= removed_to
                if left > at:
                    out[filled : filled + left - at] = data[at:left]
                    filled += left - at
                at = max(at, right)
                removed_to = at
            span += 1
        out[filled : filled + end - at] = data[at:end]
        filled += end - at
        if counts[row]:
            if at == end:
                filled = strip_end(out, out_offsets[row], filled, classes)
            blank[row] = is_space(out, out_offsets[row], filled, classes)
        out_offsets[row + 1] = filled
    return out[:filled], out_offsets, counts, blank
