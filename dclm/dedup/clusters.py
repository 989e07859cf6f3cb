"""What near-duplicate steps decide, as drops, counts, and the tables of clusters and edges beside the documents."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dclm.dedup.columns import F64, I64, drops_table, row_of, shard_of

ROWS = 1 << 20
"""Of a table in memory at a time: a row group of its file."""


class Parts:
    """A table in parts that are made as they are asked for, as often as they are."""

    def __init__(self, make: Callable[[], Iterator[pa.Table]]) -> None:
        self._make = make

    def __iter__(self) -> Iterator[pa.Table]:
        return self._make()


class Clusters(NamedTuple):
    """For each of some documents the one that stays in its place. Clusters are numbered in the order of those.

    Memory: 24 bytes a document, for tables up to 50 more while they are made.
    """

    documents: I64
    """Packed (see `columns.pack`), in document order."""
    kept: I64
    """Index into `documents` of the document that stays."""
    jaccard: F64 | None = None
    """Index of each document and the one that stays; None: not computed."""

    def drops(self) -> pa.Table:
        """All documents that do not stay (see `dclm.step.Decision`)."""
        gone = np.flatnonzero(self.kept != np.arange(len(self.kept)))
        return drops_table(self.documents[gone], self.documents[self.kept[gone]])

    def counts(self) -> dict[str, int]:
        """`clusters` of two or more documents, `duplicates` dropped, and the number of documents in the largest one."""
        size = np.bincount(self.kept, minlength=1)
        clusters = int((size > 1).sum())
        members = int(size[size > 1].sum())
        return {"clusters": clusters, "duplicates": members - clusters, "largest_cluster": _largest(size)}

    def members(self) -> Iterator[pa.Table]:
        """Columns cluster, shard, row, kept: members of clusters of two or more, by cluster and document order."""
        order, number = self._in_clusters()
        for rows in _slices(order):
            yield pa.table(
                {
                    "cluster": pa.array(number[self.kept[rows]], pa.int64()),
                    "shard": pa.array(shard_of(self.documents[rows]), pa.int32()),
                    "row": pa.array(row_of(self.documents[rows]), pa.int64()),
                    "kept": pa.array(self.kept[rows] == rows),
                }
            )

    def edges(self) -> Iterator[pa.Table]:
        """Columns cluster, shard, row, kept_shard, kept_row, jaccard: each dropped document beside the one that stays.

        In the order of `members`. Without an index the column is null: the two were linked by keys they share, or
        through others, and not compared.
        """
        order, number = self._in_clusters()
        order = order[self.kept[order] != order]
        for rows in _slices(order):
            documents, kept = self.documents[rows], self.documents[self.kept[rows]]
            yield pa.table(
                {
                    "cluster": pa.array(number[self.kept[rows]], pa.int64()),
                    "shard": pa.array(shard_of(documents), pa.int32()),
                    "row": pa.array(row_of(documents), pa.int64()),
                    "kept_shard": pa.array(shard_of(kept), pa.int32()),
                    "kept_row": pa.array(row_of(kept), pa.int64()),
                    "jaccard": pa.nulls(len(rows), pa.float64())
                    if self.jaccard is None
                    else pa.array(self.jaccard[rows]),
                }
            )

    def _in_clusters(self) -> tuple[I64, I64]:
        """Places of the documents in clusters of two or more, cluster after cluster; the cluster's number of each place
        that stays."""
        shared = np.bincount(self.kept, minlength=len(self.kept)) > 1
        order = np.argsort(self.kept, kind="stable")
        order = order[shared[self.kept[order]]]
        return order, np.cumsum(shared) - 1


def _largest(size: I64) -> int:
    largest = int(size.max())
    return largest if largest > 1 else 0


def _slices(order: I64) -> Iterator[I64]:
    """At least one, if empty."""
    for start in range(0, max(1, len(order)), ROWS):
        yield order[start : start + ROWS]
