"""The document statistics of Gopher's quality filter, each as a step, as used by DCLM-RefinedWeb."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa

from dclm.core.config import Count, Fraction, NonNegative
from dclm.curate.step import Context, Filter, FilterFunction
from dclm.text.counts import SYMBOLS
from dclm.text.features import counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolRatio(Filter):
    """Keeps documents with at most `max` symbols ("#", "...", ". . .", "…") per word; drops documents without words.

    Source: DCLM `symbol_ratio_filter` (max_symbol_to_word_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "symbol_ratio"
    features: ClassVar[tuple[str, ...]] = ("symbols", "words")

    max: NonNegative = 0.1
    """Maximum number of symbols per whitespace-separated word."""

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            words = counts(batch, "words", "words")
            symbols = sum((counts(batch, "symbols", name) for name in SYMBOLS), np.zeros(len(words), np.int64))
            return pa.array((words > 0) & (symbols / np.maximum(words, 1) <= self.max))

        return keep


@dataclasses.dataclass(frozen=True, kw_only=True)
class BulletLines(Filter):
    """Keeps documents in which at most `max_fraction` of the lines start with a bullet (● • * -).

    Source: DCLM `bullet_count_filter` (max_bullet_start_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "bullet_lines"
    features: ClassVar[tuple[str, ...]] = ("lines",)

    max_fraction: Fraction = 0.9
    """Maximum fraction of the nonblank lines."""

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: _at_most_of_lines(batch, "bullet_lines", self.max_fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EllipsisLines(Filter):
    """Keeps documents in which at most `max_fraction` of the lines end with an ellipsis ("...", ". . .", "…").

    Source: DCLM `ellipsis_count_filter` (max_ellipsis_end_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "ellipsis_lines"
    features: ClassVar[tuple[str, ...]] = ("lines",)

    max_fraction: Fraction = 0.3
    """Maximum fraction of the nonblank lines."""

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: _at_most_of_lines(batch, "ellipsis_lines", self.max_fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphabeticWords(Filter):
    """Keeps documents in which at most `max_other_fraction` of the words contain no letter; drops documents without
    words.

    Source: DCLM `alphabetic_word_ratio_filter` (max_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "alphabetic_words"
    features: ClassVar[tuple[str, ...]] = ("words",)

    max_other_fraction: Fraction = 0.2
    """Maximum fraction of the whitespace-separated words."""

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            words = counts(batch, "words", "words")
            others = words - counts(batch, "words", "alphabetic_words")
            return pa.array((words > 0) & (others / np.maximum(words, 1) <= self.max_other_fraction))

        return keep


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopWords(Filter):
    """Keeps documents with at least `min_count` English stop words: the, be, to, of, and, that, have, with.

    A whitespace-separated word counts if its lowercase form is one of them, punctuation included ("the," does not
    count).

    Source: DCLM `stop_word_filter` (min_stop_word, count_unique); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "stop_words"
    version: ClassVar[int] = 2
    features: ClassVar[tuple[str, ...]] = ("words",)

    min_count: Count = 2
    """Minimum number of stop words."""
    unique: bool = False
    """Count distinct stop words instead of all occurrences."""

    def open(self, context: Context) -> FilterFunction:
        number = "stop_word_kinds" if self.unique else "stop_words"
        return lambda batch: pa.array(counts(batch, "words", number) >= self.min_count)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphanumericRatio(Filter):
    """Keeps documents in which at least `min_fraction` of the characters, including whitespace, are alphanumeric.

    Empty documents are dropped.

    Source: DCLM `alphanumeric_char_ratio_filter`, whose argument `max_alnum_ratio` is this minimum fraction.
    """

    name: ClassVar[str] = "alphanumeric_ratio"
    version: ClassVar[int] = 2
    features: ClassVar[tuple[str, ...]] = ("words",)

    min_fraction: Fraction = 0.25
    """Minimum fraction of the code points."""

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            chars = counts(batch, "words", "chars")
            fraction = counts(batch, "words", "alnum_chars") / np.maximum(chars, 1)
            return pa.array((chars > 0) & (fraction >= self.min_fraction))

        return keep


def _at_most_of_lines(batch: pa.RecordBatch, number: str, fraction: float) -> pa.BooleanArray:
    return pa.array(counts(batch, "lines", number) <= fraction * counts(batch, "lines", "lines"))
