"""The decisions of near-duplicate steps, as drops, counts, and the tables of clusters and edges in the artifact."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.dedup.columns import F64, I64, drops_table, row_of, shard_of

Part = TypeVar("Part")
ROWS = 1 << 20
"""Rows of a table in memory at a time: a row group of its file."""


class Parts(Generic[Part]):
    """A table in parts that are generated on demand, as often as needed."""

    def __init__(self, make: Callable[[], Iterator[Part]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[Part]:
        return self._make()


class Clusters(NamedTuple):
    """For each of some documents the one that is kept instead. Clusters are numbered in the order of the kept ones.

    Memory: 24 bytes per document, plus up to 40 for drops and tables while they are made.
    """

    documents: I64
    """Packed (see `columns.pack`), in document order."""
    kept: I64
    """Index into `documents` of the document that is kept."""
    similarity: F64 | None = None
    """Similarity of each document and the kept one; None: not computed."""
    measure: str = "jaccard"
    """The measure of similarity, which is also the name of its column in `edges`."""

    def drops(self) -> pa.Table:
        """All documents that are not kept (see `dclm.curate.global_step.Decision`)."""
        gone = np.flatnonzero(self.kept != np.arange(len(self.kept)))
        drops = drops_table(self.documents[gone], self.documents[self.kept[gone]])
        return drops if self.similarity is None else drops.append_column("similarity", pa.array(self.similarity[gone]))

    def counts(self) -> dict[str, int]:
        """`clusters` of two or more documents, `duplicates` dropped, and the number of documents in the largest
        cluster."""
        size = np.bincount(self.kept, minlength=1)
        clusters = int((size > 1).sum())
        members = int(size[size > 1].sum())
        return {"clusters": clusters, "duplicates": members - clusters, "largest_cluster": _largest(size)}

    def members(self) -> Iterator[pa.Table]:
        """See `members_table`."""
        return map(members_table, self.parts())

    def edges(self) -> Iterator[pa.Table]:
        """See `edges_table`."""
        return (edges_table(part, self.measure) for part in self.parts())

    def parts(self) -> Iterator[Members]:
        """Members of clusters of two or more, by cluster and document order: in parts of `ROWS`, at least one."""
        order = _by_cluster(self.kept)
        last, number = -1, -1
        for start in range(0, max(1, len(order)), ROWS):
            rows = order[start : start + ROWS]
            kept = self.kept[rows]
            numbers = number + np.cumsum(np.diff(kept, prepend=last) != 0)
            similarity = None if self.similarity is None else self.similarity[rows]
            yield Members(numbers, self.documents[rows], self.documents[kept], similarity)
            if len(rows):
                last, number = kept[-1], numbers[-1]


class Members(NamedTuple):
    """Some documents in clusters of two or more."""

    cluster: I64
    """Number of the cluster, in the order of the kept documents."""
    document: I64
    kept: I64
    similarity: F64 | None
    """None: not computed."""


def members_table(part: Members) -> pa.Table:
    """Columns cluster, shard, row, kept: members of clusters of two or more, by cluster and document order."""
    return pa.table(
        {
            "cluster": pa.array(part.cluster),
            "shard": pa.array(shard_of(part.document), pa.int32()),
            "row": pa.array(row_of(part.document), pa.int64()),
            "kept": pa.array(part.kept == part.document),
        }
    )


def edges_table(part: Members, measure: str) -> pa.Table:
    """Columns cluster, shard, row, kept_shard, kept_row, jaccard: each dropped document with the one that is kept.

    In the order of `members_table`. If the index was not computed, the column is null: the two were linked by shared
    keys, or through other documents, and not compared. With another measure, the last column has its name.
    """
    gone = part.kept != part.document
    documents, kept = part.document[gone], part.kept[gone]
    return pa.table(
        {
            "cluster": pa.array(part.cluster[gone]),
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "kept_shard": pa.array(shard_of(kept), pa.int32()),
            "kept_row": pa.array(row_of(kept), pa.int64()),
            measure: pa.nulls(len(documents), pa.float64())
            if part.similarity is None
            else pa.array(part.similarity[gone]),
        }
    )


@njit(cache=True, nogil=True)
def _by_cluster(kept: np.ndarray) -> np.ndarray:
    """Indices of documents in clusters of two or more, ordered by the kept one: a counting sort, 8 bytes per
    document."""
    alone = np.uint32(0xFFFFFFFF)
    place = np.zeros(len(kept), np.uint32)  # the size of each cluster; then the index for its next member
    for k in kept:
        place[k] += np.uint32(1)
    filled = 0
    for i in range(len(place)):
        size = place[i]
        place[i] = alone if size < 2 else np.uint32(filled)
        filled += size if size >= 2 else 0
    order = np.empty(filled, np.uint32)
    for i in range(len(kept)):
        if place[kept[i]] != alone:
            order[place[kept[i]]] = i
            place[kept[i]] += np.uint32(1)
    return order


def _largest(size: I64) -> int:
    largest = int(size.max())
    return largest if largest > 1 else 0
