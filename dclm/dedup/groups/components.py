"""Connected components of documents linked by duplicate keys: union-find over flat arrays."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
from numba import njit

from dclm.dedup.columns import I64, U64, distinct, run_starts
from dclm.text.kernels import lean


class Links(NamedTuple):
    """Edges between packed documents (see `columns.pack`); `first[i]` precedes `second[i]` in document order."""

    first: I64
    second: I64


class Components(NamedTuple):
    """Every document that has at least one link, in document order."""

    documents: I64
    root: I64
    """Index into `documents` of the first document of each one's component."""
    refused: int
    """Links not followed because the component would have grown beyond the cap."""


@njit(cache=True, nogil=True, inline="always")
def _find(parent: np.ndarray, i: int) -> int:
    while parent[i] != i:
        parent[i] = parent[parent[i]]
        i = parent[i]
    return i


@lean
def unite(parent: np.ndarray, size: np.ndarray, first: np.ndarray, second: np.ndarray, cap: int) -> int:
    """Join the two ends of every edge, in order; the smaller index becomes the root. Returns the refused edges.

    `size` of each component, for `cap`; empty: without a cap.
    """
    refused = 0
    for e in range(len(first)):
        a, b = _find(parent, first[e]), _find(parent, second[e])
        if a == b:
            continue
        low, high = min(a, b), max(a, b)
        if len(size):
            if size[low] + size[high] > cap:
                refused += 1
                continue
            size[low] += size[high]
        parent[high] = low
    return refused


@lean
def flatten(parent: np.ndarray) -> None:
    """Make every entry point directly at its root."""
    for i in range(len(parent)):
        parent[i] = parent[parent[i]]  # roots have the smallest index: those before i are already flat


@lean
def _count_linked(keys: np.ndarray) -> int:
    count = 0
    for i in range(1, len(keys)):
        count += keys[i] == keys[i - 1]
    return count


@lean
def _link_runs(keys: np.ndarray, documents: np.ndarray, first: np.ndarray, second: np.ndarray) -> int:
    start = 0
    count = 0
    for i in range(1, len(keys)):
        if keys[i] != keys[start]:
            start = i
        elif documents[i] != documents[start]:
            first[count], second[count] = start, i
            count += 1
    return count


class Equal(NamedTuple):
    """Pairs of rows with the same key, as indices into the table of keys."""

    first: I64
    second: I64


def rows_of_equal_keys(keys: U64, documents: I64) -> Equal:
    """The first row of every run of equal keys, paired with each of the others; rows are sorted by (key, document)."""
    room = _count_linked(keys)
    first, second = np.empty(room, np.int64), np.empty(room, np.int64)
    count = _link_runs(keys, documents, first, second)
    return Equal(first[:count], second[:count])


def _documents(links: Iterable[Links]) -> I64:
    """The ends of all links, sorted; elements are merged whenever they contain as many as were found before."""
    found = [np.zeros(0, np.int64)]
    for part in links:
        found.append(distinct(np.concatenate(part)))
        if sum(map(len, found[1:])) >= len(found[0]):
            _merge(found)
    _merge(found)
    return found[0]


def _merge(found: list[I64]) -> None:
    """Leaves one array of the distinct values, sorted."""
    values = np.concatenate(found)
    found.clear()  # before there is more
    values.sort()
    found.append(values[run_starts(values)])


def components(links: Iterable[Links], cap: int | None = None) -> Components:
    """Components of the graph whose edges are all `links` (iterated twice, one element in memory at a time).

    With a `cap`, a link that would make a component of more documents is refused; the order of links then counts.
    Memory: at most 40 bytes per linked document, and 100 per link of the largest element.
    """
    documents = _documents(links)
    parent = np.arange(len(documents), dtype=np.int64)
    size = np.ones(0 if cap is None else len(documents), dtype=np.int64)
    refused = 0
    for part in links:
        linked, inverse = np.unique(np.concatenate(part), return_inverse=True)
        first, second = np.searchsorted(documents, linked)[inverse].reshape(2, -1)
        refused += unite(parent, size, first, second, cap or 0)
    flatten(parent)
    return Components(documents, parent, refused)


def spanning_links(links: Links) -> Links:
    """A minimal set of links with the same components: each document to the first one of its component."""
    found = components([links])
    linked = found.root != np.arange(len(found.root))
    return Links(found.documents[found.root[linked]], found.documents[linked])
