"""Keeps pages that do not contain certain strings: bad words, "lorem ipsum", curly brackets."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import strings, to_list
from dclm.curate.step import Context, Filter, FilterFunction
from dclm.filters.lines.patterns import literal
from dclm.filters.url.word_lists import check_source, load_words
from dclm.filters.url.word_trie import build_trie, count_distinct
from dclm.text.buffers import utf8
from dclm.text.lower import lower
from dclm.text.unicode import class_table

_LOWERS_TO_ASCII = "[\u0130\u212a]"  # characters whose str.lower() contains an ASCII letter


@dataclasses.dataclass(frozen=True, kw_only=True)
class BlockedWords(Filter):
    """Drops pages whose text contains an entry of a list, ignoring case by converting both to lower case.

    Source: C4 (bad words, "lorem ipsum", "{"); DCLM's `substring_filter`, whose entries are regular expressions by
    mistake: here they are literal, except for `dot_matches_any`. Blank lines of a list are skipped.
    """

    name: ClassVar[str] = "blocked_words"
    version: ClassVar[int] = 2

    list_: str | None = None
    """A list with one entry per line, plain or gzip: asset name or path."""
    words: tuple[str, ...] = ()
    """The entries themselves, instead of `list`."""
    whole_word: bool = False
    """Match entries only between word boundaries."""
    location: Literal["any", "prefix", "suffix"] = "any"
    """Where in the page an entry must be. A suffix may be followed by one newline."""
    dot_matches_any: bool = False
    """`.` in an entry matches any character except a newline, as in the reference."""
    case_sensitive: bool = False
    """Whether `A` and `a` are distinguished."""

    def __post_init__(self) -> None:
        check_source(self.list_, self.words)

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.list_,) if self.list_ is not None else ()

    def open(self, context: Context) -> FilterFunction:
        words = load_words(context, self.list_, self.words)
        words = words if self.case_sensitive else [word.lower() for word in words]
        wild = self.dot_matches_any and any("." in word for word in words)
        if self.location == "any" and not wild:
            return _open_trie(words, self.whole_word, self.case_sensitive)
        pattern = self._pattern(words)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            text = strings(batch["text"]) if self.case_sensitive else lower(strings(batch["text"]))
            return pa.array([pattern.search(page) is None for page in to_list(text)], pa.bool_())

        return keep

    def _pattern(self, words: list[str]) -> re.Pattern[str]:
        pattern = f"(?:{'|'.join(literal(word, self.dot_matches_any) for word in words)})"
        pattern = rf"\b{pattern}\b" if self.whole_word else pattern
        return re.compile({"prefix": f"^{pattern}", "suffix": f"{pattern}$"}.get(self.location, pattern))


def _open_trie(words: list[str], whole: bool, case_sensitive: bool) -> FilterFunction:
    trie, classes = build_trie(words), class_table()
    nodes = (trie.first, trie.edges, trie.targets, trie.word)
    other_case = _LOWERS_TO_ASCII if all(word.isascii() for word in words) else "[^\\x00-\\x7f]"

    def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
        text = strings(batch["text"])
        if not case_sensitive:
            text = lower(text, pc.match_substring_regex(text, other_case))
        data, offsets = utf8(text)
        return pa.array(np.equal(count_distinct(data, offsets, classes, whole, 1, *nodes), 0))

    return keep
