"""`minhash`: near-duplicate documents, found by MinHash and locality-sensitive hashing, optionally verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.config import Count, Fraction, Positive, Range
from dclm.core.errors import ConfigError
from dclm.curate.step import Context, Decision, Global, IterativeReduce, MapFunction, Round
from dclm.dedup.columns import I64, U64, documents_of, hashes, ints, no_drops, row_of, shard_of
from dclm.dedup.groups.clusters import Clusters, Parts
from dclm.dedup.groups.components import Components, Links, components
from dclm.dedup.groups.stars import components_of, edges_of, large_star, small_star
from dclm.dedup.memory import FRACTION, room_bytes, show_bytes
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.lsh import band_keys, candidate_links
from dclm.dedup.minhash.signatures import Bits, permutations, signatures
from dclm.dedup.minhash.verify import Verify
from dclm.text.buffers import utf8

_DECISION_BYTES = 100  # for components, clusters, edges and drops, at peak


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinHash(Global):
    """Keeps the first of documents that share many n-grams.

    Two documents with Jaccard index s become candidates with probability 1 − (1 − s^rows)^bands. Without `verify`,
    candidates are duplicates, and so are those linked through others. With it, a document is dropped only if its exact
    index with a kept one reaches the threshold (see `Verify`). Documents without any word are never duplicates; one
    with fewer words than `ngram` has a single shingle.

    Adds the tables `clusters`, one row for every document in a cluster of two or more, and `edges`, one for every
    dropped document with the one that is kept, with their Jaccard index if it was computed (see `dclm.dedup.groups`).

    Source: DCLM appendix L (93 bands of 15 over 5-grams of tokens); signatures are those of datasketch ≥ 2 (schemes
    affine64 and affine32) for the same seed, fed with `dclm.dedup.minhash.shingles.shingle_hash`.
    """

    name: ClassVar[str] = "minhash"
    version: ClassVar[int] = 5

    ngram: Positive = 5
    """Number of units in a shingle."""
    unit: Literal["word", "character"] = "word"
    """Words are separated by whitespace."""
    normalize: Normalization = "lower"
    """Normalization of the text: none; lower case; lower case without ASCII punctuation, as in SlimPajama; or without
    punctuation of any script, with variants of typography folded (ligatures, full width, accents, invisible characters)
    and dashes separating words."""
    bands: Positive = 93
    """Number of bands; `dclm dedup bands` prints the bands and rows that datasketch chooses for a threshold."""
    rows: Positive = 15
    seed: Annotated[int, Range(0, 2**32 - 1)] = 1
    """Seed of the permutations."""
    bits: Bits = 64
    """Width of the hashes; 32 is faster and enough below about 1e8 shingles per document."""
    verify: Fraction | None = None
    """Minimum exact Jaccard index of a dropped document with the one kept instead; null: none is computed."""
    max_cluster: Count | None = None
    """Links that would make a candidate cluster of more documents are not followed; null: no limit."""
    links_in_memory: Count = 200_000_000
    """More candidate links than this are joined in rounds on all workers instead of at once on one, with the same
    result. With `max_cluster` their order matters, and one worker joins them all."""

    def __post_init__(self) -> None:
        if self.verify == 0:
            raise ValueError("verify: 0 verifies nothing; omit it")

    @property
    def memory(self) -> str:
        found = f"a worker needs 1 GB; the deciding worker: {_DECISION_BYTES} B"
        verified = "; with verify: 8 B per distinct shingle of the largest candidate cluster" if self.verify else ""
        return f"{found} per candidate document{verified}"

    def open(self, context: Context) -> MapFunction:
        table = alphabet(self.normalize)
        draw = permutations(self.bands * self.rows, self.seed, self.bits)

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = signatures(utf8(batch.column("text")), table, self.unit == "word", self.ngram, draw)
            keys, places = band_keys(found, self.bands, self.rows)
            rows = batch.column("_row").to_numpy()[places]
            return pa.RecordBatch.from_pydict(
                {"key": pa.array(keys), "row": pa.array(rows, pa.int64()), "whole": pa.array(found.whole[places])}
            )

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        return candidate_links(keys)

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        if self.max_cluster is not None or sum(table.num_rows for table in reduced) <= self.links_in_memory:
            return self._decision_on(components(_LinksOf(reduced), self.max_cluster), reduced)
        return Decision(
            drops=no_drops(),
            then=IterativeReduce(
                start=edges_of,
                steps=(large_star, small_star),
                finish=lambda rows: self._decision_on(components_of(rows), reduced),
            ),
        )

    def _decision_on(self, found: Components, reduced: Iterable[pa.Table]) -> Decision:
        _check_memory(len(found.documents))
        info: dict[str, object] = {"candidates": len(found.documents)}
        if self.max_cluster is not None:
            info["refused_links"] = found.refused
        if self.verify is None:
            return _decision(Clusters(found.documents, found.root), info)
        first = _first_copies(found, _whole_of(found.documents, reduced))
        step = Verify(threshold=self.verify, words=self.unit == "word", ngram=self.ngram, normalize=self.normalize)
        return Decision(
            drops=no_drops(),
            then=Round(step=step, rows=_rows_to_verify(found, first), finish=_Finish(found.documents, first, info)),
        )


def _check_memory(candidates: int) -> None:
    need, room = candidates * _DECISION_BYTES, room_bytes()
    if need > room:
        raise ConfigError(
            "minhash",
            f"{candidates:,} documents with candidates need {show_bytes(need)}; {show_bytes(room)} available",
            f"put `exact` before it, or decide on a machine with {show_bytes(int(need / FRACTION))} free",
        )


class _LinksOf:
    """Reduced tables as links, as often as needed."""

    def __init__(self, reduced: Iterable[pa.Table]) -> None:
        self._reduced = reduced

    def __iter__(self) -> Iterator[Links]:
        for table in self._reduced:
            yield Links(ints(table, "first"), ints(table, "second"))


def _whole_of(documents: I64, reduced: Iterable[pa.Table]) -> U64:
    whole = np.zeros(len(documents), np.uint64)
    for table in reduced:
        for end in ("first", "second"):
            whole[np.searchsorted(documents, ints(table, end))] = hashes(table, f"whole_{end}")
    return whole


def _first_copies(found: Components, whole: U64) -> I64:
    """For each document the index of the first one in its component with the same shingle sequence."""
    order = np.lexsort((np.arange(len(whole)), whole, found.root))
    starts = np.ones(len(order), np.bool_)
    root, whole = found.root[order], whole[order]
    starts[1:] = (root[1:] != root[:-1]) | (whole[1:] != whole[:-1])
    first = np.empty(len(order), np.int64)
    first[order] = order[starts][np.cumsum(starts) - 1]
    return first


def _rows_to_verify(found: Components, first: I64) -> pa.Table:
    """One copy of each distinct document, for components that have more than one."""
    different = np.flatnonzero(first == np.arange(len(first)))
    several = np.bincount(found.root[different], minlength=len(first))[found.root[different]] > 1
    chosen = different[several]
    documents = found.documents[chosen]
    return pa.table(
        {
            "shard": pa.array(shard_of(documents), pa.int32()),
            "row": pa.array(row_of(documents), pa.int64()),
            "_cluster": pa.array(found.root[chosen].astype(np.uint64)),
        }
    )


class _Finish:
    """The decision on all candidates, from the one on single copies of each."""

    def __init__(self, documents: I64, first: I64, info: dict[str, object]) -> None:
        self._documents, self._first, self._info = documents, first, info

    def __call__(self, verified: Decision) -> Decision:
        dropped = np.searchsorted(self._documents, documents_of(verified.drops))
        kept = np.arange(len(self._documents))
        kept[dropped] = np.searchsorted(self._documents, documents_of(verified.drops, "kept_"))
        jaccard = np.ones(len(self._documents), np.float64)  # copies of one that is kept
        jaccard[dropped] = verified.drops.column("jaccard").to_numpy()
        return _decision(Clusters(self._documents, kept[self._first], jaccard[self._first]), self._info)


def _decision(found: Clusters, info: dict[str, object]) -> Decision:
    tables = {"clusters": Parts(found.members), "edges": Parts(found.edges)}
    return Decision(drops=found.drops(), info={**info, **found.counts()}, tables=tables)
