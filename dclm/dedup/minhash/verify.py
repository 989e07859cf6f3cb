"""The second round of MinHash deduplication: candidates are compared by the exact Jaccard index of their shingles."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.core.config import Fraction
from dclm.curate.step import Context, Decision, Global, MapFunction
from dclm.dedup.columns import documents_of, drops_table, hashes
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.leaders import find_leaders, jaccards
from dclm.dedup.minhash.shingles import shingles
from dclm.text.buffers import utf8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Global):
    """Within each candidate cluster (column `_cluster`), drops a document that is similar enough to a kept one.

    Documents are processed in order. The first is kept; each of the others is dropped if its Jaccard index with a kept
    one reaches the threshold, and kept otherwise. So chains do not merge: every dropped document has a kept one at
    least that similar. Two kept documents are that similar only if a limit on comparisons was reached: see
    `find_leaders`.

    Memory: 8 bytes per distinct shingle of the distinct documents of a cluster; `max_cluster` bounds it.
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
            sets = pa.LargeListArray.from_arrays(pa.array(offsets), pa.array(values))
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
        jaccard = jaccards(offsets, values, dropped, leaders[dropped])
        drops = drops_table(documents[dropped], documents[leaders[dropped]])
        return drops.append_column("jaccard", pa.array(jaccard))

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        drops = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        return Decision(drops=drops)


@njit(cache=True, nogil=True)
def _shingle_sets(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, words: bool, ngram: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted distinct shingle hashes of each text, concatenated, and where each one's begin."""
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
