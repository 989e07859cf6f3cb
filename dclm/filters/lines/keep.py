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
from dclm.text.segments import count_chars
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


@njit(cache=True, nogil=True)
def _class_fraction_at_most(
    data: Bytes, starts: Ints, ends: Ints, flag: int, most: float, classes: Classes
) -> NDArray[np.bool_]:
    """Per line, whether it is empty or at most this fraction of its characters has the class `flag`.

    In ASCII, the class must be one range, as digits and capital letters are.
    """
    keep = np.ones(len(starts), np.bool_)
    low = high = -1  # of ASCII, the class has all from `low` to `high`
    for code in range(128):
        if classes[code] & flag:
            low, high = code if low < 0 else low, code
    first, span = np.uint8(low), np.uint8(high - low)
    for line in range(len(starts)):
        start, end = np.uint64(starts[line]), np.uint64(ends[line])
        ascii_hits, others = np.int32(0), np.uint8(0)
        for at in range(start, end):  # without branches, so that it is vectorized
            ascii_hits += np.int32(np.uint8(data[at] - first) <= span)
            others |= np.uint8(data[at] & 0x80)
        length, hits = int(end - start), int(ascii_hits)
        if others:
            place, stop = int(starts[line]), int(ends[line])
            length = hits = 0
            while place < stop:
                code, place = decode(data, place, stop)
                hits += (classes[code] & flag) != 0
                length += 1
        keep[line] = length == 0 or hits / length <= most
    return keep


@dataclasses.dataclass(frozen=True, kw_only=True)
class UppercaseLines(LineFilter):
    """Removes lines with too many capital letters.

    Source: RefinedWeb (arXiv 2306.01116, appendix G.2); DCLM's `uppercase_ratio_line_modifier`.
    """

    name: ClassVar[str] = "uppercase_lines"

    max_ratio: Fraction = 0.5
    """Maximum fraction of uppercase letters among all characters of a kept line."""

    def open_lines(self, context: Context) -> Choose:
        classes = class_table()
        return lambda data, lines: _class_fraction_at_most(
            data, lines.starts, lines.ends, UPPER, self.max_ratio, classes
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumericLines(LineFilter):
    """Removes lines with too many digits.

    Source: RefinedWeb (appendix G.2); DCLM's `numeric_ratio_line_modifier`. Only digits count: "1,000" stays.
    """

    name: ClassVar[str] = "numeric_lines"

    max_ratio: Fraction = 0.999999
    """Maximum fraction of digits (`str.isdigit`) among all characters of a kept line."""

    def open_lines(self, context: Context) -> Choose:
        classes = class_table()
        return lambda data, lines: _class_fraction_at_most(
            data, lines.starts, lines.ends, DIGIT, self.max_ratio, classes
        )


@njit(cache=True, nogil=True)
def count_words(data: Bytes, starts: Ints, ends: Ints, classes: Classes) -> tuple[Ints, Ints]:
    """Per line, the number of its `str.split()` words and the length of the longest, in characters."""
    counts = np.zeros(len(starts), np.int32)
    longest = np.zeros(len(starts), np.int32)
    for line in range(len(starts)):
        place, end = starts[line], ends[line]
        words = length = most = 0
        while place < end:
            if data[place] < 0x80:
                code, place = int(data[place]), place + 1
            else:
                code, place = decode(data, place, end)
            if (classes[code] & SPACE) != 0:
                most = max(most, length)
                length = 0
            else:
                words += length == 0
                length += 1
        counts[line], longest[line] = words, max(most, length)
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


@njit(cache=True, nogil=True)
def _longest_words(data: Bytes, starts: Ints, ends: Ints, unicode: bool, classes: Classes) -> Ints:
    """Per line, the characters of its longest UAX #29 word, or of fastText's longest token, excluding whitespace."""
    longest = np.zeros(len(starts), np.int32)
    for line in range(len(starts)):
        place, end = int(starts[line]), int(ends[line])
        while place < end:
            start = place
            if unicode:
                place, length, _ = next_word(data, start, end, classes)
            else:
                while place < end and not is_separator(data[place]):
                    place += 1
                length = count_chars(data, start, place)
            if length > longest[line] and not is_space(data, start, place, classes):
                longest[line] = length
            place += place == start  # for a separator
    return longest


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
            if self.words == "whitespace":
                _, longest = count_words(data, lines.starts, lines.ends, classes)
            else:
                longest = _longest_words(data, lines.starts, lines.ends, self.words == "unicode", classes)
            chosen: Mask = longest <= self.max_length
            return chosen

        return choose


@njit(cache=True, nogil=True)
def _ends_in_punctuation(data: Bytes, starts: Ints, ends: Ints, ellipses: bool, classes: Classes) -> Mask:
    keep = np.ones(len(starts), np.bool_)
    for line in range(len(starts)):
        start, end = starts[line], ends[line]
        if start == end:
            continue
        code, place = character_before(data, start, end)
        while place > start and (classes[code] & SPACE) != 0:
            end = place
            code, place = character_before(data, start, end)
        terminal = code == 0x2E or code == 0x21 or code == 0x3F or code == 0x22 or code == 0x2026
        dots = end - start >= 3 and data[end - 1] == 0x2E and data[end - 2] == 0x2E and data[end - 3] == 0x2E
        keep[line] = terminal and (ellipses or not (dots or code == 0x2026))
    return keep


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
        classes = class_table()
        return lambda data, lines: _ends_in_punctuation(
            data, lines.starts, lines.ends, not self.remove_ellipses, classes
        )
