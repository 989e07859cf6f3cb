"""Keep pages with enough sentences."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.config import Count
from dclm.step import Context, Filter, FilterFunction
from dclm.text.buffers import utf8
from dclm.text.unicode import ALPHA, LOWER, SPACE, class_table, decode

_STOP = 1
_CLOSER = 2
_ENDS = np.zeros(0x110000, np.uint8)
_ENDS[[ord(c) for c in ".!?…。！？"]] = _STOP
_ENDS[[ord(c) for c in "\"'”’»)]"]] = _CLOSER
_UNLIMITED = (1 << 62) - 1


@njit(cache=True, nogil=True)
def count_sentences(
    data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16], ends: NDArray[np.uint8]
) -> NDArray[np.int64]:
    """Per row, the pieces that end with stops (and closing marks) before white space, unless a small letter follows.

    A single letter before one full stop is an initial, which ends nothing. What is left at the end is a sentence too.
    """
    rows = len(offsets) - 1
    out = np.zeros(rows, np.int64)
    for row in range(rows):
        place, end = offsets[row], offsets[row + 1]
        letters = others = stops = 0  # of the word that is being read; stops: how many stand at its end
        pending = open_sentence = False  # pending: the last word could end a sentence
        while place < end:
            code, place = decode(data, place, end)
            kind = classes[code]
            if (kind & SPACE) != 0:
                pending = pending or (stops > 0 and not (letters == 1 and others == 0 and stops == 1))
                letters = others = stops = 0
                continue
            if pending and (kind & LOWER) == 0:
                out[row] += 1
                open_sentence = False
            pending = False
            if ends[code] == _STOP:
                stops += 1
            elif ends[code] != _CLOSER or stops == 0:
                others += stops + ((kind & ALPHA) == 0)
                letters += (kind & ALPHA) != 0
                stops = 0
            open_sentence = True
        out[row] += open_sentence
    return out


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences(Filter):
    """Keeps pages with `min` … `max` sentences, both included.

    Source: C4's three (code) or five (paper) sentences; DCLM's `page_length_filter` with `length_type: sentence`.
    Different here: a rule of full stops, closing marks, white space, capitals and initials, instead of NLTK's trained
    Punkt model (C4) or BlingFire (DCLM's default).
    """

    name: ClassVar[str] = "sentences"

    min: Count = 1
    """Fewest allowed."""
    max: Count | None = None
    """Most allowed; null: any number."""

    def __post_init__(self) -> None:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}, allowed: min ≤ max")

    def open(self, context: Context) -> FilterFunction:
        classes, ends, most = class_table(), _ENDS, _UNLIMITED if self.max is None else self.max

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            found = count_sentences(*utf8(batch["text"]), classes, ends)
            return pa.array((found >= self.min) & (found <= most))

        return keep
