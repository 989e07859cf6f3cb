"""Features: properties of a text that several filters need, computed once per batch.

A step names the features it reads in `features`; each is then a column, "_" + name, of its batch, until a step changes
the text. All of them are structs of int64.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.arrow import Column, structs
from dclm.text.buffers import utf8
from dclm.text.counting.counts import (
    LINES,
    SPLIT_LINES,
    SYMBOLS,
    WORDS,
    count_lines,
    count_split_lines,
    count_symbols,
    count_words,
)
from dclm.text.counting.gopher import GOPHER_COPIES, GOPHER_NGRAMS, count_gopher_copies, count_gopher_ngrams
from dclm.text.counting.ngrams import NGRAMS, count_ngrams
from dclm.text.counting.segments import SEGMENTS, count_segments
from dclm.text.fold import fold
from dclm.text.lower import lower
from dclm.text.unicode import class_table
from dclm.text.words import UNICODE_WORDS, count_tokens, count_unicode_words

TOKENS = ("tokens", "token_words")
"""fastText's tokens that are not whitespace, plus newlines; those that start alphanumeric."""

Kernel = Callable[[NDArray[np.uint8], NDArray[np.int32], NDArray[np.uint16]], NDArray[np.int64]]


def _feature(kernel: Kernel, names: Sequence[str]) -> Callable[[pa.StringArray], pa.StructArray]:
    def compute(text: pa.StringArray) -> pa.StructArray:
        column = utf8(text)
        counts = kernel(column.data, column.offsets, class_table())
        return pa.StructArray.from_arrays([pa.array(row) for row in counts], list(names))

    return compute


def _lines(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    return count_segments(data, offsets, classes, 1)


def _paragraphs(data: NDArray[np.uint8], offsets: NDArray[np.int32], classes: NDArray[np.uint16]) -> NDArray[np.int64]:
    return count_segments(data, offsets, classes, 2)


_COPIES: dict[str, Callable[[pa.StringArray], Column]] = {
    "line_copies": _feature(_lines, SEGMENTS),
    "paragraph_copies": _feature(_paragraphs, SEGMENTS),
    "ngrams": _feature(count_ngrams, NGRAMS),
}


def _lowered(compute: Callable[[pa.StringArray], Column]) -> Callable[[pa.StringArray], Column]:
    return lambda text: compute(lower(text))


def _folded(compute: Callable[[pa.StringArray], Column]) -> Callable[[pa.StringArray], Column]:
    return lambda text: compute(fold(text))


FEATURES: dict[str, Callable[[pa.StringArray], Column]] = {
    "words": _feature(count_words, WORDS),
    "tokens": _feature(count_tokens, TOKENS),
    "unicode_words": _feature(count_unicode_words, UNICODE_WORDS),
    "folded_words": _folded(_feature(count_unicode_words, UNICODE_WORDS)),
    "symbols": _feature(count_symbols, SYMBOLS),
    "lines": _feature(count_lines, LINES),
    "split_lines": _feature(count_split_lines, SPLIT_LINES),
    **_COPIES,
    **{f"lower_{name}": _lowered(compute) for name, compute in _COPIES.items()},
    "gopher_copies": _feature(count_gopher_copies, GOPHER_COPIES),
    "gopher_ngrams": _feature(count_gopher_ngrams, GOPHER_NGRAMS),
}
"""Name → function from a text column (without nulls, sliced or not) to a struct of counts."""


def counts(batch: pa.RecordBatch, feature: str, name: str) -> NDArray[np.int64]:
    """One field of a feature for every row of the batch."""
    values: NDArray[np.int64] = structs(batch.column(f"_{feature}")).field(name).to_numpy(zero_copy_only=False)
    return values
