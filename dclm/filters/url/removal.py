"""Deletes URLs and IPv4 addresses from the text of a page."""

from __future__ import annotations

import dataclasses
import re
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from dclm.core.arrow import strings, to_list
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import string_array, with_edits
from dclm.filters.url.word_lists import fold_case, load_words
from dclm.filters.url.word_trie import build_trie, longest_word
from dclm.text.buffers import utf8
from dclm.text.scan import make_probe, matching_rows
from dclm.text.unicode import SPACE, character_before, class_table

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]

_HOST = 1
_TAIL = 2
_KIND = np.zeros(256, np.uint8)
_KIND[[ord(c) for c in "()@:%_+.~#?&/=-"]] = _TAIL
_KIND[[*range(48, 58), *range(65, 91), *range(97, 123)]] = _HOST | _TAIL
_KIND[[ord(c) for c in "-@:%._+~#="]] = _HOST | _TAIL
_MAX_HOST = 256  # number of characters searched before the dot, as in the reference's expression
_MAX_SPACES = 10
_DOT = 46
_IPV4 = re.compile(r"\s{0,10}\b((https?|ftp)://)?(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}[-a-zA-Z0-9()@:%_+.~#?&/=]*")
_IPV4_MARK = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
_DIGIT, _POINT = (0, 48, 57), (0, _DOT, _DOT)
_IPV4_PROBES = [make_probe(_DIGIT, _POINT, *[_DIGIT] * count, _POINT) for count in (1, 2, 3)]


@njit(cache=True, nogil=True)
def _scheme_before(data: Bytes, start: int, host: int) -> int:
    """Start of the `http://`, `https://` or `ftp://` that ends at `host`, or `host` if none exists."""
    if host - start < 6 or data[host - 1] != 47 or data[host - 2] != 47 or data[host - 3] != 58:
        return host
    at = host - 3
    if data[at - 3] == 102 and data[at - 2] == 116 and data[at - 1] == 112:  # ftp
        return at - 3
    if at - start >= 5 and data[at - 1] == 115:  # https
        at -= 1
    if at - start >= 4 and data[at - 4] == 104 and data[at - 3] == 116 and data[at - 2] == 116 and data[at - 1] == 112:
        return at - 4
    return host


@njit(cache=True, nogil=True)
def _spaces_before(data: Bytes, start: int, place: int, classes: Classes) -> int:
    """The start of the at most ten whitespace characters before `place`."""
    for _ in range(_MAX_SPACES):
        if place <= start:
            break
        code, before = character_before(data, start, place)
        if (classes[code] & SPACE) == 0:
            break
        place = before
    return place


@njit(cache=True, nogil=True)
def _find_url(
    data: Bytes,
    start: int,
    end: int,
    place: int,
    kinds: Bytes,
    classes: Classes,
    first: Ints,
    edges: Bytes,
    targets: Ints,
    word: Ints,
) -> tuple[int, int]:
    """The first URL in `data[start:end]` from `place` on that does not split a host: (its start, its end), or (-1,
    end)."""
    while place < end:
        if kinds[data[place]] & _HOST == 0:
            place += 1
            continue
        host, url_host, url, url_end = place, place, -1, -1
        while place < end and kinds[data[place]] & _HOST:
            if data[place] == _DOT and place > host and (url < 0 or place - url_host <= _MAX_HOST):
                found, after = longest_word(data, start, end, place + 1, classes, True, first, edges, targets, word)
                if found >= 0:
                    if url < 0:
                        url_host = max(host, place - _MAX_HOST)
                        url = _scheme_before(data, start, host) if url_host == host else url_host
                    url_end = after
            place += 1
        if url >= 0:
            while url_end < end and kinds[data[url_end]] & _TAIL:
                url_end += 1
            return url, url_end
    return -1, end


