"""SemDeDup: keeps one of the documents that mean nearly the same."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column
from dclm.core.config import Positive, Range
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision, Global, Round
from dclm.curate.step import Context, MapFunction
from dclm.dedup import keep
from dclm.dedup.columns import documents_of, ints, no_drops, row_of, shard_of
from dclm.dedup.copies import Carry, with_copies
from dclm.dedup.keep import check_keep, order_of
from dclm.select.semantic.kmeans import assigned, spherical_kmeans
from dclm.select.semantic.nearest import nearest_before
from dclm.select.semantic.vectors import Vectors, unit_vectors

Keep = Literal["farthest", "nearest", "first", "newest", "longest", "smallest_hash", "highest", "preferred"]
_BY_CENTROID = ("farthest", "nearest", "first")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SemDedup(Global):
    """Drops documents whose embedding is close to that of another one in the same cluster.

    Spherical k-means groups all vectors. Within a cluster the documents are ranked by `keep`, and each is compared with
    all documents ranked before it: `epsilon` drops those whose highest cosine similarity is above 1 − epsilon,
    `keep_fraction` as many as needed, those with the highest similarity first. Documents without a vector are kept. The
    result is the same for any number of workers. The artifact's table `clusters` has each cluster's documents and
    drops.

    Source: SemDeDup (arXiv 2303.09540), whose program keeps the document farthest from the centroid; DataComp-LM uses
    11,000 clusters, 20 iterations and drops a quarter.
    """

    name: ClassVar[str] = "semdedup"
    version: ClassVar[int] = 2

    column: str = "embedding"
    """Column of vectors, as added by `embed`."""
    clusters: Positive
    """Number of clusters."""
    iterations: Positive = 20
    """Maximum number of updates of the centroids."""
    epsilon: Annotated[float, Range(0.0, 2.0)] | None = None
    """Documents more similar than 1 − epsilon to a higher-ranked one are dropped. Set this or `keep_fraction`."""
    keep_fraction: Annotated[float, Range(0.0, 1.0)] | None = None
    """Fraction of the documents with a vector to keep. Set this or `epsilon`."""
    keep: Keep = "farthest"
    """Which document ranks first in a cluster: the farthest from its centroid, the nearest to it, the first in document
    order, or by one of the orders of `minhash`: newest, longest, smallest_hash, highest, preferred. Ties go to the
    first in document order."""
    keep_by: str | None = None
    """For `keep: highest`, a column of numbers, such as a quality score. For `keep: preferred`, the column that the
    patterns are matched against; null: `source`."""
    prefer: tuple[str, ...] = ()
    """For `keep: preferred`: patterns, best first, such as [wikipedia*, books*]. See `exact`."""
    carry: tuple[Carry, ...] = ()
    """What a kept document records about its cluster, itself included: `size` (column `copies`), the distinct `dates`
    (`copy_dates`) and `domains` (`copy_domains`). A dropped document belongs to the document most similar to it, or, if
    that one was dropped too, to the kept document at the end of the chain, which the ledger names."""

    def __post_init__(self) -> None:
        check_keep(self.keep, self.keep_by, self.prefer)
        if (self.epsilon is None) == (self.keep_fraction is None):
            raise ValueError("give `epsilon` or `keep_fraction`")

    @property
    def memory(self) -> str:
        """See `Step`."""
        return (
            f"a 16th of 2 bytes per document and dimension, {self.clusters:,} centroids, 24 bytes per document; the "
            "vectors of the largest cluster, whose time grows with its square"
        )

    @property
    def cost(self) -> str:
        """See `Step`."""
        products = self.clusters * (self.iterations + 2)
        return f"{products:,} products per document and dimension; one CPU core computes about 20 billion per second"

    def open(self, context: Context) -> MapFunction:
        """See the class."""

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows, vectors = _vectors(batch, self.column, self.name)
            return pa.RecordBatch.from_pydict({"key": pc.cast(rows, pa.uint64()), "row": rows, "vector": vectors})

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        """All vectors."""
        return keys.select(["shard", "row", "vector"])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        """Clusters first; then a round over the documents of each cluster."""
        seeds = _seeds(reduced, self.clusters)
        if not len(seeds):
            return with_copies(Decision(drops=no_drops(), info={"documents": 0}), self.carry)
        found = spherical_kmeans(_Units(reduced), seeds, self.iterations)
        places: list[pa.Table] = []
        for table, (_, cluster, similarity) in zip(reduced, assigned(_Units(reduced), found.centroids), strict=True):
            rows = table.select(["shard", "row"]).append_column("_cluster", pa.array(cluster))
            places.append(rows.append_column("_to_centroid", pa.array(similarity)))
        rows = pa.concat_tables(places).sort_by([("shard", "ascending"), ("row", "ascending")])
        info = {
            "documents": rows.num_rows,
            "clusters": len(seeds),
            "mean_similarity_to_centroid": [round(value, 6) for value in found.objective],
        }
        sizes = np.bincount(rows.column("_cluster").to_numpy(), minlength=len(seeds))
        step = _WithinClusters(
            column=self.column,
            epsilon=self.epsilon,
            keep_fraction=self.keep_fraction,
            keep=self.keep,
            keep_by=self.keep_by,
            prefer=self.prefer,
            names_kept=bool(self.carry),
        )

        def finish(decision: Decision) -> Decision:
            gone = np.bincount(decision.drops.column("_cluster").to_numpy(), minlength=len(seeds))
            table = pa.Table.from_pydict({"cluster": np.arange(len(seeds)), "documents": sizes, "dropped": gone})
            drops = decision.drops.drop_columns(["_cluster"])
            return Decision(drops=drops, info={**info, **decision.info}, tables={"clusters": [table]})

        return with_copies(
            Decision(drops=rows.slice(0, 0), then=Round(step=step, rows=[rows], finish=finish)), self.carry
        )


@dataclasses.dataclass(frozen=True, kw_only=True)
class _WithinClusters(Global):
    """The round of `SemDedup` in which documents are compared."""

    name: ClassVar[str] = "semdedup"

    column: str
    epsilon: float | None
    keep_fraction: float | None
    keep: Keep
    keep_by: str | None
    prefer: tuple[str, ...]
    names_kept: bool

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            rows, vectors = _vectors(batch, self.column, self.name)
            key = pc.cast(batch.column("_cluster"), pa.uint64())
            near = batch.column("_to_centroid")
            columns = {"key": key, "row": rows, "to_centroid": near, "vector": vectors}
            if self.keep not in _BY_CENTROID:
                columns["order"] = order_of(batch, cast(keep.Keep, self.keep), self.keep_by, self.prefer)
            return pa.RecordBatch.from_pydict(columns)

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        cluster = keys.column("key").to_numpy().astype(np.int64)
        vectors, _ = unit_vectors(keys.column("vector"), self.name)
        rank = self._rank(keys)
        similarity = np.full(len(cluster), -1.0, np.float32)
        nearest = np.full(len(cluster), -1, np.int64)
        bounds = np.flatnonzero(np.diff(cluster, prepend=-1, append=-1))
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
            order = np.arange(start, end)  # by shard and row
            if rank is not None:
                order = start + np.argsort(rank[start:end], kind="stable")
            similarity[order], place = nearest_before(vectors[order])
            nearest[order] = np.where(place >= 0, order[place], order)
        rows = keys.select(["shard", "row"]).append_column("_cluster", pa.array(cluster))
        if self.names_kept:
            for name in ("shard", "row"):
                rows = rows.append_column(f"kept_{name}", keys.column(name).combine_chunks().take(nearest))
        return rows.append_column("similarity", pa.array(similarity))

    def _rank(self, keys: pa.Table) -> npt.NDArray[np.int64] | Vectors | None:
        """Rank of each document, smallest first; None: document order."""
        if self.keep == "first":
            return None
        if self.keep not in _BY_CENTROID:
            return ints(keys, "order")
        near: Vectors = keys.column("to_centroid").to_numpy()
        return near if self.keep == "farthest" else -near

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        rows = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        similarity = rows.column("similarity").to_numpy()
        if self.epsilon is not None:
            gone = similarity > 1 - self.epsilon
        else:
            assert self.keep_fraction is not None
            count = len(similarity) - math.ceil(self.keep_fraction * len(similarity) - 1e-9)
            gone = np.zeros(len(similarity), bool)
            gone[np.argsort(-similarity, kind="stable")[:count]] = True
        least = float(similarity[gone].min()) if gone.any() else None
        if self.names_kept:
            rows = _with_kept(rows, gone)
        return Decision(drops=rows.filter(pa.array(gone)), info={"least_similarity_dropped": least})


def _with_kept(rows: pa.Table, gone: npt.NDArray[np.bool_]) -> pa.Table:
    """The rows, each with the document kept instead: the end of the chain of dropped ones."""
    documents = documents_of(rows)
    leader = np.where(gone, np.searchsorted(documents, documents_of(rows, "kept_")), np.arange(len(documents)))
    while not np.array_equal(leader, leader[leader]):
        leader = leader[leader]
    for name, values in (("kept_shard", shard_of(documents[leader])), ("kept_row", row_of(documents[leader]))):
        rows = rows.set_column(rows.column_names.index(name), name, pa.array(values))
    return rows


class _Units:
    """The unit vectors of tables, read as often as needed."""

    def __init__(self, tables: Iterable[pa.Table]) -> None:
        self._tables = tables

    def __iter__(self) -> Iterator[Vectors]:
        for table in self._tables:
            yield unit_vectors(table.column("vector"), SemDedup.name)[0]


def _vectors(batch: pa.RecordBatch, column: str, step: str) -> tuple[Column, Column]:
    """The rows that have a vector, and their vectors."""
    if column not in batch.schema.names:
        raise ConfigError(step, f"no column {column}", "put `embed` before this step to add it")
    _, present = unit_vectors(batch.column(column), f"{step}: {column}")
    mask = pa.array(present)
    return batch.column("_row").filter(mask), batch.column(column).filter(mask)


def _seeds(tables: Iterable[pa.Table], count: int) -> Vectors:
    """The vectors of `count` documents (or fewer), drawn by a hash of their positions, which does not depend on the
    workers."""
    drawn: list[tuple[npt.NDArray[np.uint64], Vectors]] = []
    for table in tables:
        vectors, _ = unit_vectors(table.column("vector"), SemDedup.name)
        shard = table.column("shard").to_numpy().astype(np.uint64)
        draw = _mixed((shard << np.uint64(40)) ^ table.column("row").to_numpy().astype(np.uint64))
        first = np.argsort(draw, kind="stable")[:count]
        drawn.append((draw[first], vectors[first]))
    if not drawn:
        return np.zeros((0, 1), np.float32)
    draws, vectors = np.concatenate([d for d, _ in drawn]), np.concatenate([v for _, v in drawn])
    return vectors[np.argsort(draws, kind="stable")[:count]]


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """splitmix64."""
    x = x + np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
