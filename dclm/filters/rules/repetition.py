"""Repetition inside a document: copies of lines and paragraphs, and the coverage of repeated word n-grams."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from dclm.core.config import NonNegative
from dclm.curate.quantity import Rule, at_most, unless, where
from dclm.curate.step import Bools, RuleFilter
from dclm.text.buffers import utf8
from dclm.text.counting.ngrams import SIZES
from dclm.text.features import counts

TOP_NGRAMS: Mapping[str, float] = {"2": 0.2, "3": 0.18, "4": 0.16}
REPEATED_NGRAMS: Mapping[str, float] = {"5": 0.15, "6": 0.14, "7": 0.13, "8": 0.12, "9": 0.11, "10": 0.1}
"""Source: Gopher (Rae et al. 2021), table A1, as for the other limits below."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Repetition(RuleFilter):
    """Keeps documents in which no fraction below is above its limit. A limit of null is not checked.

    Lines end at "\\n", paragraphs at "\\n\\n"; both are stripped, and blank ones are skipped. A document without any is
    dropped if there is a limit on them, and an empty document always; a document with only one passes that limit. Words
    are UAX #29's that start with a letter or a number; n-grams consist of these words, and their characters are those
    of the words.

    Source: DCLM `massive_web_repetition_filters` (skip_paragraph: null limits on paragraphs) and `repetition_filter`.
    """

    name: ClassVar[str] = "repetition"
    version: ClassVar[int] = 4

    ignore_case: bool = False
    """Whether to convert everything to lower case first."""
    copies: Literal["all", "extra"] = "all"
    """Which copies of repeated lines or paragraphs count: all, as in the reference, so that a line that occurs twice
    counts twice; or all but the first, as intended for Gopher's limits."""
    max_line_fraction: NonNegative | None = 0.3
    """Maximum fraction of lines that occur more than once, among all lines."""
    max_line_char_fraction: NonNegative | None = 0.2
    """Maximum fraction of characters in them, among those in all lines."""
    max_paragraph_fraction: NonNegative | None = 0.3
    """Maximum fraction of paragraphs that occur more than once, among all paragraphs."""
    max_paragraph_char_fraction: NonNegative | None = 0.2
    """Maximum fraction of characters in them, among those in all paragraphs."""
    top_ngrams: Mapping[str, NonNegative] = dataclasses.field(default_factory=lambda: TOP_NGRAMS)
    """n → limit: occurrences × characters of the most frequent n-gram (the longest of equally frequent ones), as a
    fraction of the characters in all words. Overlapping occurrences all count, so this can exceed 1."""
    repeated_ngrams: Mapping[str, NonNegative] = dataclasses.field(default_factory=lambda: REPEATED_NGRAMS)
    """n → limit: characters of words inside any n-gram that occurs more than once, as a fraction of the characters in
    all words."""

    def __post_init__(self) -> None:
        check_sizes(self.top_ngrams, self.repeated_ngrams)

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # only what is needed is counted
        used = {
            "line_copies": (self.max_line_fraction, self.max_line_char_fraction) != (None, None),
            "paragraph_copies": (self.max_paragraph_fraction, self.max_paragraph_char_fraction) != (None, None),
            "ngrams": bool(self.top_ngrams or self.repeated_ngrams),
        }
        return tuple(self._feature(name) for name, is_used in used.items() if is_used)

    def _feature(self, name: str) -> str:
        return f"lower_{name}" if self.ignore_case else name

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        yield "empty", np.diff(utf8(batch["text"]).offsets) > 0
        for of, limit, char_limit in (
            ("line", self.max_line_fraction, self.max_line_char_fraction),
            ("paragraph", self.max_paragraph_fraction, self.max_paragraph_char_fraction),
        ):
            feature, counted = self._feature(f"{of}_copies"), "repeated" if self.copies == "all" else "extra"
            for rule, part, whole, most in (
                (f"max_{of}_fraction", counted, "segments", limit),
                (f"max_{of}_char_fraction", f"{counted}_chars", "chars", char_limit),
            ):
                if most is not None:
                    num = counts(batch, feature, "segments")
                    fraction = _fraction(counts(batch, feature, part), counts(batch, feature, whole))
                    yield unless(num == 1, where(num > 0, at_most(rule, fraction, most)))
        feature = self._feature("ngrams")
        for kind, limits in (("top", self.top_ngrams), ("repeated", self.repeated_ngrams)):
            for n, most in limits.items():
                chars = counts(batch, feature, f"{kind}_{n}_gram_chars")
                yield at_most(f"{kind}_ngrams: {n}", _fraction(chars, counts(batch, feature, "word_chars")), most)


def check_sizes(*limits: Mapping[str, float]) -> None:
    """Raises: ValueError for an n that is not counted."""
    for n in (n for ngrams in limits for n in ngrams if n not in map(str, SIZES)):
        raise ValueError(f"found n-grams of {n} words, allowed: {SIZES[0]} … {SIZES[-1]}")


def _fraction(part: NDArray[np.int64], whole: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.asarray(part / np.maximum(whole, 1), np.float64)
