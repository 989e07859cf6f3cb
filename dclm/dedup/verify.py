"""The second round of MinHash deduplication: candidates are compared by the exact Jaccard index of their shingles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.config import Fraction
from dclm.dedup.alphabet import Normalization, alphabet
from dclm.dedup.columns import I64, U64, documents_of, drops_table, hashes
from dclm.dedup.shingles import shingles
from dclm.step import Context, Decision, Global, MapFunction
from dclm.text.buffers import utf8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Global):
    """Within each candidate cluster (column `_cluster`), drops a document that is near enough to one that stays.

    Documents are taken in order. The first stays; each of the others is dropped if its Jaccard index with one that
    stays reaches the threshold, and stays otherwise. So chains do not merge: whatever is dropped has a kept document
    at least that near, and no two kept documents of a cluster are.
    """

    name: ClassVar[str] = "minhash.verify"

    threshold: Fraction
    words: bool
    ngram: int
    normalize: Normalization

    def open(self, context: Context) -> MapFunction:
        table = alphabet(self.normalize)

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            offsets, values = _shingle_sets(*utf8(batch.column("text")), table, self.words, self.ngram)
            sets = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), pa.array(values, pa.uint64()))
            return pa.RecordBatch.from_pydict(
                {"key": batch.column("_cluster"), "row": batch.column("_row"), "shingles": sets}
            )

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        sets = keys.column("shingles").combine_chunks()
        offsets = np.zeros(len(sets) + 1, np.int64)
        np.cumsum(sets.value_lengths(), out=offsets[1:])
        values = sets.flatten().to_numpy()
        leaders = find_leaders(hashes(keys, "key"), offsets, values, self.threshold)
        documents = documents_of(keys)
        dropped = np.flatnonzero(leaders != np.arange(len(leaders)))
        dropped = dropped[np.argsort(documents[dropped], kind="stable")]
        jaccard = _jaccards(offsets, values, dropped, leaders[dropped])
        drops = drops_table(documents[dropped], documents[leaders[dropped]])
        return drops.append_column("jaccard", pa.array(jaccard))

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        drops = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        return Decision(drops=drops)


@njit(cache=True, nogil=True)
def _shingle_sets(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, words: bool, ngram: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted distinct shingle hashes of each text, one after the other, and where each one's begin."""
    out = np.empty(offsets[-1] - offsets[0], np.uint64)
    bounds = np.zeros(len(offsets), np.int64)
    end = 0
    for i in range(len(offsets) - 1):
        room = out[end:]
        count = shingles(data, offsets[i], offsets[i + 1], table, words, ngram, room)
        room[:count].sort()
        for k in range(count):
            if k == 0 or room[k] != out[end - 1]:
                out[end] = room[k]
                end += 1
        bounds[i + 1] = end
    return bounds, out[:end].copy()


@njit(cache=True, nogil=True, inline="always")
def _least_shared(total: int, threshold: float) -> int:
    """The least x with x / (total − x) ≥ threshold in floating point, if two sets of `total` together can share it."""
    least = max(0, int(threshold * total / (1.0 + threshold)) - 1)
    while 2 * least <= total and least / (total - least) < threshold:
        least += 1
    return least


@njit(cache=True, nogil=True)
def jaccard_reaches(a: np.ndarray, b: np.ndarray, threshold: float) -> bool:
    """Whether |a ∩ b| / |a ∪ b| ≥ threshold ≤ 1, for sorted sets of which at least one is not empty."""
    missing = _least_shared(len(a) + len(b), threshold)
    spare_a, spare_b = len(a) - missing, len(b) - missing  # how many of each may be in one set only
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


@njit(cache=True, nogil=True)
def jaccard_index(a: np.ndarray, b: np.ndarray) -> float:
    """|a ∩ b| / |a ∪ b| of sorted sets of which at least one is not empty."""
    shared, i, j = 0, 0, 0
    while i < len(a) and j < len(b):
        shared += a[i] == b[j]
        i, j = i + (a[i] <= b[j]), j + (b[j] <= a[i])
    return float(shared / (len(a) + len(b) - shared))


@njit(cache=True, nogil=True)
def _jaccards(offsets: np.ndarray, values: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The index of sets `first[i]` and `second[i]` for every i."""
    found = np.empty(len(first), np.float64)
    for i in range(len(first)):
        a, b = first[i], second[i]
        found[i] = jaccard_index(values[offsets[a] : offsets[a + 1]], values[offsets[b] : offsets[b + 1]])
    return found


@njit(cache=True, nogil=True)
def _find_leaders(keys: np.ndarray, offsets: np.ndarray, values: np.ndarray, threshold: float) -> np.ndarray:
    leader = np.arange(len(keys))
    leaders = np.empty(len(keys), np.int64)
    count = 0
    for i in range(len(keys)):
        if i == 0 or keys[i] != keys[i - 1]:
            count = 0
        mine = values[offsets[i] : offsets[i + 1]]
        for k in range(count):
            other = leaders[k]
            if jaccard_reaches(mine, values[offsets[other] : offsets[other + 1]], threshold):
                leader[i] = other
                break
        if leader[i] == i:
            leaders[count] = i
            count += 1
    return leader


def find_leaders(keys: U64, offsets: I64, values: U64, threshold: float) -> I64:
    """For each document the first kept one of its cluster (run of equal keys) that is near enough, or itself.

    Set i is `values[offsets[i]:offsets[i + 1]]`, sorted. Cost: documents × kept documents of the same cluster.
    """
    found: I64 = _find_leaders(keys, offsets, values, threshold)
    return found
