"""Edits that remove lines, or parts of them, by their content."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.core.arrow import strings, to_list
from dclm.core.config import Count
from dclm.curate.step import Context, MapFunction
from dclm.filters.columns import with_edits
from dclm.filters.lines.keep import Choose, LineFilter, choose_by
from dclm.filters.lines.table import Lines
from dclm.filters.url.places import is_word
from dclm.text.counting.segments import strip
from dclm.text.kernels import lean
from dclm.text.scan import Probe, literal_probe, make_probe, matching_rows
from dclm.text.unicode import DIGIT, character_before, class_table, decode

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]
Mask = NDArray[np.bool_]

_COUNTER = re.compile(
    r"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes|downvotes"
    r"|downloads|views|followers)\W*$"
)


@lean
def _may_be_counter(data: Bytes, starts: Ints, ends: Ints, classes: Classes, maybe: Mask) -> None:
    """Per line, whether its first word character is a digit and its last one an s, as in every counter."""
    for line in range(len(starts)):
        place, end = int(starts[line]), int(ends[line])
        code = 0
        while place < end:
            code, place = decode(data, place, end)
            if is_word(code, classes):
                break
        if (classes[code] & DIGIT) == 0:
            continue
        while end > place:
            code, end = character_before(data, place, end)
            if is_word(code, classes):
                maybe[line] = code == 0x73 or code == 0x53
                break


@dataclasses.dataclass(frozen=True, kw_only=True)
class CounterLines(LineFilter):
    """Removes lines that are counters of a social network: "3 likes", "1,2k followers".

    Source: RefinedWeb (appendix G.2); DCLM's `counter_line_modifier`.
    """

    name: ClassVar[str] = "counter_lines"

    def open_lines(self, context: Context) -> Choose:
        classes = class_table()

        def choose(data: Bytes, lines: Lines) -> Mask:
            keep, maybe = np.ones(len(lines.starts), np.bool_), np.zeros(len(lines.starts), np.bool_)
            _may_be_counter(data, lines.starts, lines.ends, classes, maybe)
            for line in np.flatnonzero(maybe):
                written = data[lines.starts[line] : lines.ends[line]].tobytes().decode("utf-8", "replace")
                keep[line] = _COUNTER.search(written.lower()) is None
            return keep

        return choose


@lean
def _not_blank(data: Bytes, starts: Ints, ends: Ints, classes: Classes, keep: Mask) -> None:
    """Per line, whether it is empty or has a non-whitespace character."""
    for line in range(len(starts)):
        left, right = strip(data, int(starts[line]), int(ends[line]), classes)
        keep[line] = left < right or starts[line] == ends[line]


@dataclasses.dataclass(frozen=True, kw_only=True)
class SubstringLines(LineFilter):
    """Removes lines that contain one of some strings, or only the strings, together with one adjacent whitespace
    character each.

    Case is ignored as by `re.IGNORECASE` with lowercase strings. With `remove: substring`, lines that are then only
    whitespace are also removed, even those that contained no string.

    Source: RefinedWeb (appendix G.2), C4; DCLM's `substring_line_modifier`, whose strings are regular expressions by
    mistake. Here they are literal, except for `dot_matches_any`.
    """

    name: ClassVar[str] = "substring_lines"
    version: ClassVar[int] = 2

    words: tuple[str, ...]
    """The strings."""
    location: Literal["any", "prefix", "suffix"] = "any"
    """Where in the line a string must be."""
    max_words: Count | None = None
    """Skip lines with more whitespace-separated words than this."""
    remove: Literal["line", "substring"] = "line"
    """What to remove. The whitespace removed with a string is the one after a prefix, or else the one before the
    string."""
    dot_matches_any: bool = False
    """`.` in a string matches any character, as in the reference: "Read more..." then also matches "read more of"."""
    case_sensitive: bool = False
    """Whether `A` and `a` are distinguished."""

    def __post_init__(self) -> None:
        if not self.words or not all(self.words):
            raise ValueError("`words` must have entries, none of them empty")

    def open_lines(self, context: Context) -> Choose:
        if self.remove == "substring":
            return choose_by(_not_blank)
        return lambda data, lines: np.ones(len(lines.starts), np.bool_)

    def open(self, context: Context) -> MapFunction:
        plain = super().open(context)  # correct for every page that contains none of the strings
        wanted = self.words if self.case_sensitive else [word.lower() for word in self.words]
        words = "|".join(literal(word, self.dot_matches_any) for word in wanted)
        other_case = _MORE_CASES if words.isascii() else "[^\\x00-\\x7f]"
        anywhere = words if self.case_sensitive else f"(?i:{words})|{other_case}"
        probes = self._probes(wanted)
        pattern = re.compile(
            {"prefix": rf"^(?:{words})\s?", "suffix": rf"\s?(?:{words})$"}.get(self.location, rf"\s?(?:{words})"),
            0 if self.case_sensitive else re.IGNORECASE,
        )

        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = matching_rows(strings(batch["text"]), anywhere, probes)
            edited = plain(batch)
            if not pc.any(found, min_count=0).as_py():
                return edited
            pages = [self._edit_page(page, pattern) for page in to_list(batch["text"].filter(found))]
            text = pc.replace_with_mask(edited["text"], found, pa.array([page for page, _ in pages], pa.string()))
            edits = pc.replace_with_mask(edited["_edits"], found, pa.array([count for _, count in pages], pa.int64()))
            return with_edits(batch, text, edits, pc.equal(pc.binary_length(text), pa.scalar(0)))

        return edit

    def _probes(self, words: Sequence[str]) -> list[Probe] | None:
        """What a page with one of `words` has; None if nothing is specific enough."""
        found = [
            literal_probe(word, ignore_case=not self.case_sensitive, dot_matches_any=self.dot_matches_any)
            for word in words
        ]
        probes = [probe for probe in found if probe is not None]
        if len(probes) < len(words) or len(words) > _MOST_PROBES or not "".join(words).isascii():
            return None
        return probes if self.case_sensitive else [*probes, _DOTTED_OR_DOTLESS_I]

    def _edit_page(self, page: str, pattern: re.Pattern[str]) -> tuple[str, int]:
        kept, edits = [], 0
        for line in page.split("\n"):
            if self.max_words is not None and len(line.split(None, self.max_words)) > self.max_words:
                kept.append(line)
            elif self.remove == "line":
                if pattern.search(line):
                    edits += 1
                else:
                    kept.append(line)
            else:
                rest = pattern.sub("", line)
                edits += rest != line or (rest != "" and rest.isspace())
                if not line or (rest and not rest.isspace()):
                    kept.append(rest)
        return "\n".join(kept).strip(), edits


_MORE_CASES = "[\u0130\u0131]"  # matches i under re.IGNORECASE, but not in RE2
_DOTTED_OR_DOTLESS_I = make_probe((0, 0xC4, 0xC4), (0, 0xB0, 0xB1))
_MOST_PROBES = 4  # with more, one pass of a regular expression is faster


def literal(word: str, dot_matches_any: bool) -> str:
    """The regular expression, in the syntax of both Python and RE2, that matches `word` literally."""
    escaped = re.escape(word)
    return escaped.replace(r"\.", ".") if dot_matches_any else escaped
