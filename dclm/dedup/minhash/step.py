"""`minhash`: near-duplicate documents, found by MinHash and locality-sensitive hashing, optionally verified."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.arrow import Column, strings
from dclm.core.config import Count, Fraction, Positive, Range
from dclm.curate.global_step import Decision, Global, Round
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import no_drops
from dclm.dedup.copies import Carry, with_copies
from dclm.dedup.groups.clusters import Clusters
from dclm.dedup.groups.components import Components, components
from dclm.dedup.index.indexed import KeyIndexed, addresses
from dclm.dedup.keep import Keep, check_keep, order_of
from dclm.dedup.memory import show_bytes
from dclm.dedup.minhash.alphabet import Normalization
from dclm.dedup.minhash.decision import (
    DECISION_BYTES,
    Finish,
    LinksOf,
    best_of,
    check_memory,
    column_of,
    decision_of,
    rows_to_verify,
)
from dclm.dedup.minhash.groups import Grouping
from dclm.dedup.minhash.known import BANDS, AndInIndex, Known, gone_for_index, with_documents, with_lone, without
from dclm.dedup.minhash.leaders import Measure, containment_index, jaccard_index
from dclm.dedup.minhash.lsh import band_keys, candidate_links
from dclm.dedup.minhash.shingles import Unit
from dclm.dedup.minhash.signatures import Bits
from dclm.dedup.minhash.signed import Signing, equal_share
from dclm.dedup.minhash.verify import Verify


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinHash(KeyIndexed, Global):
    """Keeps one of the documents that share many n-grams.

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
    version: ClassVar[int] = 7

    ngram: Positive = 5
    """Number of units in a shingle."""
    unit: Unit = "word"
    """Words are separated by whitespace. With `script`, each character of a script without spaces (Han, Kana, Thai,
    Lao, Khmer, Myanmar) is also a separate word, for corpora in several languages."""
    normalize: Normalization = "lower"
    """Normalization of the text: none; lower case; lower case without ASCII punctuation, as in SlimPajama; or without
    punctuation of any script, with variants of typography folded (ligatures, full width, accents, invisible characters)
    and dashes separating words."""
    bands: Positive = 93
    """Number of bands; `dclm dedup bands` prints the bands and rows that datasketch chooses for a threshold."""
    rows: Positive = 15
    """Number of rows per band."""
    seed: Annotated[int, Range(0, 2**32 - 1)] = 1
    """Seed of the permutations."""
    bits: Bits = 64
    """Width of the hashes; 32 is faster and enough below about 1e8 shingles per document."""
    verify: Fraction | None = None
    """Minimum exact Jaccard index of a dropped document with the one kept instead; null: none is computed."""
    verify_by: Literal["shingles", "signatures"] = "shingles"
    """What `verify` compares: all shingles, or signatures, whose fraction of equal values estimates the Jaccard index
    with a standard error of at most 0.5 / √(bands · rows). An index for `signatures` keeps them."""
    keep: Keep = "first"
    """Which document of a cluster is kept: the first in document order; the newest by `date` (ISO 8601); the longest
    text; the one whose id has the smallest hash; the one with the highest value in `keep_by`; or the one whose source
    comes first in `prefer`. Ties go to the first in document order. With `verify`, documents are processed in this
    order."""
    keep_by: str | None = None
    """For `keep: highest`, a column of numbers, such as a quality score. For `keep: preferred`, the column that the
    patterns are matched against; null: `source`."""
    prefer: tuple[str, ...] = ()
    """For `keep: preferred`: patterns, best first, such as [wikipedia*, books*]. See `exact`."""
    carry: tuple[Carry, ...] = ()
    """What the kept document records about its cluster, itself included: `size` (column `copies`), the distinct `dates`
    (`copy_dates`) and `domains` (`copy_domains`). Null for documents without copies."""
    against: tuple[str, ...] = ()
    """Indexes of other documents, made by `dclm dedup index`: what they contain is dropped, and without `verify`
    everything linked with it. With `verify`, a document is dropped if its similarity with an indexed one that shares a
    band reaches the threshold."""
    measure: Measure = "jaccard"
    """What `verify` compares: the Jaccard index, or containment, the fraction of a document's shingles that a longer
    document has. With containment, a page contained in a longer one is dropped, regardless of `keep`; the bands must
    find such pairs, although their Jaccard index is low (see `dclm dedup bands --ratio`)."""
    pairs_from: Fraction | None = None
    """Keep the table `pairs` of all candidate pairs with at least this similarity: `dclm dedup report` then shows what
    other thresholds, from this one up, would drop. At most `verify`."""
    max_cluster: Count | None = None
    """Links that would make a candidate cluster of more documents are not followed; null: no limit."""
    links_in_memory: Count = 10_000_000
    """Up to this many candidate links are joined and decided on by one process, which needs at most 200 bytes for each.
    More are partitioned: all workers join and decide, with the same result, and no process holds all candidates. With
    `max_cluster` the order of links matters, and one process joins them all."""

    def __post_init__(self) -> None:
        if self.verify == 0:
            raise ValueError("verify: 0 would verify nothing; omit it")
        if self.measure == "containment" and self.verify is None:
            raise ValueError("measure: containment needs `verify`: bands find candidates by their Jaccard index")
        if self.verify_by == "signatures" and (self.verify is None or self.measure != "jaccard"):
            raise ValueError("verify_by: signatures needs `verify`, and estimates only the Jaccard index")
        if self.pairs_from is not None and (self.verify is None or self.pairs_from > self.verify):
            raise ValueError("pairs_from: needs `verify`, and may not exceed it")
        check_keep(self.keep, self.keep_by, self.prefer)

    @property
    def memory(self) -> str:
        if self.max_cluster is not None:
            found = f"the deciding worker: {DECISION_BYTES} B per candidate document, for `max_cluster`"
        else:
            bound = show_bytes(1_000_000_000 + 2 * DECISION_BYTES * self.links_in_memory)
            found = f"the deciding process at most {bound}, however many candidates there are"
        parts = ["a worker needs 1 GB", f"and {DECISION_BYTES} B per document of the largest cluster", found]
        if self.verify is not None:
            pairs = "" if self.pairs_from is None else f", and 40 B per pair from {self.pairs_from:g} up"
            parts.append(f"with verify: 8 B per distinct shingle of the largest candidate cluster{pairs}")
        return "; ".join([f"{parts[0]} {parts[1]}", *parts[2:]])

    def index_settings(self) -> Mapping[str, object]:
        names = ("ngram", "unit", "normalize", "bands", "rows", "seed", "bits")
        kept = self.verify is not None and (True if self.verify_by == "shingles" else self.verify_by)
        return {name: getattr(self, name) for name in names} | {"verify": kept}

    def index_keys(self, context: Context) -> Mapping[str, MapFunction]:
        bare = dataclasses.replace(self, keep="first", keep_by=None, prefer=(), against=())
        emit = bare.open(context)
        return {BANDS: lambda batch: emit(batch).select(["key", "row"])}

    def index_sets(self, context: Context) -> MapFunction | None:
        return None if self.verify is None else self._verify_step().sets

    def open(self, context: Context) -> MapFunction:
        signing = self.signing
        similarity = jaccard_index if self.measure == "jaccard" else containment_index
        similarity = similarity if self.verify_by == "shingles" else equal_share
        known = Known(addresses(self.against, context), self.verify, similarity) if self.against else None
        sets = self._verify_step().sets_of if self.verify else None

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = signing.of(strings(batch.column("text")))
            keys, places = band_keys(found, self.bands, self.rows)
            rows = batch.column("_row").to_numpy()[places]
            columns: dict[str, Column] = {"key": pa.array(keys), "row": pa.array(rows, pa.int64())}
            columns["whole"] = pa.array(found.whole[places])
            if self.keep != "first":
                columns["order"] = order_of(batch, self.keep, self.keep_by, self.prefer).take(places)
            if known is not None:
                found_sets = None if sets is None else sets(strings(batch.column("text")))
                near = known.of(keys, places, batch.num_rows, found_sets)
                columns["known"] = pa.array(near[places])
            return pa.RecordBatch.from_pydict(columns)

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        links = candidate_links(keys)
        return with_lone(links, keys) if self.against else links

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        if self.max_cluster is not None or sum(table.num_rows for table in reduced) <= self.links_in_memory:
            return self._decision_on(components(LinksOf(reduced), self.max_cluster), reduced)
        grouping = Grouping(
            ordered=self.keep != "first",
            against=bool(self.against),
            verify=None if self.verify is None else self._verify_step(),
            measure=self.measure,
        )
        return with_copies(grouping.decide(reduced), self.carry)

    def _decision_on(self, found: Components, reduced: Iterable[pa.Table]) -> Decision:
        if not self.against:
            return with_copies(self._decision_among(found, reduced), self.carry)
        found = with_documents(found, reduced)
        known = column_of(found.documents, reduced, "known", np.float64)
        gone = gone_for_index(found, known, self.verify is not None)
        add = AndInIndex(found.documents[gone], known[gone])
        return with_copies(add(self._decision_among(without(found, gone), reduced)), self.carry)

    def _decision_among(self, found: Components, reduced: Iterable[pa.Table]) -> Decision:
        check_memory(len(found.documents))
        info: dict[str, object] = {"candidates": len(found.documents)}
        if self.max_cluster is not None:
            info["refused_links"] = found.refused
        order = None if self.keep == "first" else column_of(found.documents, reduced, "order", np.int64)
        if self.verify is None:
            kept = found.root if order is None else best_of((found.root,), order)
            return decision_of(Clusters(found.documents, kept), info)
        best = best_of((column_of(found.documents, reduced, "whole", np.uint64), found.root), order)
        rows = [rows_to_verify(found, best)]
        finish = Finish(found.documents, best, info, self.measure)
        return Decision(drops=no_drops(), then=Round(step=self._verify_step(), rows=rows, finish=finish))

    def _verify_step(self) -> Verify:
        assert self.verify is not None
        return Verify(
            threshold=self.verify,
            unit=self.unit,
            ngram=self.ngram,
            normalize=self.normalize,
            keep=self.keep,
            keep_by=self.keep_by,
            prefer=self.prefer,
            measure=self.measure,
            pairs_from=self.pairs_from,
            signing=None if self.verify_by == "shingles" else self.signing,
        )

    @property
    def signing(self) -> Signing:
        """How documents are signed."""
        return Signing(
            unit=self.unit,
            ngram=self.ngram,
            normalize=self.normalize,
            permutations=self.bands * self.rows,
            seed=self.seed,
            bits=self.bits,
        )
