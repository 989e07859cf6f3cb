"""Limits on the length of pages, words and lines."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.core.arrow import strings
from dclm.core.config import Count, NonNegative, Range
from dclm.curate.measured import MeasuringFilter
from dclm.curate.quantity import Rule, at_least, at_most, where
from dclm.curate.step import Bools, Context, RuleFilter
from dclm.filters.rules.by_language import LimitsByLanguage, check_column, check_limits, limit
from dclm.text.features import counts

WordKind = Literal["fasttext", "unicode", "whitespace", "folded"]

WORD_FEATURES: dict[tuple[WordKind, bool], tuple[str, str]] = {
    ("fasttext", False): ("tokens", "tokens"),
    ("fasttext", True): ("tokens", "token_words"),
    ("unicode", False): ("unicode_words", "words"),
    ("unicode", True): ("unicode_words", "alnum_words"),
    ("folded", False): ("folded_words", "words"),
    ("folded", True): ("folded_words", "alnum_words"),
    ("whitespace", False): ("words", "words"),
    ("whitespace", True): ("words", "alnum_words"),
}
"""Kind of word, and whether only those that start alphanumeric count → feature and its field."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PageLength(RuleFilter):
    """Keeps documents of `min` … `max` characters, words, lines or paragraphs, inclusive.

    Lines end at "\\n", paragraphs at "\\n\\n"; blank ones do not count. Characters are code points.

    Source: DCLM `page_length_filter` (length_type, min_length, max_length, ignore_punctuation, model).
    """

    name: ClassVar[str] = "page_length"
    version: ClassVar[int] = 4

    of: Literal["char", "word", "line", "paragraph"] = "word"
    """Unit to count."""
    min: Count = 1
    """Minimum number."""
    max: Count | None = None
    """Maximum number; null: no maximum."""
    words: WordKind = "fasttext"
    """Definition of a word: fastText's tokens (including "\\n", but no other whitespace), UAX #29 words, or
    whitespace-separated words."""
    ignore_punctuation: bool = False
    """Count only words whose first character is a letter or a number."""
    count_blank: bool = False
    """Also count blank lines and paragraphs, including the one after a trailing separator."""

    def __post_init__(self) -> None:
        _check_order(self.min, self.max)
        if self.count_blank and self.of not in ("line", "paragraph"):
            raise ValueError("`count_blank` is for `of: line` and `of: paragraph`")

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on what is counted
        return () if self.count_blank else (self._count[0],)

    @property
    def _count(self) -> tuple[str, str]:
        if self.of == "word":
            return WORD_FEATURES[self.words, self.ignore_punctuation]
        return {"char": ("words", "chars"), "line": ("lines", "lines"), "paragraph": ("lines", "paragraphs")}[self.of]

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        if self.count_blank:
            found = _num_pieces(strings(batch["text"]), "\n" if self.of == "line" else "\n\n")
        else:
            found = counts(batch, *self._count)
        yield at_least("min", found, self.min)
        if self.max is not None:
            yield at_most("max", found, self.max)


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordLength(RuleFilter):
    """Keeps documents whose words have a mean length in [min, max]; drops documents without words.

    Source: DCLM `word_length_filter` (min_length, max_length); Gopher (Rae et al. 2021), A1.1.
    """

    name: ClassVar[str] = "word_length"
    version: ClassVar[int] = 2

    min: NonNegative = 3.0
    """Minimum mean length in code points."""
    max: NonNegative | None = 10.0
    """Maximum mean length in code points; null: no maximum."""
    words: Literal["whitespace", "unicode", "folded"] = "whitespace"
    """Definition of a word: see `page_length`; of UAX #29 and whitespace-separated words, only those that begin with a
    letter or a number."""
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict, hash=False)
    """Language → limits for documents in it, such as `zh: {min: 1}`."""

    def __post_init__(self) -> None:
        _check_order(self.min, self.max)
        check_limits(self.by_language, ("min",) if self.max is None else ("min", "max"))

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the definition of a word
        return (WORD_FEATURES[self.words, False][0],)

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        if self.by_language:
            check_column(batch, self.name)
        plain = self.words == "whitespace"
        feature, number = WORD_FEATURES[self.words, not plain]
        words = counts(batch, feature, number)
        mean = counts(batch, feature, "word_chars" if plain else "alnum_word_chars") / np.maximum(words, 1)
        yield "empty", words > 0
        yield at_least("min", mean, limit(batch, self.by_language, "min", self.min))
        if self.max is not None:
            yield at_most("max", mean, limit(batch, self.by_language, "max", self.max))


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineLength(MeasuringFilter):
    """Keeps documents whose longest (or mean) line has at most `max` code points; drops empty documents.

    Lines are those of `str.splitlines`, which also end at "\\r", U+2028 and others. Blank ones count.

    Source: DCLM `line_length_filter` (length_type, max_length), for code as in RedPajama.
    """

    name: ClassVar[str] = "line_length"
    version: ClassVar[int] = 2
    features: ClassVar[tuple[str, ...]] = ("split_lines",)

    of: Literal["max", "avg"] = "max"
    """Use the longest line or the mean of all lines."""
    max: Annotated[float, Range(0)] = 1000.0
    """Maximum number of code points."""

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        def measure(batch: pa.RecordBatch) -> Rule:
            lines = counts(batch, "split_lines", "lines")
            if self.of == "max":
                rule = at_most("max", counts(batch, "split_lines", "longest"), self.max)
            else:
                mean = counts(batch, "split_lines", "chars") / np.maximum(lines, 1)
                rule = at_most("max", mean, self.max)
            return where(lines > 0, rule)

        return measure


def _check_order(low: float, high: float | None) -> None:
    if high is not None and low > high:
        raise ValueError(f"min is {low:g} and max is {high:g}, allowed: min ≤ max")


def _num_pieces(text: pa.StringArray, separator: str) -> NDArray[np.int64]:
    pieces: NDArray[np.int64] = pc.count_substring(text, separator).to_numpy(zero_copy_only=False).astype(np.int64) + 1
    return pieces
