"""Keep pages by their URL: lists of domains, and lists of words in four ways of looking for them."""

from __future__ import annotations

import dataclasses
from typing import ClassVar, Literal
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.config import Positive
from dclm.curate.step import Context, Filter, FilterFunction
from dclm.filters.url.domain_set import DomainSet
from dclm.filters.url.word_lists import check_source, fold_case, load_words
from dclm.filters.url.word_trie import build_trie, count_distinct
from dclm.text.buffers import utf8
from dclm.text.unicode import class_table

_HOSTS = ("host", "site")
_WHOLE = ("domain", *_HOSTS, "url")
_MAX_LABELS = 128  # a host name of DNS has no more
_AROUND_HOST = r"^(?:.*@)?(?i:www\.)?(.*?)(?::[0-9]*)?$"
_PLAIN_URL = r"^[a-zA-Z][a-zA-Z0-9+.\-]*://[!-Z\\^-~]+$"  # ASCII, no white space, no brackets
_AUTHORITY = r"^[a-zA-Z][a-zA-Z0-9+.\-]*://(?P<netloc>[^/?#]*).*$"


@dataclasses.dataclass(frozen=True, kw_only=True)
class UrlBlocklist(Filter):
    """Drops pages whose URL has enough different entries of a list in it. A page without URL is kept.

    Source: DCLM's `url_substring_filter`. Different here: blank lines of a list are skipped (there a blank line drops
    every page). As there, a URL whose authority cannot be parsed (`http://[`) is dropped by `match: domain`.
    """

    name: ClassVar[str] = "url_blocklist"

    list_: str | None = None
    """A list, one entry a line, plain or gzip: asset name or path."""
    words: tuple[str, ...] = ()
    """The entries themselves, instead of `list`."""
    match: Literal["domain", "host", "site", "url", "substring", "word"] = "substring"
    """domain: the authority (host, port and user, after `ignore`) is an entry; so DCLM. host: the host name without
    user, port and one leading `www.` is an entry. site: that or a domain above it is, as `b.org` is above `a.b.org`.
    url: the whole URL is. substring: an entry stands anywhere in the URL. word: an entry stands anywhere in the URL
    between word boundaries."""
    ignore: tuple[str, ...] = ()
    """Strings that are deleted, in this order, wherever they stand in what is looked at. `www` leaves `.foo.com`."""
    min_matches: Positive = 1
    """So many different entries must match. Matches do not overlap: the longest at each place counts."""
    case_sensitive: bool = False
    """Whether `A` differs from `a`."""

    def __post_init__(self) -> None:
        check_source(self.list_, self.words)
        if self.match in _WHOLE and self.min_matches > 1:
            raise ValueError(f"`min_matches` above 1 is never reached with `match: {self.match}`")

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.list_,) if self.list_ is not None else ()

    def open(self, context: Context) -> FilterFunction:
        entries = load_words(context, self.list_, self.words)
        entries = entries if self.case_sensitive else [self._fold(entry) for entry in entries]
        return self._open_whole(entries) if self.match in _WHOLE else self._open_words(entries)

    def _open_whole(self, entries: list[str]) -> FilterFunction:
        blocked = DomainSet.build([e.removeprefix("www.") for e in entries] if self.match in _HOSTS else entries)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            if self.match == "url":
                return pc.invert(blocked.contains(self._normalize(pc.fill_null(batch["url"], ""))))
            authority, broken = _authorities(batch["url"])
            if self.match in _HOSTS:
                authority = pc.replace_substring_regex(authority, _AROUND_HOST, r"\1")
            authority = self._normalize(authority)
            found = _contains_parent(blocked, authority) if self.match == "site" else blocked.contains(authority)
            return pc.invert(pc.or_(found, broken))

        return keep

    def _open_words(self, entries: list[str]) -> FilterFunction:
        trie, classes, whole = build_trie(entries), class_table(), self.match == "word"
        nodes = (trie.first, trie.edges, trie.targets, trie.word)

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            urls = utf8(self._normalize(pc.fill_null(batch["url"], "")))
            counts = count_distinct(urls.data, urls.offsets, classes, whole, self.min_matches, *nodes)
            return pa.array(counts < self.min_matches)

        return keep

    def _fold(self, value: str) -> str:
        """As the reference: first `str.lower`, and then words are searched for by `re.IGNORECASE`."""
        return value.lower() if self.match in _WHOLE else fold_case(value.lower())

    def _normalize(self, column: pa.StringArray) -> pa.StringArray:
        if not self.case_sensitive:
            ascii_only = pc.string_is_ascii(column)
            folded = pc.ascii_lower(column)
            if not pc.all(ascii_only, min_count=0).as_py():
                others = [self._fold(value) for value in column.filter(pc.invert(ascii_only)).to_pylist()]
                folded = pc.replace_with_mask(folded, pc.invert(ascii_only), pa.array(others, pa.string()))
            column = folded
        for text in self.ignore:
            column = pc.replace_substring(column, text, "") if text else column
        return column


def _contains_parent(blocked: DomainSet, hosts: pa.StringArray) -> pa.BooleanArray:
    """Which hosts are in the set themselves, or have a domain above them there."""
    found = np.zeros(len(hosts), np.bool_)
    rows = np.arange(len(hosts))
    for _ in range(_MAX_LABELS):
        found[rows] = blocked.contains(hosts).to_numpy(zero_copy_only=False)
        dotted = pc.match_substring(hosts, ".").to_numpy(zero_copy_only=False) & ~found[rows]
        if not dotted.any():
            break
        hosts, rows = pc.replace_substring_regex(hosts.filter(pa.array(dotted)), r"^[^.]*\.", ""), rows[dotted]
    return pa.array(found)


def _authorities(urls: pa.StringArray) -> tuple[pa.StringArray, pa.BooleanArray]:
    """`urlsplit(url).netloc` of each URL ("" for null), and whether it cannot be parsed."""
    urls = pc.fill_null(urls, "")
    plain = pc.match_substring_regex(urls, _PLAIN_URL)
    netloc = pc.replace_substring_regex(urls, _AUTHORITY, r"\1")
    odd = [_authority(url) for url in urls.filter(pc.invert(plain)).to_pylist()]
    netloc = pc.replace_with_mask(netloc, pc.invert(plain), pa.array([n or "" for n in odd], pa.string()))
    broken = np.zeros(len(urls), np.bool_)
    broken[~plain.to_numpy(zero_copy_only=False)] = [n is None for n in odd]
    return netloc, pa.array(broken)


def _authority(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None
