"""Searches for many words at once: the matches of an unanchored trie regular expression, in one pass over the bytes.

At each position a trie expression matches the longest word that starts there (whole words, with `\\b` on both sides:
the longest that also ends at a boundary), and continues after it. The kernel does the same over UTF-8.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.filters.url.places import is_boundary
from dclm.text.kernels import lean

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]


@dataclasses.dataclass(frozen=True)
class Trie:
    """Words as nodes: the edges of node n are `edges[first[n]:first[n + 1]]`, sorted by byte."""

    first: Ints
    edges: Bytes
    targets: Ints
    word: Ints
    """Node → number of the word that ends there, or -1."""


def build_trie(words: Iterable[str]) -> Trie:
    """The trie of distinct, non-empty words; word numbers follow their sorted UTF-8."""
    children: list[dict[int, int]] = [{}]
    word = [-1]
    for number, entry in enumerate(sorted({w.encode("utf-8", "surrogatepass") for w in words if w})):
        node = 0
        for byte in entry:
            following = children[node].get(byte)
            if following is None:
                following = len(children)
                children[node][byte] = following
                children.append({})
                word.append(-1)
            node = following
        word[node] = number
    first = np.zeros(len(children) + 1, np.int32)
    first[1:] = np.cumsum([len(c) for c in children])
    edges = np.array([byte for c in children for byte in sorted(c)], np.uint8)
    targets = np.array([c[byte] for c in children for byte in sorted(c)], np.int32)
    return Trie(first, edges, targets, np.array(word, np.int32))


@lean
def _step(first: Ints, edges: Bytes, targets: Ints, node: int, byte: int) -> int:
    for edge in range(first[node], first[node + 1]):
        if edges[edge] == byte:
            return int(targets[edge])
    return -1


@lean
def longest_word(
    data: Bytes,
    start: int,
    end: int,
    place: int,
    classes: Classes,
    whole: bool,
    first: Ints,
    edges: Bytes,
    targets: Ints,
    word: Ints,
) -> tuple[int, int]:
    """(number of the word that matches at `place` in `data[start:end]`, its end), or (-1, place).

    With `whole` the word must end at a boundary; the caller checks where it starts.
    """
    node, found, found_end = 0, -1, place
    for at in range(place, end):
        node = _step(first, edges, targets, node, data[at])
        if node < 0:
            break
        if word[node] >= 0 and (not whole or is_boundary(data, start, end, at + 1, classes)):
            found, found_end = word[node], at + 1
    return found, found_end


@njit(cache=True, nogil=True)
def count_distinct(
    data: Bytes,
    offsets: Ints,
    classes: Classes,
    whole: bool,
    enough: int,
    first: Ints,
    edges: Bytes,
    targets: Ints,
    word: Ints,
) -> Ints:
    """Per row, the number of distinct words that match; counting stops at `enough`."""
    rows = len(offsets) - 1
    counts = np.zeros(rows, np.int32)
    seen = np.empty(enough, np.int32)
    begins = np.zeros(256, np.bool_)
    for edge in range(first[0], first[1]):
        begins[edges[edge]] = True
    for row in range(rows):
        start, end = offsets[row], offsets[row + 1]
        place, count = start, 0
        while place < end and count < enough:
            found, found_end = -1, place
            if begins[data[place]] and (not whole or is_boundary(data, start, end, place, classes)):
                found, found_end = longest_word(data, start, end, place, classes, whole, first, edges, targets, word)
            if found < 0:
                place += 1
                continue
            place = found_end
            new = True
            for known in range(count):
                if seen[known] == found:
                    new = False
            if new:
                seen[count] = found
                count += 1
        counts[row] = count
    return counts
