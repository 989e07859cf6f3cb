"""Columns of a kept document about its copies: how many there were, and their dates and domains."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, Lists, list_array, lists, strings
from dclm.curate.global_step import Decision, Global, IterativeReduce, Regroup, Round
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import distinct, documents_of, hashes, no_drops, row_of, shard_of
from dclm.text.hosts import hosts

Carry = Literal["size", "dates", "domains"]
COLUMNS: dict[Carry, str] = {"size": "copies", "dates": "copy_dates", "domains": "copy_domains"}
"""Property of the copies → its column."""


def with_copies(decision: Decision, carry: tuple[Carry, ...]) -> Decision:
    """The decision with one more round that gives kept documents the properties of their dropped copies.

    The columns are null if a document has no copy. All drops with the same kept document must be in one table.
    """
    if not carry:
        return decision
    work = decision.then
    if work is None:
        then: Round | IterativeReduce | Regroup = Round(
            step=Copies(carry=carry), rows=_Rows(decision), finish=_Finish(decision)
        )
    else:
        finish = _After(work.finish, carry)
        then = dataclasses.replace(work, finish=finish)
    return dataclasses.replace(decision, then=then)


class _After:
    """Finish earlier work and request one more round."""

    def __init__(self, finish: Callable[[Any], Decision], carry: tuple[Carry, ...]) -> None:
        self._finish, self._carry = finish, carry

    def __call__(self, found: Any) -> Decision:
        return with_copies(self._finish(found), self._carry)


class _Finish:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def __call__(self, found: Decision) -> Decision:
        return dataclasses.replace(self._decision, columns=found.columns)


class _Rows:
    """The dropped documents and those kept instead, each with the number of the kept one as `_cluster`."""

    def __init__(self, decision: Decision) -> None:
        self._decision = decision

    def __iter__(self) -> Iterator[pa.Table]:
        for drops in self._decision.drop_tables or [self._decision.drops]:
            drops = drops.filter(pc.is_valid(drops.column("kept_row")))
            gone, kept = documents_of(drops), documents_of(drops, "kept_")
            stay = distinct(kept)
            document = np.concatenate([gone, stay])
            yield pa.table(
                {
                    "shard": pa.array(shard_of(document), pa.int32()),
                    "row": pa.array(row_of(document), pa.int64()),
                    "_cluster": pa.array(np.concatenate([kept, stay]).astype(np.uint64)),
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
        found: dict[str, Column] = {"shard": pa.array(shard_of(document), pa.int32())}
        found["row"] = pa.array(row_of(document), pa.int64())
        for name in self.carry:
            column: Column = keys.column(name).combine_chunks()
            if name == "size":
                found[COLUMNS[name]] = pa.array(np.bincount(place, column.to_numpy(), len(cluster)).astype(np.int64))
            else:
                found[COLUMNS[name]] = _distinct_lists(lists(column), place, len(cluster))
        return pa.Table.from_pydict(found)

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        return Decision(drops=no_drops(), columns=reduced)


def _carried(batch: pa.RecordBatch, carry: Carry) -> Column:
    """Values that a document contributes: those it already carries, or else its own."""
    if carry == "size":
        own: Column = pa.array(np.ones(batch.num_rows, np.int64))
    else:
        value = strings(batch.column("date")) if carry == "dates" else hosts(strings(batch.column("url")))
        bounds = np.zeros(batch.num_rows + 1, np.int32)
        np.cumsum(pc.is_valid(value).to_numpy(zero_copy_only=False), out=bounds[1:])
        own = list_array(bounds, value.drop_null())
    if COLUMNS[carry] not in batch.schema.names:
        return own
    before = batch.column(COLUMNS[carry])
    found: Column = pc.if_else(pc.is_valid(before), before, own)
    return found


def _distinct_lists(column: Lists, place: np.ndarray, count: int) -> Lists:
    """The sorted distinct values of the lists of each of `count` clusters."""
    owner = place[pc.list_parent_indices(column).to_numpy()]
    table = pa.table({"owner": pa.array(owner), "value": pc.list_flatten(column)})
    table = table.group_by(["owner", "value"], use_threads=False).aggregate([])
    table = table.sort_by([("owner", "ascending"), ("value", "ascending")])
    bounds = np.searchsorted(table.column("owner").to_numpy(), np.arange(count + 1)).astype(np.int32)
    return list_array(bounds, table.column("value").combine_chunks())
