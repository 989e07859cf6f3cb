"""`exact`: documents whose text or URL is the same, once normalized, are one document."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.dedup.columns import documents_of, drops_table, hashes
from dclm.dedup.hashing import hash_values
from dclm.dedup.normalize import NORMALIZERS, Normalizer
from dclm.step import Context, Decision, Global, MapFunction
from dclm.text.buffers import utf8

Keep = Literal["first", "newest", "longest", "smallest_hash"]
_ORDERS: dict[Keep, str] = {"newest": "descending", "longest": "descending", "smallest_hash": "ascending"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exact(Global):
    """Of the documents that are equal, keeps one.

    Equal means equal 128-bit hashes of the normalized value. A document without a URL equals no other by URL.

    Source: DCLM's ray_processing/dedup_jsonl.py, which compares md5 sums and keeps whichever copy its shuffle
    delivers first; here the first is the first in document order.
    """

    name: ClassVar[str] = "exact"

    of: Literal["text", "url"] = "text"
    """The column to compare."""
    normalize: Normalizer | None = None
    """What is done to the value before it is compared."""
    keep: Keep = "first"
    """Which copy stays: the first in document order, the newest by `date` (as text, so ISO 8601), the longest text,
    or that whose id has the smallest hash. Ties go to the first in document order; no date is older than any."""

    def open(self, context: Context) -> MapFunction:
        return self._emit

    def _emit(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        batch = batch.filter(pc.is_valid(batch.column(self.of)))
        value = batch.column(self.of)
        if self.normalize is not None:
            normalizer = NORMALIZERS[self.normalize]
            value = pa.array([normalizer(v) for v in value.to_pylist()], pa.string())
        key, check = hash_values(*utf8(value), np.uint64(0))
        columns = {"key": pa.array(key), "row": batch.column("_row"), "check": pa.array(check)}
        if self.keep != "first":
            columns["order"] = self._order(batch)
        return pa.RecordBatch.from_pydict(columns)

    def _order(self, batch: pa.RecordBatch) -> pa.Array:
        if self.keep == "newest":
            return batch.column("date")
        if self.keep == "longest":
            return pc.cast(pc.binary_length(batch.column("text")), pa.int64())
        return pa.array(hash_values(*utf8(batch.column("id")), np.uint64(1))[0])

    def reduce(self, keys: pa.Table) -> pa.Table:
        key, check = hashes(keys, "key"), hashes(keys, "check")
        documents = documents_of(keys)
        rank = np.zeros(len(key), np.int64)
        if self.keep != "first":
            rank = pc.rank(keys.column("order"), sort_keys=_ORDERS[self.keep], tiebreaker="dense").to_numpy()
        order = np.lexsort((documents, rank, check, key))
        key, check, documents = key[order], check[order], documents[order]
        starts = np.ones(len(key), np.bool_)
        starts[1:] = (key[1:] != key[:-1]) | (check[1:] != check[:-1])
        kept = documents[starts][np.cumsum(starts) - 1] if len(key) else documents
        return drops_table(documents[~starts], kept[~starts])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        drops = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        return Decision(drops=drops, info={"duplicates": drops.num_rows})
