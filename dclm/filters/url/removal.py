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
from dclm.text.kernels import lean
from dclm.text.swar import copy_bytes, find_byte
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
_IPV4_DIGITS = re.compile(r"(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]")
_MOST_BEFORE = _MAX_SPACES + len("https://")


@lean
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


@lean
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


@lean
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
        dot = find_byte(data, place, end, _DOT)
        if dot == end:
            break
        host, url, url_end = dot, -1, -1
        while host > place and kinds[data[host - 1]] & _HOST:
            host -= 1
        place, url_host = dot, host
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


@lean
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
    out: Bytes,
    out_offsets: Ints,
    removed: NDArray[np.int64],
) -> None:
    """Write the texts without URLs in the rows that are `wanted`, and the number of URLs removed from each."""
    size = 0
    for row in range(len(offsets) - 1):
        start, end = int(offsets[row]), int(offsets[row + 1])
        copied = place = start
        while wanted[row] and place < end:
            url, after = _find_url(data, start, end, place, kinds, classes, first, edges, targets, word)
            if url < 0:
                break
            url = max(_spaces_before(data, copied, url, classes), copied)
            copy_bytes(out, size, data, copied, url)
            size += url - copied
            copied = place = after
            removed[row] += 1
        copy_bytes(out, size, data, copied, end)
        size += end - copied
        out_offsets[row + 1] = size


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
            out, out_offsets = np.empty(offsets[-1] - offsets[0], np.uint8), np.zeros(len(offsets), np.int32)
            removed = np.zeros(len(text), np.int64)
            _remove_urls(data, offsets, guard(text), kinds, classes, *nodes, out, out_offsets, removed)
            if removed.any():
                text = string_array(out[: out_offsets[-1]], out_offsets)
            text, addresses = _remove_addresses(text)
            drop = pc.equal(pc.binary_length(text), pa.scalar(0))
            return with_edits(batch, text, pa.array(removed + addresses), drop)

        return remove


@njit(inline="always")
def _is_digit(byte: int) -> bool:
    return 48 <= byte <= 57


@lean
def _number_after(data: Bytes, dot: int, end: int) -> int:
    """The place after the one to three digits that follow a dot, or `end`."""
    at = dot + 1
    while at < end and at <= dot + 3 and _is_digit(data[at]):
        at += 1
    return at if at > dot + 1 else end


@lean
def _find_candidates(data: Bytes, offsets: Ints, found: NDArray[np.bool_]) -> None:
    """Mark the rows that contain a digit, a dot, one to three digits, a dot, one to three digits, a dot, a digit."""
    for row in range(len(offsets) - 1):
        start, end = int(offsets[row]), int(offsets[row + 1])
        dot = find_byte(data, start, end, _DOT)
        while dot < end and not found[row]:
            if dot > start and _is_digit(data[dot - 1]):
                second = _number_after(data, dot, end)
                if second < end and data[second] == _DOT:
                    third = _number_after(data, second, end)
                    found[row] = third + 1 < end and data[third] == _DOT and _is_digit(data[third + 1])
            dot = find_byte(data, dot + 1, end, _DOT)


def _remove_addresses(text: pa.StringArray) -> tuple[pa.StringArray, NDArray[np.int64]]:
    """The texts without IPv4 addresses, and the number removed from each."""
    candidates = np.zeros(len(text), np.bool_)
    _find_candidates(*utf8(text), candidates)
    removed = np.zeros(len(text), np.int64)
    if not candidates.any():
        return text, removed
    mask = pa.array(candidates)
    edited = [_without_addresses(page) for page in to_list(text.filter(mask))]
    removed[candidates] = [count for _, count in edited]
    return pc.replace_with_mask(text, mask, pa.array([page for page, _ in edited], pa.string())), removed


def _without_addresses(page: str) -> tuple[str, int]:
    """`_IPV4.subn("", page)`; the expression is tried only where it can match: right before four numbers."""
    kept, copied, count = [], 0, 0
    digits = _IPV4_DIGITS.search(page)
    while digits is not None:
        starts = range(max(copied, digits.start() - _MOST_BEFORE), digits.start() + 1)
        found = next((match for at in starts if (match := _IPV4.match(page, at)) is not None), None)
        if found is not None:
            kept.append(page[copied : found.start()])
            copied = found.end()
            count += 1
        digits = _IPV4_DIGITS.search(page, digits.start() + 1 if found is None else copied)
    return "".join([*kept, page[copied:]]), count
