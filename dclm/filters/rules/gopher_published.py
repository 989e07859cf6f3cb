"""Gopher's rules as published in its paper and used by FineWeb, where the reference's mappers count differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.config import Count, Fraction, NonNegative
from dclm.curate.step import Bools, RuleFilter
from dclm.filters.rules.repetition import REPEATED_NGRAMS, TOP_NGRAMS, check_sizes
from dclm.text.features import counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class GopherQuality(RuleFilter):
    """Keeps documents that pass all of Gopher's quality rules. Words are UAX #29's, without whitespace.

    Source: Gopher (Rae et al. 2021), A1.1; datatrove 0.10.1, `GopherQualityFilter`. Differences: words are not spaCy's;
    the rules on the number and mean length of words use those that start with a letter or a number, instead of those
    with a character outside a list of punctuation; only "\\n" ends a line; a document without words is dropped.
    """

    name: ClassVar[str] = "gopher_quality"
    version: ClassVar[int] = 2
    features: ClassVar[tuple[str, ...]] = ("unicode_words", "symbols", "lines")

    min_words: Count = 50
    """Minimum number of words that start with a letter or a number."""
    max_words: Count = 100_000
    """Maximum number of these words."""
    min_word_length: NonNegative = 3.0
    """Minimum mean length of these words, in code points."""
    max_word_length: NonNegative = 10.0
    """Maximum mean length."""
    max_symbols_per_word: NonNegative = 0.1
    """Maximum number of "#", and of ellipses ("..." and "…"), per word, counting punctuation as words."""
    max_bullet_lines: Fraction = 0.9
    """Maximum fraction of lines that start with "•" or "-", among all lines, including blank ones."""
    max_ellipsis_lines: Fraction = 0.3
    """Maximum fraction of lines that end with "..." or "…", among all lines."""
    min_alphabetic_words: Fraction = 0.8
    """Minimum fraction of words with a letter, among all words, including punctuation."""
    min_stop_words: Count = 2
    """Minimum number of distinct stop words, compared case-sensitively: "The" does not count."""

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools]]:
        words, plain = counts(batch, "unicode_words", "words"), counts(batch, "unicode_words", "alnum_words")
        length = _share(counts(batch, "unicode_words", "alnum_word_chars"), plain)
        lines = counts(batch, "lines", "all_lines")
        dots = counts(batch, "symbols", "dots") + counts(batch, "symbols", "ellipsis_signs")
        alphabetic = _share(counts(batch, "unicode_words", "alphabetic_words"), words)
        yield "empty", words > 0
        yield "min_words", plain >= self.min_words
        yield "max_words", plain <= self.max_words
        yield "min_word_length", length >= self.min_word_length
        yield "max_word_length", length <= self.max_word_length
        for signs in (counts(batch, "symbols", "hash_signs"), dots):
            yield "max_symbols_per_word", _share(signs, words) <= self.max_symbols_per_word
        bullets, ellipses = (counts(batch, "lines", f"gopher_{of}_lines") for of in ("bullet", "ellipsis"))
        yield "max_bullet_lines", _share(bullets, lines) <= self.max_bullet_lines
        yield "max_ellipsis_lines", _share(ellipses, lines) <= self.max_ellipsis_lines
        yield "min_alphabetic_words", alphabetic >= self.min_alphabetic_words
        yield "min_stop_words", counts(batch, "unicode_words", "stop_word_kinds") >= self.min_stop_words


@dataclasses.dataclass(frozen=True, kw_only=True)
class GopherRepetition(RuleFilter):
    """Keeps documents in which no fraction below is above its limit. A limit of null is not checked.

    Unlike in `repetition`, the first copy does not count, characters are divided by those of the whole text, and the
    characters covered by repeated n-grams are found by continuing after each one. Empty documents are dropped.

    Source: Gopher (Rae et al. 2021), table A1; datatrove 0.10.1, `GopherRepetitionFilter`. Differences: words are UAX
    #29's without whitespace, not spaCy's; n-grams are equal if their words are, not if their concatenations are.
    """

    name: ClassVar[str] = "gopher_repetition"
    features: ClassVar[tuple[str, ...]] = ("gopher_copies", "gopher_ngrams")

    max_line_fraction: Fraction | None = 0.3
    """Maximum fraction of lines that occurred before, among all lines."""
    max_line_char_fraction: Fraction | None = 0.2
    """Maximum fraction of characters in them, among all characters."""
    max_paragraph_fraction: Fraction | None = 0.3
    """Maximum fraction of paragraphs that occurred before, among all paragraphs."""
    max_paragraph_char_fraction: Fraction | None = 0.2
    """Maximum fraction of characters in them, among all characters."""
    top_ngrams: Mapping[str, NonNegative] = dataclasses.field(default_factory=lambda: TOP_NGRAMS)
    """n → limit: occurrences × characters of the most frequent n-gram, including spaces, as a fraction of all
    characters."""
    duplicate_ngrams: Mapping[str, NonNegative] = dataclasses.field(default_factory=lambda: REPEATED_NGRAMS)
    """n → limit: characters of n-grams that occurred before, as a fraction of all characters."""

    def __post_init__(self) -> None:
        check_sizes(self.top_ngrams, self.duplicate_ngrams)

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools]]:
        yield "empty", counts(batch, "gopher_copies", "chars") > 0
        for rule, fraction, most in self._fractions(batch):
            if most is not None:
                yield rule, fraction <= most

    def _fractions(self, batch: pa.RecordBatch) -> Iterator[tuple[str, NDArray[np.float64], float | None]]:
        chars = counts(batch, "gopher_copies", "chars")
        for of, most, most_chars in (
            ("line", self.max_line_fraction, self.max_line_char_fraction),
            ("paragraph", self.max_paragraph_fraction, self.max_paragraph_char_fraction),
        ):
            duplicates = counts(batch, "gopher_copies", f"duplicate_{of}s")
            yield f"max_{of}_fraction", _share(duplicates, counts(batch, "gopher_copies", f"{of}s")), most
            copied = counts(batch, "gopher_copies", f"duplicate_{of}_chars")
            yield f"max_{of}_char_fraction", _share(copied, chars), most_chars
        for kind, limits in (("top", self.top_ngrams), ("duplicate", self.duplicate_ngrams)):
            for n, limit in limits.items():
                covered = counts(batch, "gopher_ngrams", f"{kind}_{n}_gram_chars")
                yield f"{kind}_ngrams: {n}", _share(covered, chars), limit


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
