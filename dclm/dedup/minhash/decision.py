"""From candidate links to MinHash's decision: which document of each cluster is kept, with or without verification."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision
from dclm.dedup.columns import I64, U64, documents_of, ints, row_of, shard_of
from dclm.dedup.groups.clusters import Clusters, Parts
from dclm.dedup.groups.components import Components, Links
from dclm.dedup.memory import FRACTION, room_bytes, show_bytes
from dclm.dedup.minhash.leaders import Measure

Value = TypeVar("Value", np.uint64, np.int64, np.float64)
DECISION_BYTES = 100  # peak for components, clusters, edges and drops


def check_memory(candidates: int) -> None:
    """Raises: ConfigError if this process cannot hold that many documents with candidates."""
    need, room = candidates * DECISION_BYTES, room_bytes()
    if need > room:
        raise ConfigError(
            "minhash",
            f"{candidates:,} documents with candidates need {show_bytes(need)}; {show_bytes(room)} available",
            f"put `exact` before it, or decide on a machine with {show_bytes(int(need / FRACTION))} free",
        )


class LinksOf:
    """Reduced tables as links; can be iterated repeatedly."""

    def __init__(self, reduced: Iterable[pa.Table]) -> None:
        self._reduced = reduced

    def __iter__(self) -> Iterator[Links]:
        for table in self._reduced:
            first, second = ints(table, "first"), ints(table, "second")
            linked = first != second  # without those that an index contains (see `known.with_lone`)
            yield Links(first[linked], second[linked])


def column_of(documents: I64, reduced: Iterable[pa.Table], name: str, kind: type[Value]) -> npt.NDArray[Value]:
    """Value of a column carried by `candidate_links`, for each linked document."""
    found = np.zeros(len(documents), kind)
    for table in reduced:
        for end in ("first", "second"):
            linked = ints(table, end)
            place = np.minimum(np.searchsorted(documents, linked), len(documents) - 1) if len(documents) else linked[:0]
            there = documents[place] == linked[: len(place)]
            found[place[there]] = table.column(f"{name}_{end}").to_numpy()[: len(place)][there]
    return found


def best_of(group: tuple[I64 | U64, ...], order: I64 | None) -> I64:
    """Index of the document kept from each document's group: the one with the smallest `order`, then the first.

    group: arrays with one value per document; documents with equal values in all of them form a group.
    """
    count = len(group[0])
    ranked = np.lexsort((np.arange(count), *(() if order is None else (order,)), *group))
    starts = np.zeros(count, np.bool_)
    starts[:1] = True
    for values in group:
        sorted_values = values[ranked]
        starts[1:] |= sorted_values[1:] != sorted_values[:-1]
    best = np.empty(count, np.int64)
    best[ranked] = ranked[starts][np.cumsum(starts) - 1]
    return best


def rows_to_verify(found: Components, best: I64) -> pa.Table:
    """One copy of each distinct document in components with more than one: shard, row, `_cluster`."""
    different = np.flatnonzero(best == np.arange(len(best)))
    several = np.bincount(found.root[different], minlength=len(best))[found.root[different]] > 1
    chosen = different[several]
    documents = found.documents[chosen]
    return pa.table(
        {
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "_cluster": pa.array(found.documents[found.root[chosen]].astype(np.uint64)),
        }
    )


class Finish:
    """The decision on all candidates, derived from the decision on one copy of each."""

    def __init__(self, documents: I64, best: I64, info: dict[str, object], measure: Measure) -> None:
        self._documents, self._best, self._info, self._measure = documents, best, info, measure

    def __call__(self, verified: Decision) -> Decision:
        drops = verified.all_drops()
        dropped = np.searchsorted(self._documents, documents_of(drops))
        kept = np.arange(len(self._documents))
        kept[dropped] = np.searchsorted(self._documents, documents_of(drops, "kept_"))
        similarity = np.ones(len(self._documents), np.float64)  # copies of a kept document
        similarity[dropped] = drops.column("similarity").to_numpy()
        clusters = Clusters(self._documents, kept[self._best], similarity[self._best], self._measure)
        decision = decision_of(clusters, self._info)
        return dataclasses.replace(decision, tables={**decision.tables, **verified.tables})


def decision_of(found: Clusters, info: dict[str, object]) -> Decision:
    """Drops, counts and tables."""
    tables = {"clusters": Parts(found.members), "edges": Parts(found.edges)}
    return Decision(drops=found.drops(), info={**info, **found.counts()}, tables=tables)
