"""Keeps pages by their URL: lists of domains, and lists of words with four ways to match them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import filled, strings, to_list
from dclm.core.config import Positive
from dclm.curate.step import Context, Filter, FilterFunction
from dclm.filters.url.domain_set import DomainSet
from dclm.filters.url.word_lists import check_source, fold_case, load_words
from dclm.filters.url.word_trie import build_trie, count_distinct
from dclm.text.buffers import utf8
from dclm.text.hosts import authorities, canonical_host, canonical_urls, hosts, without_www
from dclm.text.unicode import class_table

_HOSTS = ("host", "site")
_WHOLE = ("domain", *_HOSTS, "url")
_MAX_LABELS = 128  # a DNS host name has at most this many


@dataclasses.dataclass(frozen=True, kw_only=True)
class UrlBlocklist(Filter):
    """Drops pages whose URL contains enough distinct entries of a list. A page without URL is kept.

    `host` and `site` compare host names in one canonical form (`dclm.text.hosts`): `http://BLOCKED.example.:80/` is
    `blocked.example`, and `bücher.example` is `xn--bcher-kva.example`, both in the list and in the URL. `url` compares
    the host within the URL in the same way. `domain`, `substring` and `word` compare the characters unchanged.

    Source: DCLM's `url_substring_filter`. Difference: blank lines of a list are skipped (in DCLM a blank line drops
    every page). As in DCLM, a URL whose authority cannot be parsed (`http://[`) is dropped by `match: domain`.
    """

    name: ClassVar[str] = "url_blocklist"
    version: ClassVar[int] = 2

    list_: str | None = None
    """A list with one entry per line, plain or gzip: asset name or path."""
    words: tuple[str, ...] = ()
    """The entries themselves, instead of `list`."""
    match: Literal["domain", "host", "site", "url", "substring", "word"] = "substring"
    """domain: the authority (host, port and user, after `ignore`) is an entry, character by character, as in DCLM.
    host: the canonical host name without one leading `www.` is an entry. site: that host or a domain above it is an
    entry, as `b.org` is above `a.b.org`. url: the whole URL is an entry. substring: an entry occurs anywhere in the
    URL. word: an entry occurs anywhere in the URL between word boundaries."""
    ignore: tuple[str, ...] = ()
    """Strings to delete from the compared part, in this order, wherever they occur. `www` leaves `.foo.com`."""
    min_matches: Positive = 1
    """Minimum number of distinct entries that must match. Matches do not overlap: the longest at each position
    counts."""
    case_sensitive: bool = False
    """Whether `A` and `a` are distinguished; never in host names."""

    def __post_init__(self) -> None:
        check_source(self.list_, self.words)
        if self.match in _WHOLE and self.min_matches > 1:
            raise ValueError(f"`min_matches` above 1 is never reached with `match: {self.match}`")

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.list_,) if self.list_ is not None else ()

    @property
    def reads(self) -> tuple[str, ...]:
        return ("url",)

    def open(self, context: Context) -> FilterFunction:
        entries = load_words(context, self.list_, self.words)
        entries = entries if self.case_sensitive else [self._fold(entry) for entry in entries]
        return self._open_whole(entries) if self.match in _WHOLE else self._open_words(entries)

    def _open_whole(self, entries: list[str]) -> FilterFunction:
        if self.match in _HOSTS:
            entries = [without_www(canonical_host(_without_scheme(e).removeprefix("*.").lstrip("."))) for e in entries]
        elif self.match == "url":
            entries = to_list(canonical_urls(pa.array(entries, pa.string())))
        blocked = DomainSet.build(entries)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            if self.match == "url":
                urls = canonical_urls(filled(strings(batch["url"]), ""))
                return pc.invert(blocked.contains(self._normalize(urls)))
            names, broken = authorities(strings(batch["url"]))
            if self.match in _HOSTS:
                names = filled(hosts(strings(batch["url"]), names), "")
            names = self._normalize(names)
            found = _contains_parent(blocked, names) if self.match == "site" else blocked.contains(names)
            return pc.invert(pc.or_(found, broken))

        return keep

    def _open_words(self, entries: list[str]) -> FilterFunction:
        trie, classes, whole = build_trie(entries), class_table(), self.match == "word"
        nodes = (trie.first, trie.edges, trie.targets, trie.word)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            urls = utf8(self._normalize(filled(strings(batch["url"]), "")))
            counts = count_distinct(urls.data, urls.offsets, classes, whole, self.min_matches, *nodes)
            return pa.array(counts < self.min_matches)

        return keep

    def _fold(self, value: str) -> str:
        """As in the reference: first `str.lower`, then words are searched with `re.IGNORECASE`."""
        return value.lower() if self.match in _WHOLE else fold_case(value.lower())

    def _normalize(self, column: pa.StringArray) -> pa.StringArray:
        if not self.case_sensitive:
            ascii_only = pc.string_is_ascii(column)
            folded = pc.ascii_lower(column)
            if not pc.all(ascii_only, min_count=0).as_py():
                others = [self._fold(value) for value in to_list(column.filter(pc.invert(ascii_only)))]
                folded = pc.replace_with_mask(folded, pc.invert(ascii_only), pa.array(others, pa.string()))
            column = folded
        for text in self.ignore:
            column = pc.replace_substring(column, text, "") if text else column
        return column


def _without_scheme(entry: str) -> str:
    """The authority of an entry that is a URL; any other entry unchanged."""
    return entry.partition("://")[2].partition("/")[0] if "://" in entry else entry.rstrip("/")


def _contains_parent(blocked: DomainSet, hosts: pa.StringArray) -> pa.BooleanArray:
    """Which hosts are in the set themselves, or have a domain above them in it."""
    found = np.zeros(len(hosts), np.bool_)
    rows = np.arange(len(hosts))
    for _ in range(_MAX_LABELS):
        found[rows] = blocked.contains(hosts).to_numpy(zero_copy_only=False)
        dotted = pc.match_substring(hosts, ".").to_numpy(zero_copy_only=False) & ~found[rows]
        if not dotted.any():
            break
        hosts, rows = pc.replace_substring_regex(hosts.filter(pa.array(dotted)), r"^[^.]*\.", ""), rows[dotted]
    return pa.array(found)
