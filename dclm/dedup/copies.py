"""Columns of a kept document about its copies: how many there were, and their dates and domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.curate.step import Context, Decision, Global, MapFunction, Round
from dclm.dedup.columns import distinct, documents_of, hashes, no_drops, row_of, shard_of
from dclm.text.hosts import hosts

Carry = Literal["size", "dates", "domains"]
COLUMNS: dict[Carry, str] = {"size": "copies", "dates": "copy_dates", "domains": "copy_domains"}
"""Property of the copies → its column."""


def with_copies(decision: Decision, carry: tuple[Carry, ...]) -> Decision:
    """The decision with one more round that gives kept documents the properties of their dropped copies.

    The columns are null if a document has no copy. Memory: 32 bytes per document of a cluster, plus the values carried.
    """
    if not carry:
        return decision
    again = decision.then
    if again is None:
        again = Round(step=Copies(carry=carry), rows=_rows(decision.drops), finish=_Finish(decision))
    else:
        assert isinstance(again, Round)
        again = dataclasses.replace(again, finish=_After(again, carry))
    return dataclasses.replace(decision, then=again)


class _After:
    """Finish an earlier round and request one more."""

    def __init__(self, before: Round, carry: tuple[Carry, ...]) -> None:
        self._finish: Callable[[Decision], Decision] = before.finish
        self._carry = carry

    def __call__(self, decision: Decision) -> Decision:
        return with_copies(self._finish(decision), self._carry)


class _Finish:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def __call__(self, found: Decision) -> Decision:
        return dataclasses.replace(self._decision, columns=found.columns)


def _rows(drops: pa.Table) -> pa.Table:
    """The dropped documents and those kept instead, each with the number of the kept one as `_cluster`."""
    drops = drops.filter(pc.is_valid(drops.column("kept_row")))
    gone, kept = documents_of(drops), documents_of(drops, "kept_")
    stay = distinct(kept)
    document = np.concatenate([gone, stay])
    cluster = np.concatenate([kept, stay])
    order = np.argsort(document, kind="stable")
    return pa.table(
        {
            "shard": pa.array(shard_of(document[order]), pa.int32()),
            "row": pa.array(row_of(document[order]), pa.int64()),
            "_cluster": pa.array(cluster[order].astype(np.uint64)),
        }
    )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copies(Global):
    """The round that gathers the values, including those that an earlier step carried."""

    name: ClassVar[str] = "copies"

    carry: tuple[Carry, ...]

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            columns = {"key": batch.column("_cluster"), "row": batch.column("_row")}
            return pa.RecordBatch.from_pydict(columns | {c: _carried(batch, c) for c in self.carry})

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        cluster = distinct(hashes(keys, "key"))
        place = np.searchsorted(cluster, hashes(keys, "key"))
        document = cluster.astype(np.int64)
        found = {"shard": pa.array(shard_of(document), pa.int32()), "row": pa.array(row_of(document), pa.int64())}
        for name in self.carry:
            column = keys.column(name).combine_chunks()
            if name == "size":
                found[COLUMNS[name]] = pa.array(np.bincount(place, column.to_numpy(), len(cluster)).astype(np.int64))
            else:
                found[COLUMNS[name]] = _distinct_lists(column, place, len(cluster))
        return pa.table(found)

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        columns = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        return Decision(drops=no_drops(), columns=columns)


def _carried(batch: pa.RecordBatch, carry: Carry) -> pa.Array:
    """Values that a document contributes: those it already carries, or else its own."""
    if carry == "size":
        own: pa.Array = pa.array(np.ones(batch.num_rows, np.int64))
    else:
        value = batch.column("date") if carry == "dates" else hosts(batch.column("url"))
        bounds = np.zeros(batch.num_rows + 1, np.int32)
        np.cumsum(pc.is_valid(value).to_numpy(zero_copy_only=False), out=bounds[1:])
        own = pa.ListArray.from_arrays(pa.array(bounds), value.drop_null())
    if COLUMNS[carry] not in batch.schema.names:
        return own
    before = batch.column(COLUMNS[carry])
    return pc.if_else(pc.is_valid(before), before, own)


def _distinct_lists(column: pa.ListArray, place: np.ndarray, count: int) -> pa.ListArray:
    """The sorted distinct values of the lists of each of `count` clusters."""
    owner = place[pc.list_parent_indices(column).to_numpy()]
    table = pa.table({"owner": pa.array(owner), "value": pc.list_flatten(column)})
    table = table.group_by(["owner", "value"], use_threads=False).aggregate([])
    table = table.sort_by([("owner", "ascending"), ("value", "ascending")])
    bounds = np.searchsorted(table.column("owner").to_numpy(), np.arange(count + 1)).astype(np.int32)
    return pa.ListArray.from_arrays(pa.array(bounds), table.column("value").combine_chunks())
