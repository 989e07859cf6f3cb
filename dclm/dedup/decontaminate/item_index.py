"""Which evaluation items share long n-grams with which texts.

Words are separated by whitespace and dashes, and compared without case, punctuation and variants of typography (see
`lower_no_punctuation` in `dclm.dedup.minhash.alphabet`). Each string of an item counts by itself, and one shorter than
an n-gram has none: such items are never found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit, uint64

from dclm.dedup.columns import I64, U64, Bool
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.shingles import room_for, shingles, word_places
from dclm.text.buffers import utf8

NORMALIZATION: Normalization = "lower_no_punctuation"
_TOP_BITS = 16


class ItemIndex(NamedTuple):
    """The n-grams of items, as kernels look them up."""

    ngram: int
    hashes: U64
    """Hashes of the distinct n-grams, sorted."""
    tops: I64
    """Start of the hashes with each value of the top bits."""
    postings: I64
    """Items with n-gram g: `items[postings[g]:postings[g + 1]]`."""
    items: I64
    sizes: I64
    """Number of distinct n-grams of each item."""


class Overlap(NamedTuple):
    """Number of distinct n-grams of each item, and how many of them occur in the documents."""

    ngrams: I64
    found: I64


class Matches(NamedTuple):
    """N-grams of a column's texts that occur in items, in text order."""

    rows: I64
    starts: I64
    """First byte in the text."""
    ends: I64
    grams: I64
    """Index in `ItemIndex.hashes`."""


class Found(NamedTuple):
    """Text of items in a column's texts, sorted by row and item."""

    rows: I64
    items: I64
    starts: I64
    """First byte in the text."""
    ends: I64


class SharedNgrams(NamedTuple):
    """Finds items by shared n-grams in texts that have at least `min_matches` of them."""

    known: ItemIndex
    min_matches: int

    @property
    def sizes(self) -> I64:
        """Number of n-grams by which each item can be found; 0: it cannot."""
        return self.known.sizes

    def __call__(self, texts: pa.StringArray) -> Found:
        """The spans of each text that consist of n-grams of one item."""
        near = find_matches(texts, self.known)
        enough = np.bincount(near.rows, minlength=len(texts)) >= self.min_matches
        near = Matches(*(values[enough[near.rows]] for values in near))
        place, items = expand(near.grams, self.known)
        rows, starts, ends = near.rows[place], near.starts[place], near.ends[place]
        order = np.lexsort((starts, items, rows))
        rows, items, starts, ends = rows[order], items[order], starts[order], ends[order]
        new = np.ones(len(rows) + 1, np.bool_)
        new[1:-1] = (rows[1:] != rows[:-1]) | (items[1:] != items[:-1]) | (starts[1:] > ends[:-1])
        return Found(rows[new[:-1]], items[new[:-1]], starts[new[:-1]], ends[new[1:]])