@njit(cache=True, nogil=True)
def _remove_urls(
    data: Bytes,
    offsets: Ints,
    wanted: NDArray[np.bool_],
    kinds: Bytes,
    classes: Classes,
    first: Ints,
    edges: Bytes,
    targets: Ints,
    word: Ints,
) -> tuple[Bytes, Ints, NDArray[np.int64]]:
    """The texts without URLs in the rows that are `wanted`, and the number of URLs removed from each."""
    rows = len(offsets) - 1
    out = np.empty(offsets[rows] - offsets[0], np.uint8)
    out_offsets = np.zeros(rows + 1, np.int32)
    removed = np.zeros(rows, np.int64)
    size = 0
    for row in range(rows):
        start, end = offsets[row], offsets[row + 1]
        copied = place = start
        while wanted[row] and place < end:
            url, after = _find_url(data, start, end, place, kinds, classes, first, edges, targets, word)
            if url < 0:
                break
            url = max(_spaces_before(data, copied, url, classes), copied)
            out[size : size + url - copied] = data[copied:url]
            size += url - copied
            copied = place = after
            removed[row] += 1
        out[size : size + end - copied] = data[copied:end]
        size += end - copied
        out_offsets[row + 1] = size
    return out[:size], out_offsets, removed


@dataclasses.dataclass(frozen=True, kw_only=True)
class UrlRemoval(Map):
    """Deletes URLs (with up to ten whitespace characters before them) and IPv4 addresses from the text.

    A URL is an optional scheme, up to 256 host characters, a dot, a top-level domain of the list in the list's case,
    and any following `-a-zA-Z0-9()@:%_+.~#?&/=`. A page left empty is dropped.

    Source: DCLM's `url_removal_modifier`. Its regular expression is quadratic in the host; this scan is linear.
    """

    name: ClassVar[str] = "url_removal"

    only_if_page_starts_with_tld: bool = False
    """Search for URLs only in pages that begin with a top-level domain ("The", "In", "My" …; any case): the reference's
    check, which was meant to ask whether the page contains one at all. IPv4 addresses are always removed."""
    tlds: str = "iana-tlds"
    """Top-level domains without the dot, one per line: asset name or path."""

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.tlds,)

    def open(self, context: Context) -> MapFunction:
        tlds = load_words(context, self.tlds, ())
        trie, classes, kinds = build_trie(tlds), class_table(), _KIND
        nodes = (trie.first, trie.edges, trie.targets, trie.word)
        starts = frozenset(fold_case(tld) for tld in tlds)
        lengths = sorted({len(tld) for tld in starts})

        def guard(text: pa.StringArray) -> NDArray[np.bool_]:
            if not self.only_if_page_starts_with_tld:
                return np.ones(len(text), np.bool_)
            heads = [fold_case(head) for head in to_list(pc.utf8_slice_codeunits(text, 0, lengths[-1]))]
            return np.array([any(head[:n] in starts for n in lengths) for head in heads], np.bool_)

        def remove(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = strings(batch["text"])
            data, offsets = utf8(text)
            out, out_offsets, removed = _remove_urls(data, offsets, guard(text), kinds, classes, *nodes)
            if removed.any():
                text = string_array(out, out_offsets)
            text, addresses = _remove_addresses(text)
            drop = pc.equal(pc.binary_length(text), pa.scalar(0))
            return with_edits(batch, text, pa.array(removed + addresses), drop)

        return remove


def _remove_addresses(text: pa.StringArray) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """The texts without IPv4 addresses, and the number removed from each."""
    candidates = matching_rows(text, _IPV4_MARK, _IPV4_PROBES)
    removed = np.zeros(len(text), np.int64)
    if not pc.any(candidates, min_count=0).as_py():
        return text, removed
    edited = [_IPV4.subn("", value) for value in to_list(text.filter(candidates))]
    removed[candidates.to_numpy(zero_copy_only=False)] = [count for _, count in edited]
    return pc.replace_with_mask(text, candidates, pa.array([value for value, _ in edited], pa.string())), removed
