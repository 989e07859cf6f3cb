"""Documents of a batch that are in an index of MinHash keys, and the consequences for documents linked to them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable

import numpy as np
import pyarrow as pa

from dclm.core.arrow import Column
from dclm.curate.global_step import Decision, Round
from dclm.dedup.columns import F64, I64, U64, Bool, distinct, documents_of, drops_by, ints
from dclm.dedup.groups.components import Components
from dclm.dedup.index.indexed import IN_INDEX
from dclm.dedup.index.relation import Relation, Sets
from dclm.dedup.minhash.decision import best_of
from dclm.dedup.minhash.leaders import jaccard_index

BANDS = "bands"
"""The relation of an index: keys of bands."""
BY_KEY = -1.0
"""Used as the similarity of a document that is known only by a key."""
Similarity = Callable[[U64, U64], float]


class Known:
    """Looks up documents in indexes."""

    def __init__(self, indexes: list[str], verify: float | None, similarity: Similarity = jaccard_index) -> None:
        self._bands = Relation(indexes, BANDS)
        self._verify, self._similarity = verify, similarity
        self._sets = None if verify is None else Sets(indexes)

    def of(self, keys: U64, places: I64, num_documents: int, sets: Callable[[int], U64] | None) -> F64:
        """For each document: 0 if unknown, else `BY_KEY`, or its similarity to the closest match if verified.

        places: the document of each key. sets: function that returns a document's shingles, for verification.
        """
        found = np.zeros(num_documents, np.float64)
        if self._sets is None or self._verify is None or sets is None:
            found[places[self._bands.holds(keys)]] = BY_KEY
            return found
        for run in range(self._bands.num_runs):
            match = self._bands.matches(run, keys)
            pairs = np.unique(np.stack([places[match.place], match.shard, match.row]), axis=1).T
            for place, shard, row in pairs.tolist():
                near = self._similarity(sets(place), self._sets.get(run, shard, row))
                if near >= self._verify:
                    found[place] = max(found[place], near)
        return found


def with_lone(links: pa.Table, keys: pa.Table) -> pa.Table:
    """Links, plus one from each known document to itself, since it may have no other."""
    known = keys.filter(pa.array(keys.column("known").to_numpy() != 0))
    documents, first = np.unique(documents_of(known), return_index=True)
    columns: dict[str, Column] = {"first": pa.array(documents), "second": pa.array(documents)}
    for name in links.column_names[2:]:
        column, _, _ = name.rpartition("_")
        columns[name] = pa.array(known.column(column).to_numpy()[first])
    return pa.concat_tables([links, pa.table(columns).cast(links.schema)])


def with_documents(found: Components, reduced: Iterable[pa.Table]) -> Components:
    """The components, and the documents linked only to themselves."""
    lone = [np.zeros(0, np.int64)]
    for table in reduced:
        first = ints(table, "first")
        lone.append(first[first == ints(table, "second")])
    more = np.setdiff1d(distinct(np.concatenate(lone)), found.documents, assume_unique=True)
    documents = np.concatenate([found.documents, more])
    root = np.concatenate([found.documents[found.root], more])
    order = np.argsort(documents)
    documents = documents[order]
    return Components(documents, np.searchsorted(documents, root[order]), found.refused)


def gone_for_index(found: Components, known: F64, verified: bool) -> Bool:
    """Documents dropped because an index contains them or, without verification, a document linked to them."""
    mine: Bool = known != 0
    if verified:
        return mine
    touched = np.zeros(len(mine), np.bool_)
    touched[found.root[mine]] = True
    result: Bool = touched[found.root]
    return result


def without(found: Components, gone: Bool) -> Components:
    """The components of the remaining documents, each with its first document as the root."""
    left = found.root[~gone]
    return Components(found.documents[~gone], best_of((left,), None), found.refused)


class AndInIndex:
    """A decision on the other documents, plus those that an index contains (packed, in document order)."""

    def __init__(self, documents: I64, known: F64, after: Callable[[Decision], Decision] | None = None) -> None:
        self._documents, self._known, self._after = documents, known, after

    def __call__(self, decision: Decision) -> Decision:
        if self._after is not None:
            decision = self._after(decision)
        if decision.then is not None:
            assert isinstance(decision.then, Round)
            finish = AndInIndex(self._documents, self._known, decision.then.finish)
            return dataclasses.replace(decision, then=dataclasses.replace(decision.then, finish=finish))
        known = np.where(self._known > 0, self._known, np.nan)
        mine = drops_by(IN_INDEX, self._documents, known)
        drops = pa.concat_tables([decision.drops, mine], promote_options="default")
        drops = drops.sort_by([("shard", "ascending"), ("row", "ascending")])
        return dataclasses.replace(decision, drops=drops, info={**decision.info, "in_index": len(self._documents)})
