"""The document statistics of Gopher's quality filter, each as a step, as used by DCLM-RefinedWeb."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.config import Count, Fraction, NonNegative
from dclm.curate.measured import MeasuringFilter
from dclm.curate.quantity import Rule, at_least, at_most, unless, where
from dclm.curate.step import Context
from dclm.filters.rules.by_language import LimitsByLanguage, check_column, check_limits, limit
from dclm.filters.rules.length import WORD_FEATURES, WordKind
from dclm.filters.rules.stop_words import BY_LANGUAGE, StopWordKind, check_list, count_stop_words
from dclm.text.counting.counts import SYMBOLS
from dclm.text.features import counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class SymbolRatio(MeasuringFilter):
    """Keeps documents with at most `max` symbols ("#", "...", ". . .", "…") per word; drops documents without words.

    Source: DCLM `symbol_ratio_filter` (max_symbol_to_word_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "symbol_ratio"
    version: ClassVar[int] = 2

    max: NonNegative = 0.1
    """Maximum number of symbols per word."""
    words: WordKind = "whitespace"
    """Definition of a word: see `page_length`."""

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the definition of a word
        return ("symbols", WORD_FEATURES[self.words, False][0])

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        def rule(batch: pa.RecordBatch) -> Rule:
            words = counts(batch, *WORD_FEATURES[self.words, False])
            symbols = sum((counts(batch, "symbols", name) for name in SYMBOLS), np.zeros(len(words), np.int64))
            return where(words > 0, at_most("max", symbols / np.maximum(words, 1), self.max))

        return rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class BulletLines(MeasuringFilter):
    """Keeps documents in which at most `max_fraction` of the lines start with a bullet (● • * -).

    Source: DCLM `bullet_count_filter` (max_bullet_start_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "bullet_lines"
    features: ClassVar[tuple[str, ...]] = ("lines",)

    max_fraction: Fraction = 0.9
    """Maximum fraction of the nonblank lines."""

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        return lambda batch: _at_most_of_lines(batch, "bullet_lines", self.max_fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EllipsisLines(MeasuringFilter):
    """Keeps documents in which at most `max_fraction` of the lines end with an ellipsis ("...", ". . .", "…").

    Source: DCLM `ellipsis_count_filter` (max_ellipsis_end_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "ellipsis_lines"
    features: ClassVar[tuple[str, ...]] = ("lines",)

    max_fraction: Fraction = 0.3
    """Maximum fraction of the nonblank lines."""

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        return lambda batch: _at_most_of_lines(batch, "ellipsis_lines", self.max_fraction)


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphabeticWords(MeasuringFilter):
    """Keeps documents in which at most `max_other_fraction` of the words contain no letter; drops documents without
    words.

    Source: DCLM `alphabetic_word_ratio_filter` (max_ratio); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "alphabetic_words"
    version: ClassVar[int] = 2

    max_other_fraction: Fraction = 0.2
    """Maximum fraction of the words."""
    words: Literal["whitespace", "unicode", "folded"] = "whitespace"
    """Definition of a word: see `page_length`."""
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict, hash=False)
    """Language → `max_other_fraction` for documents in it."""

    def __post_init__(self) -> None:
        check_limits(self.by_language, ("max_other_fraction",))

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the definition of a word
        return (WORD_FEATURES[self.words, False][0],)

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        feature, number = WORD_FEATURES[self.words, False]

        def rule(batch: pa.RecordBatch) -> Rule:
            if self.by_language:
                check_column(batch, self.name)
            most = limit(batch, self.by_language, "max_other_fraction", self.max_other_fraction)
            words = counts(batch, feature, number)
            others = words - counts(batch, feature, "alphabetic_words")
            return where(words > 0, at_most("max_other_fraction", others / np.maximum(words, 1), most))

        return rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class StopWords(MeasuringFilter):
    """Keeps documents with at least `min_count` stop words, by default the, be, to, of, and, that, have, with.

    By default a whitespace-separated word counts if its lowercase form is one of them, punctuation included ("the,"
    does not count), as in DCLM. A document whose language has no list (`stop_words: by_language`) is kept.

    Source: DCLM `stop_word_filter` (min_stop_word, count_unique); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "stop_words"
    version: ClassVar[int] = 3

    min_count: Count = 2
    """Minimum number of stop words."""
    unique: bool = False
    """Count distinct stop words instead of all occurrences."""
    stop_words: str | tuple[str, ...] = "en"
    """The language of a shipped list, `by_language` (that of the column `language`), or the words themselves."""
    words: StopWordKind = "whitespace"
    """Definition of a word: whitespace-separated, UAX #29's, or `folded`: without punctuation and invisible characters,
    so that “the” and the\u200b count. In languages without spaces, stop words count wherever they occur."""
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict, hash=False)
    """Language → `min_count` for documents in it."""

    def __post_init__(self) -> None:
        check_list(self.stop_words)
        check_limits(self.by_language, ("min_count",))

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # DCLM's own are counted with the words
        return ("words",) if self._is_reference else ()

    @property
    def _is_reference(self) -> bool:
        return self.stop_words == "en" and self.words == "whitespace"

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        def rule(batch: pa.RecordBatch) -> Rule:
            if self.by_language or self.stop_words == BY_LANGUAGE:
                check_column(batch, self.name)
            least = limit(batch, self.by_language, "min_count", self.min_count)
            if self._is_reference:
                number = counts(batch, "words", "stop_word_kinds" if self.unique else "stop_words")
                return at_least("min_count", number, least)
            found = count_stop_words(batch, self.stop_words, self.words, lower_case=True)
            return unless(~found.known, at_least("min_count", found.kinds if self.unique else found.words, least))

        return rule


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphanumericRatio(MeasuringFilter):
    """Keeps documents in which at least `min_fraction` of the characters, including whitespace, are alphanumeric.

    Empty documents are dropped.

    Source: DCLM `alphanumeric_char_ratio_filter`, whose argument `max_alnum_ratio` is this minimum fraction.
    """

    name: ClassVar[str] = "alphanumeric_ratio"
    version: ClassVar[int] = 2
    features: ClassVar[tuple[str, ...]] = ("words",)

    min_fraction: Fraction = 0.25
    """Minimum fraction of the code points."""

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        def rule(batch: pa.RecordBatch) -> Rule:
            chars = counts(batch, "words", "chars")
            fraction = counts(batch, "words", "alnum_chars") / np.maximum(chars, 1)
            return where(chars > 0, at_least("min_fraction", fraction, self.min_fraction))

        return rule


def _at_most_of_lines(batch: pa.RecordBatch, number: str, fraction: float) -> Rule:
    found, lines = counts(batch, "lines", number), counts(batch, "lines", "lines")
    passes = np.asarray(found <= fraction * lines, np.bool_)  # by a product, as in the reference
    return Rule("max_fraction", passes, found / np.maximum(lines, 1), fraction, "max")
