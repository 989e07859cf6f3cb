"""The second round of MinHash deduplication: candidates are compared by the exact Jaccard index of their shingles."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from dclm.core.arrow import LargeLists, large_list_array, large_lists, strings
from dclm.core.config import Fraction
from dclm.curate.global_step import Decision, Global
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import F64, I64, U64, documents_of, drops_table, hashes, ints, no_drops
from dclm.dedup.groups.clusters import ROWS, Parts
from dclm.dedup.keep import Keep, order_of
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.leaders import Measure, containments, find_leaders, jaccards
from dclm.dedup.minhash.pairs import find_pairs, pair_table
from dclm.dedup.minhash.shingles import UNITS, Unit, shingles
from dclm.dedup.minhash.signed import Signing
from dclm.text.buffers import utf8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Verify(Global):
    """Within each candidate cluster (column `_cluster`), drops documents that are similar enough to a kept one.

    Documents are processed in the order of `keep`. The first is kept; each of the others is dropped if its Jaccard
    index with a kept one reaches the threshold, and kept otherwise. So chains do not merge: every dropped document has
    a kept one at least that similar. Two kept documents can be that similar only if a limit on comparisons was reached:
    see `find_leaders`. With containment, documents with more shingles come first, and a document is compared by the
    fraction of its shingles that a kept one has.

    Memory: 8 bytes per distinct shingle of the distinct documents of a cluster; `max_cluster` bounds it.
    """

    name: ClassVar[str] = "minhash.verify"

    threshold: Fraction
    unit: Unit
    ngram: int
    normalize: Normalization
    keep: Keep = "first"
    keep_by: str | None = None
    prefer: tuple[str, ...] = ()
    measure: Measure = "jaccard"
    pairs_from: Fraction | None = None
    signing: Signing | None = None
    """Compare signatures instead of shingles."""

    def sets(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Columns row and `shingles`: what an index keeps of each document, its sorted distinct shingle hashes or its
        signature."""
        shingles = self._kept(strings(batch.column("text")))
        return pa.RecordBatch.from_pydict({"row": batch.column("_row"), "shingles": shingles})

    def sets_of(self, texts: pa.StringArray) -> Callable[[int], U64]:
        """A function that returns what an index keeps of one of the texts; all are made at its first call."""
        found: list[tuple[I64, U64]] = []

        def get(place: int) -> U64:
            if not found:
                lists = self._kept(texts)
                found.append((lists.offsets.to_numpy(), lists.values.to_numpy()))
            offsets, values = found[0]
            return values[offsets[place] : offsets[place + 1]]

        return get

    def _kept(self, texts: pa.StringArray) -> LargeLists:
        return self._lists(texts) if self.signing is None else self.signing.lists(texts)

    def _lists(self, texts: pa.StringArray) -> LargeLists:
        if self.signing is not None:
            return self.signing.sets(texts)
        offsets, values = _shingle_sets(*utf8(texts), alphabet(self.normalize), UNITS[self.unit], self.ngram)
        return large_list_array(offsets, pa.array(values, pa.uint64()))

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            sets = self._lists(strings(batch.column("text")))
            columns = {"key": batch.column("_cluster"), "row": batch.column("_row"), "shingles": sets}
            if self.keep != "first":
                columns["order"] = order_of(batch, self.keep, self.keep_by, self.prefer)
            return pa.RecordBatch.from_pydict(columns)

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        keys = self._in_order(keys)
        sets = large_lists(keys.column("shingles"))
        offsets = np.zeros(len(sets) + 1, np.int64)
        np.cumsum(sets.value_lengths(), out=offsets[1:])
        values = sets.flatten().to_numpy()
        leaders = find_leaders(hashes(keys, "key"), offsets, values, self._least(self.threshold), self.measure)
        documents = documents_of(keys)
        dropped = np.flatnonzero(leaders != np.arange(len(leaders)))
        dropped = dropped[np.argsort(documents[dropped], kind="stable")]
        measured = jaccards if self.measure == "jaccard" else containments
        near = measured(offsets, values, dropped, leaders[dropped])
        drops = drops_table(documents[dropped], documents[leaders[dropped]])
        drops = drops.append_column("similarity", pa.array(self._similarity(near)))
        if self.pairs_from is None:
            return drops
        pairs = find_pairs(hashes(keys, "key"), offsets, values, self._least(self.pairs_from), self.measure)
        pairs = pairs._replace(similarity=self._similarity(pairs.similarity))
        return pa.concat_tables([drops, pair_table(pairs, documents)], promote_options="default")

    def _least(self, similarity: float) -> float:
        return similarity if self.signing is None else self.signing.set_threshold(similarity)

    def _similarity(self, of_sets: F64) -> F64:
        return of_sets if self.signing is None else self.signing.shares(of_sets)

    def _in_order(self, keys: pa.Table) -> pa.Table:
        """Each cluster's documents in processing order."""
        ranks = [documents_of(keys)]
        if self.keep != "first":
            ranks.append(ints(keys, "order"))
        if self.measure == "containment":
            ranks.append(-large_lists(keys.column("shingles")).value_lengths().to_numpy())
        if len(ranks) == 1:
            return keys
        return keys.take(np.lexsort((*ranks, hashes(keys, "key"))))

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        tables = {} if self.pairs_from is None else {"pairs": Parts(lambda: _pairs(reduced))}
        return Decision(drops=no_drops(), drop_tables=VerifiedDrops(reduced), tables=tables)


class VerifiedDrops:
    """The drops in reduced tables, one table at a time."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self.tables = tables

    def __iter__(self) -> Iterator[pa.Table]:
        return map(self.of, self.tables)

    @staticmethod
    def of(table: pa.Table) -> pa.Table:
        """The drops in one table, without the pairs that may follow them."""
        if "other_row" not in table.column_names:
            return table
        return table.filter(pc.is_null(table.column("other_row"))).drop_columns(["other_shard", "other_row"])


def _pairs(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The pairs in reduced tables, in parts of `ROWS`, at least one."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table.filter(pc.is_valid(table.column("other_row"))).drop_columns(["kept_shard", "kept_row"]))
        while sum(part.num_rows for part in held) >= ROWS:
            whole = pa.concat_tables(held)
            yield whole.slice(0, ROWS)
            held = [whole.slice(ROWS)]
    yield pa.concat_tables(held)


@njit(cache=True, nogil=True)
def _shingle_sets(
    data: np.ndarray, offsets: np.ndarray, table: np.ndarray, unit: int, ngram: int
) -> tuple[np.ndarray, np.ndarray]:
    """The sorted distinct shingle hashes of each text, concatenated, and the start of each."""
    out = np.empty(offsets[-1] - offsets[0], np.uint64)
    bounds = np.zeros(len(offsets), np.int64)
    end = 0
    for i in range(len(offsets) - 1):
        room = out[end:]
        count = shingles(data, offsets[i], offsets[i + 1], table, unit, ngram, room)
        room[:count].sort()
        for k in range(count):
            if k == 0 or room[k] != out[end - 1]:
                out[end] = room[k]
                end += 1
        bounds[i + 1] = end
    return bounds, out[:end].copy()
