"""Edits that keep or remove each line of a page independently, by counting its characters or words."""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.arrow import strings
from dclm.core.config import Count, Fraction, Positive
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import string_array, with_edits
from dclm.filters.lines.table import Lines, any_to_strip, join_lines, split_lines
from dclm.filters.rules.length import WordKind
from dclm.text.buffers import utf8
from dclm.text.counting.segments import count_chars
from dclm.text.kernels import lean
from dclm.text.swar import count_ones, eight, in_range, not_ascii, skip_letters
from dclm.text.unicode import DIGIT, SPACE, UPPER, character_before, class_table, decode
from dclm.text.words import is_separator, is_space, next_word

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]
Mask = NDArray[np.bool_]
Choose = Callable[[Bytes, Lines], Mask]
"""From a batch's bytes and lines to a mask of the lines to keep."""
_UNLIMITED = (1 << 31) - 1


class LineFilter(Map):
    """Removes lines; a page left empty is dropped. `_edits` counts the removed lines."""

    strips: ClassVar[bool] = True
    """Whether the reassembled text is stripped, which also changes pages that lose no line."""

    @abstractmethod
    def open_lines(self, context: Context) -> Choose:
        """The function that decides which lines are kept."""

    def open(self, context: Context) -> MapFunction:
        choose, classes = self.open_lines(context), class_table()

        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = strings(batch["text"])
            data, offsets = utf8(text)
            lines = Lines(*split_lines(data, offsets))
            kept = choose(data, lines)
            if kept.all() and not (self.strips and any_to_strip(data, offsets, classes)):
                return with_edits(batch, text, pa.array(np.zeros(len(text), np.int64)), pa.array(np.diff(offsets) == 0))
            out, out_offsets, removed = join_lines(data, *lines, kept, self.strips, classes)
            lengths = np.diff(out_offsets)
            if not np.array_equal(lengths, np.diff(offsets)):
                text = string_array(out, out_offsets)
            return with_edits(batch, text, pa.array(removed), pa.array(lengths == 0))

        return edit


def choose_by(kernel: Callable[..., None], *options: float) -> Choose:
    """Keep the lines for which `kernel(data, starts, ends, *options, classes, keep)` leaves True in `keep`."""
    classes = class_table()

    def choose(data: Bytes, lines: Lines) -> Mask:
        keep = np.ones(len(lines.starts), np.bool_)
        kernel(data, lines.starts, lines.ends, *options, classes, keep)
        return keep

    return choose


@lean
def _class_fraction_at_most(
    data: Bytes, starts: Ints, ends: Ints, flag: int, most: float, classes: Classes, keep: Mask
) -> None:
    """Per line, whether it is empty or at most this fraction of its characters has the class `flag`.

    In ASCII, the class must be one range, as digits and capital letters are.
    """
    low = high = -1  # of ASCII, the class has all from `low` to `high`
    for code in range(128):
        if classes[code] & flag:
            low, high = code if low < 0 else low, code
    for line in range(len(starts)):
        at, end = int(starts[line]), int(ends[line])
        length = end - at
        hits, others = 0, np.uint64(0)
        while at < end:
            word = eight(data, at, end)
            hits += count_ones(in_range(word, low, high))
            others |= not_ascii(word)
            at += 8
        if others != 0:
            at = int(starts[line])
            length = hits = 0
            while at < end:
                code, at = decode(data, at, end)
                hits += (classes[code] & flag) != 0
                length += 1
        keep[line] = length == 0 or hits / length <= most


@dataclasses.dataclass(frozen=True, kw_only=True)
class UppercaseLines(LineFilter):
    """Removes lines with too many capital letters.

    Source: RefinedWeb (arXiv 2306.01116, appendix G.2); DCLM's `uppercase_ratio_line_modifier`.
    """

    name: ClassVar[str] = "uppercase_lines"

    max_ratio: Fraction = 0.5
    """Maximum fraction of uppercase letters among all characters of a kept line."""

    def open_lines(self, context: Context) -> Choose:
        return choose_by(_class_fraction_at_most, UPPER, self.max_ratio)


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumericLines(LineFilter):
    """Removes lines with too many digits.

    Source: RefinedWeb (appendix G.2); DCLM's `numeric_ratio_line_modifier`. Only digits count: "1,000" stays.
    """

    name: ClassVar[str] = "numeric_lines"

    max_ratio: Fraction = 0.999999
    """Maximum fraction of digits (`str.isdigit`) among all characters of a kept line."""

    def open_lines(self, context: Context) -> Choose:
        return choose_by(_class_fraction_at_most, DIGIT, self.max_ratio)


