"""Gopher's rules as published in its paper and used by FineWeb, where the reference's mappers count differently."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.config import Count, Fraction, NonNegative
from dclm.curate.quantity import Rule, at_least, at_most, unless
from dclm.curate.step import Bools, RuleFilter
from dclm.filters.rules.by_language import LimitsByLanguage, check_column, check_limits, limit
from dclm.filters.rules.repetition import REPEATED_NGRAMS, TOP_NGRAMS, check_sizes
from dclm.filters.rules.stop_words import BY_LANGUAGE, check_list, count_stop_words
from dclm.text.features import counts

_QUALITY_LIMITS = (
    "min_words", "max_words", "min_word_length", "max_word_length", "max_symbols_per_word", "max_bullet_lines",
    "max_ellipsis_lines", "min_alphabetic_words", "min_stop_words",
)  # fmt: skip
_REPETITION_LIMITS = (
    "max_line_fraction", "max_line_char_fraction", "max_paragraph_fraction", "max_paragraph_char_fraction",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class GopherQuality(RuleFilter):
    """Keeps documents that pass all of Gopher's quality rules. Words are UAX #29's, without whitespace.

    Other languages: `stop_words: by_language` uses those of each document's own language, and limits may differ per
    language, because a Chinese word here is a single character. A document whose language has no list passes that rule.

    Source: Gopher (Rae et al. 2021), A1.1; datatrove 0.10.1, `GopherQualityFilter`. Differences: words are not spaCy's;
    the rules on the number and mean length of words use those that start with a letter or a number, instead of those
    with a character outside a list of punctuation; only "\\n" ends a line; a document without words is dropped.
    """

    name: ClassVar[str] = "gopher_quality"
    version: ClassVar[int] = 3

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
    """Minimum number of distinct stop words, compared case-sensitively unless words are folded."""
    stop_words: str | tuple[str, ...] = "en"
    """The language of a shipped list (en: Gopher's eight), `by_language` (that of the column `language`), or the words
    themselves."""
    words: Literal["unicode", "folded"] = "unicode"
    """Definition of a word: see `page_length`. Folded words have no punctuation or invisible characters."""
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict)
    """Language → limits for documents in it, such as `zh: {min_word_length: 1}`."""

    def __post_init__(self) -> None:
        check_list(self.stop_words)
        check_limits(self.by_language, _QUALITY_LIMITS)

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on the definition of a word
        return (f"{self.words}_words", "symbols", "lines")

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        if self.by_language or self.stop_words == BY_LANGUAGE:
            check_column(batch, self.name)
        feature = f"{self.words}_words"
        limits = {name: limit(batch, self.by_language, name, getattr(self, name)) for name in _QUALITY_LIMITS}
        words, plain = counts(batch, feature, "words"), counts(batch, feature, "alnum_words")
        length = _share(counts(batch, feature, "alnum_word_chars"), plain)
        lines = counts(batch, "lines", "all_lines")
        dots = counts(batch, "symbols", "dots") + counts(batch, "symbols", "ellipsis_signs")
        alphabetic = _share(counts(batch, feature, "alphabetic_words"), words)
        yield "empty", words > 0
        yield at_least("min_words", plain, limits["min_words"])
        yield at_most("max_words", plain, limits["max_words"])
        yield at_least("min_word_length", length, limits["min_word_length"])
        yield at_most("max_word_length", length, limits["max_word_length"])
        for signs in (counts(batch, "symbols", "hash_signs"), dots):
            yield at_most("max_symbols_per_word", _share(signs, words), limits["max_symbols_per_word"])
        bullets, ellipses = (counts(batch, "lines", f"gopher_{of}_lines") for of in ("bullet", "ellipsis"))
        yield at_most("max_bullet_lines", _share(bullets, lines), limits["max_bullet_lines"])
        yield at_most("max_ellipsis_lines", _share(ellipses, lines), limits["max_ellipsis_lines"])
        yield at_least("min_alphabetic_words", alphabetic, limits["min_alphabetic_words"])
        if self.stop_words == "en":
            yield at_least("min_stop_words", counts(batch, feature, "stop_word_kinds"), limits["min_stop_words"])
        else:
            found = count_stop_words(batch, self.stop_words, self.words, lower_case=False)
            yield unless(~found.known, at_least("min_stop_words", found.kinds, limits["min_stop_words"]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class GopherRepetition(RuleFilter):
    """Keeps documents in which no fraction below is above its limit. A limit of null is not checked.

    Unlike in `repetition`, the first copy does not count, characters are divided by those of the whole text, and the
    characters covered by repeated n-grams are found by continuing after each one. Empty documents are dropped.

    Source: Gopher (Rae et al. 2021), table A1; datatrove 0.10.1, `GopherRepetitionFilter`. Differences: words are UAX
    #29's without whitespace, not spaCy's; n-grams are equal if their words are, not if their concatenations are.
    """

    name: ClassVar[str] = "gopher_repetition"
    version: ClassVar[int] = 2
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
    by_language: LimitsByLanguage = dataclasses.field(default_factory=dict)
    """Language → limits for documents in it, for those that are checked: `max_line_fraction` …, `top_2_grams` …,
    `duplicate_5_grams` …."""

    def __post_init__(self) -> None:
        check_sizes(self.top_ngrams, self.duplicate_ngrams)
        fractions = [name for name in _REPETITION_LIMITS if getattr(self, name) is not None]
        top, duplicate = ([f"{of}_{n}_grams" for n in getattr(self, f"{of}_ngrams")] for of in ("top", "duplicate"))
        check_limits(self.by_language, (*fractions, *top, *duplicate))

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        if self.by_language:
            check_column(batch, self.name)
        yield "empty", counts(batch, "gopher_copies", "chars") > 0
        for rule, name, fraction, most in self._fractions(batch):
            if most is not None:
                yield at_most(rule, fraction, limit(batch, self.by_language, name, most))

    def _fractions(self, batch: pa.RecordBatch) -> Iterator[tuple[str, str, NDArray[np.float64], float | None]]:
        """Rule, name of its limit, fraction of each document, the limit."""
        chars = counts(batch, "gopher_copies", "chars")
        most: float | None
        for of, most, most_chars in (
            ("line", self.max_line_fraction, self.max_line_char_fraction),
            ("paragraph", self.max_paragraph_fraction, self.max_paragraph_char_fraction),
        ):
            duplicates = counts(batch, "gopher_copies", f"duplicate_{of}s")
            rule, chars_rule = f"max_{of}_fraction", f"max_{of}_char_fraction"
            yield rule, rule, _share(duplicates, counts(batch, "gopher_copies", f"{of}s")), most
            copied = counts(batch, "gopher_copies", f"duplicate_{of}_chars")
            yield chars_rule, chars_rule, _share(copied, chars), most_chars
        for kind, limits in (("top", self.top_ngrams), ("duplicate", self.duplicate_ngrams)):
            for n, most in limits.items():
                covered = counts(batch, "gopher_ngrams", f"{kind}_{n}_gram_chars")
                yield f"{kind}_ngrams: {n}", f"{kind}_{n}_grams", _share(covered, chars), most


def _share(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
