"""Which documents of a cluster are kept: exact Jaccard indices of sets of shingle hashes, few comparisons per
document."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from numba import int64, njit, uint64

from dclm.dedup.columns import I64, U64
from dclm.dedup.hashing import mix
from dclm.text.kernels import lean

Measure = Literal["jaccard", "containment"]
MISS = 1e-9
"""Probability that a pair at the threshold is not compared because it shares no sampled shingle."""
CANDIDATES = 16
"""Maximum number of kept documents that are tried per sampled shingle."""


@njit(cache=True, nogil=True, inline="always")
def _least_shared(total: int, threshold: float) -> int:
    """The smallest x with x / (total − x) ≥ threshold in floating point, if two sets of `total` together can share
    it."""
    least = max(0, int(threshold * total / (1.0 + threshold)) - 1)
    while 2 * least <= total and least / (total - least) < threshold:
        least += 1
    return least


@lean
def jaccard_reaches(a: np.ndarray, b: np.ndarray, threshold: float) -> bool:
    """Whether |a ∩ b| / |a ∪ b| ≥ threshold ≤ 1, for sorted sets of which at least one is not empty."""
    missing = _least_shared(len(a) + len(b), threshold)
    spare_a, spare_b = len(a) - missing, len(b) - missing  # how many elements of each set may be missing from the other
    i, j = 0, 0
    while missing > 0 and spare_a >= 0 and spare_b >= 0:
        if i == len(a) or j == len(b):
            return False
        if a[i] == b[j]:
            missing, i, j = missing - 1, i + 1, j + 1
        elif a[i] < b[j]:
            spare_a, i = spare_a - 1, i + 1
        else:
            spare_b, j = spare_b - 1, j + 1
    return missing == 0


@lean
def containment_index(a: np.ndarray, b: np.ndarray) -> float:
    """|a ∩ b| / |a| of sorted sets, of which `a` is not empty."""
    shared, i, j = 0, 0, 0
    while i < len(a) and j < len(b):
        shared += a[i] == b[j]
        i, j = i + (a[i] <= b[j]), j + (b[j] <= a[i])
    return float(shared / len(a))


@njit(cache=True, nogil=True)
def containments(offsets: np.ndarray, values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The fraction of set `first[i]` that is in `second[i]`, for every i."""
    found = np.empty(len(first), np.float64)
    for i in range(len(first)):
        a, b = first[i], second[i]
        found[i] = containment_index(values[offsets[a] : offsets[a + 1]], values[offsets[b] : offsets[b + 1]])
    return found


@lean
def jaccard_index(a: np.ndarray, b: np.ndarray) -> float:
    """|a ∩ b| / |a ∪ b| of sorted sets of which at least one is not empty."""
    shared, i, j = 0, 0, 0
    while i < len(a) and j < len(b):
        shared += a[i] == b[j]
        i, j = i + (a[i] <= b[j]), j + (b[j] <= a[i])
    return float(shared / (len(a) + len(b) - shared))


@njit(cache=True, nogil=True)
def jaccards(offsets: np.ndarray, values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The index of sets `first[i]` and `second[i]` for every i."""
    found = np.empty(len(first), np.float64)
    for i in range(len(first)):
        a, b = first[i], second[i]
        found[i] = jaccard_index(values[offsets[a] : offsets[a + 1]], values[offsets[b] : offsets[b + 1]])
    return found


@njit(cache=True, nogil=True)
def _find_leaders(
    keys: np.ndarray, offsets: np.ndarray, values: np.ndarray, threshold: float, probes: int, contained: bool
) -> np.ndarray:
    count = len(keys)
    leader = np.arange(count)
    met = np.full(count, -1)  # the last document compared with each leader
    stored = len(values) if contained else probes  # shingles by which a kept document is found
    slots, shared, owner, following = empty_index(keys, offsets, stored)
    start, used, mask = 0, 0, 0
    for i in range(count):
        if i == 0 or keys[i] != keys[start]:
            start, used = i, 0
            mask = mask_for(num_probes(keys, offsets, i, stored))
            slots[: mask + 1] = -1
        mine = values[offsets[i] : offsets[i + 1]]
        for k in range(min(probes, len(mine))):
            entry, steps = slots[slot_of(slots, shared, mine[k], mask)], 0
            while entry >= 0 and steps < CANDIDATES and leader[i] == i:
                other = owner[entry]
                if met[other] != i:
                    theirs = values[offsets[other] : offsets[other + 1]]
                    if contained:
                        if containment_index(mine, theirs) >= threshold:
                            leader[i] = other
                    elif jaccard_reaches(mine, theirs, threshold):
                        leader[i] = other
                met[other] = i
                entry, steps = following[entry], steps + 1
        if leader[i] == i:
            for k in range(min(stored, len(mine))):
                slot = slot_of(slots, shared, mine[k], mask)
                shared[used], owner[used], following[used] = mine[k], i, slots[slot]
                slots[slot] = used
                used += 1
    return leader


@lean
def num_probes(keys: np.ndarray, offsets: np.ndarray, start: int, probes: int) -> int:
    """Smallest shingles, at most `probes` per document, in the cluster that begins at `start`."""
    total = 0
    i = start
    while i < len(keys) and keys[i] == keys[start]:
        total += min(probes, offsets[i + 1] - offsets[i])
        i += 1
    return total


@njit(cache=True, nogil=True)
def empty_index(
    keys: np.ndarray, offsets: np.ndarray, probes: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Scratch space for the largest cluster: slots of a hash table, and entries with their shingle, leader and next
    entry."""
    most, start = 0, 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[start]:
            start = i
            most = max(most, num_probes(keys, offsets, i, probes))
    room = np.empty(most, np.uint64), np.empty(most, np.int64), np.empty(most, np.int64)
    return np.full(mask_for(most) + 1, -1), room[0], room[1], room[2]


@njit(cache=True, nogil=True, inline="always")
def mask_for(entries: int) -> int:
    size = 2
    while size < 2 * entries:
        size *= 2
    return size - 1


@njit(cache=True, nogil=True, inline="always")
def slot_of(slots: np.ndarray, shared: np.ndarray, shingle: np.uint64, mask: int) -> np.int64:
    """Where entries of this shingle begin, or would."""
    at = int64(mix(shingle) & uint64(mask))
    while slots[at] >= 0 and shared[slots[at]] != shingle:
        at = (at + 1) & mask
    return at


def probes_for(offsets: I64, threshold: float) -> int:
    """How many of a document's smallest shingles are looked up (see `MISS`)."""
    if threshold <= 0:
        return int(np.diff(offsets).max(initial=1))
    return 1 if threshold >= 1 else math.ceil(math.log(MISS) / math.log1p(-threshold))


def find_leaders(keys: U64, offsets: I64, values: U64, threshold: float, measure: Measure = "jaccard") -> I64:
    """For each document an earlier kept one in its cluster (run of equal keys) that is similar enough, or itself.

    Set i is `values[offsets[i]:offsets[i + 1]]`, sorted. Compared are documents that share one of their smallest
    shingles; values are hashes, so these are a sample, of a size such that a pair at the threshold shares none with
    probability at most `MISS` (never, if sets are that small). At most `CANDIDATES` kept documents are tried for each,
    most recent first: the cost is linear in the documents, whatever the size of the cluster. For containment, a
    document's smallest shingles are looked up among all shingles of the kept ones; larger sets must come first.
    """
    probes = probes_for(offsets, threshold)
    found: I64 = _find_leaders(keys, offsets, values, threshold, probes, measure == "containment")
    return found