def expand(grams: I64, index: ItemIndex) -> tuple[I64, I64]:
    """Every item of every n-gram in `grams`: the index in `grams`, and the item."""
    lengths = np.diff(index.postings)[grams]
    place = np.repeat(np.arange(len(grams)), lengths)
    within = np.arange(len(place)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    return place, index.items[index.postings[grams[place]] + within]


def item_overlap(items: Sequence[Sequence[str]], texts: Iterable[pa.StringArray], ngram: int = 13) -> Overlap:
    """Search all documents, in batches that are string columns, for the n-grams of items (each a list of strings).

    An item "occurs" if `found > 0`; one with `ngrams == 0` is too short to be found. Memory: about 40 bytes per word of
    the items. Cost: that of hashing every n-gram of the documents once.
    """
    index = build_index(items, ngram)
    seen = np.zeros(len(index.hashes), np.bool_)
    for column in texts:
        count_matches(column, index, seen)
    gram = np.repeat(np.arange(len(index.hashes)), np.diff(index.postings))
    found = np.bincount(index.items[seen[gram]], minlength=len(items))
    return Overlap(index.sizes, found.astype(np.int64))


def build_index(items: Sequence[Sequence[str]], ngram: int) -> ItemIndex:
    """The n-grams of all strings of all items."""
    column = utf8(pa.array([text for item in items for text in item], pa.string()))
    grams, counts = _long_shingles(column.data, column.offsets, alphabet(NORMALIZATION), ngram)
    owner = np.repeat(np.repeat(np.arange(len(items)), [len(item) for item in items]), counts)
    order = np.lexsort((owner, grams))
    grams, owner = grams[order], owner[order]
    new_gram, new_pair = np.ones(len(grams), np.bool_), np.ones(len(grams), np.bool_)
    new_gram[1:] = grams[1:] != grams[:-1]
    new_pair[1:] = new_gram[1:] | (owner[1:] != owner[:-1])
    hashes, owner = grams[new_gram], owner[new_pair]
    postings = np.append(np.flatnonzero(new_gram[new_pair]), len(owner))
    tops = np.searchsorted((hashes >> np.uint64(64 - _TOP_BITS)).astype(np.int64), np.arange((1 << _TOP_BITS) + 1))
    return ItemIndex(ngram, hashes, tops, postings, owner, np.bincount(owner, minlength=len(items)).astype(np.int64))


def count_matches(texts: pa.StringArray, index: ItemIndex, seen: Bool | None = None) -> I64:
    """For each text, how many of its n-grams (with repeats) occur in items; marks those in `seen`, one entry per
    hash."""
    seen = np.zeros(len(index.hashes), np.bool_) if seen is None else seen
    table = alphabet(NORMALIZATION)
    found: I64 = _count_matches(*utf8(texts), table, index.ngram, index.hashes, index.tops, seen)
    return found


def find_matches(texts: pa.StringArray, index: ItemIndex) -> Matches:
    """Positions of the n-grams that `count_matches` counts."""
    counts = count_matches(texts, index)
    return Matches(*_find_matches(*utf8(texts), alphabet(NORMALIZATION), index.ngram, index.hashes, index.tops, counts))


@njit(cache=True, nogil=True)
def _long_shingles(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, ngram: int
) -> tuple[np.ndarray, np.ndarray]:
    """Shingles of the texts that have at least `ngram` words, and their number for each text."""
    out = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint64)
    counts = np.zeros(len(offsets) - 1, np.int64)
    single = np.empty(room_for(offsets), np.uint64)
    filled = 0
    for row in range(len(offsets) - 1):
        count = shingles(data, offsets[row], offsets[row + 1], table, True, 1, single)
        if count >= ngram:
            counts[row] = shingles(data, offsets[row], offsets[row + 1], table, True, ngram, out[filled:])
            filled += counts[row]
    return out[:filled].copy(), counts


@njit(cache=True, nogil=True, inline="always")
def _look_up(known: np.ndarray, tops: np.ndarray, value: np.uint64) -> int:
    """The index of a hash, or −1."""
    top = value >> uint64(64 - _TOP_BITS)
    for k in range(tops[top], tops[top + uint64(1)]):
        if known[k] >= value:
            return k if known[k] == value else -1
    return -1


@njit(cache=True, nogil=True)
def _count_matches(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    ngram: int,
    known: np.ndarray,
    tops: np.ndarray,
    seen: np.ndarray,
) -> np.ndarray:
    found = np.zeros(len(offsets) - 1, np.int64)
    hashes = np.empty(room_for(offsets), np.uint64)
    for row in range(len(offsets) - 1):
        count = shingles(data, offsets[row], offsets[row + 1], table, True, ngram, hashes)
        for i in range(count):  # a text shorter than an n-gram has a shorter one, which the index lacks
            k = _look_up(known, tops, hashes[i])
            if k >= 0:
                found[row] += 1
                seen[k] = True
    return found


@njit(cache=True, nogil=True)
def _find_matches(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    ngram: int,
    known: np.ndarray,
    tops: np.ndarray,
    counts: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    total = counts.sum()
    rows, grams = np.empty(total, np.int64), np.empty(total, np.int64)
    starts, ends = np.empty(total, np.int64), np.empty(total, np.int64)
    room = room_for(offsets)
    hashes = np.empty(room, np.uint64)
    places = np.empty((room, 2), np.int64)
    filled = 0
    for row in range(len(offsets) - 1):
        if counts[row] == 0:
            continue
        first = offsets[row]
        word_places(data, first, offsets[row + 1], table, places)
        count = shingles(data, first, offsets[row + 1], table, True, ngram, hashes)
        for i in range(count):
            k = _look_up(known, tops, hashes[i])
            if k >= 0:
                rows[filled], grams[filled] = row, k
                starts[filled], ends[filled] = places[i, 0] - first, places[i + ngram - 1, 1] - first
                filled += 1
    return rows, starts, ends, grams