@lean
def _count_words_of(data: Bytes, starts: Ints, ends: Ints, classes: Classes, counts: Ints, longest: Ints) -> None:
    for line in range(len(starts)):
        place, end = int(starts[line]), int(ends[line])
        words = length = most = 0
        while place < end:
            code, after = int(data[place]), place + 1
            if code >= 0x80:
                code, after = decode(data, place, end)
            if (classes[code] & SPACE) != 0:
                most = max(most, length)
                length = 0
                place = after
            else:
                words += length == 0
                place = skip_letters(data, after, end)
                length += 1 + place - after
        counts[line], longest[line] = words, max(most, length)


@njit(cache=True, nogil=True)
def count_words(data: Bytes, starts: Ints, ends: Ints, classes: Classes) -> tuple[Ints, Ints]:
    """Per line, the number of its `str.split()` words and the length of the longest, in characters."""
    counts, longest = np.empty(len(starts), np.int32), np.empty(len(starts), np.int32)
    _count_words_of(data, starts, ends, classes, counts, longest)
    return counts, longest


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineWords(LineFilter):
    """Removes lines by their number of whitespace-separated words; empty lines are kept.

    Source: C4 (`min: 5`), RefinedWeb (`min: 2`); DCLM's `line_length_modifier`.
    """

    name: ClassVar[str] = "line_words"
    strips: ClassVar[bool] = False

    min: Count = 0
    """Lines with fewer words are removed, including those with only whitespace."""
    max: Count | None = None
    """Lines with more words are removed."""

    def open_lines(self, context: Context) -> Choose:
        classes, most = class_table(), _UNLIMITED if self.max is None else self.max

        def choose(data: Bytes, lines: Lines) -> Mask:
            counts, _ = count_words(data, lines.starts, lines.ends, classes)
            chosen: Mask = ((counts >= self.min) & (counts <= most)) | (lines.starts == lines.ends)
            return chosen

        return choose


@lean
def _short_words(data: Bytes, starts: Ints, ends: Ints, unicode: bool, most: int, classes: Classes, keep: Mask) -> None:
    """Per line, whether all UAX #29 words, or fastText's tokens, are whitespace or have at most `most` characters."""
    for line in range(len(starts)):
        place, end, longest = int(starts[line]), int(ends[line]), 0
        while place < end:
            start = place
            if unicode:
                place, length, _ = next_word(data, start, end, classes)
            else:
                while place < end and not is_separator(data[place]):
                    place += 1
                length = count_chars(data, start, place)
            if length > longest and not is_space(data, start, place, classes):
                longest = length
            place += place == start  # for a separator
        keep[line] = longest <= most


@dataclasses.dataclass(frozen=True, kw_only=True)
class LongWordLines(LineFilter):
    """Removes lines that have a word longer than `max_length` characters.

    Source: C4's code; DCLM's `word_length_modifier` (max_length, model).
    """

    name: ClassVar[str] = "long_word_lines"
    version: ClassVar[int] = 2
    strips: ClassVar[bool] = False

    max_length: Positive = 1000
    """Maximum number of characters in a word."""
    words: WordKind = "whitespace"
    """Definition of a word: see `page_length`."""

    def open_lines(self, context: Context) -> Choose:
        classes = class_table()

        def choose(data: Bytes, lines: Lines) -> Mask:
            _, longest = count_words(data, lines.starts, lines.ends, classes)
            chosen: Mask = longest <= self.max_length
            return chosen

        if self.words == "whitespace":
            return choose
        return choose_by(_short_words, self.words == "unicode", self.max_length)


@lean
def _ends_in_punctuation(data: Bytes, starts: Ints, ends: Ints, ellipses: bool, classes: Classes, keep: Mask) -> None:
    for line in range(len(starts)):
        start, end = int(starts[line]), int(ends[line])
        if start == end:
            continue
        code, place = character_before(data, start, end)
        while place > start and (classes[code] & SPACE) != 0:
            end = place
            code, place = character_before(data, start, end)
        terminal = code == 0x2E or code == 0x21 or code == 0x3F or code == 0x22 or code == 0x2026
        dots = end - start >= 3 and data[end - 1] == 0x2E and data[end - 2] == 0x2E and data[end - 3] == 0x2E
        keep[line] = terminal and (ellipses or not (dots or code == 0x2026))


@dataclasses.dataclass(frozen=True, kw_only=True)
class PunctuationLines(LineFilter):
    """Keeps lines whose last non-whitespace character is one of `. ! ? " …`, and empty lines.

    Source: C4; DCLM's `punctuation_line_modifier`.
    """

    name: ClassVar[str] = "punctuation_lines"
    strips: ClassVar[bool] = False

    remove_ellipses: bool = False
    """Also remove lines that end in `...` or `…`."""

    def open_lines(self, context: Context) -> Choose:
        return choose_by(_ends_in_punctuation, not self.remove_ellipses)
