"""`substring`: long spans of tokens that occur more than once anywhere in the corpus."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Annotated, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.arrow import Column, large_list_array, large_lists
from dclm.core.config import Range
from dclm.core.errors import ConfigError
from dclm.curate.global_step import Decision, Global, Regroup, Round, TableSource
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import I64, documents_of, edits_table, hashes, ints, no_drops, row_of, shard_of
from dclm.dedup.index.indexed import KeyIndexed, addresses
from dclm.dedup.index.relation import Relation
from dclm.dedup.memory import show_bytes
from dclm.dedup.substring.winnow import all_windows, choose_anchors, windows_near
from dclm.text.buffers import utf8

_ANCHOR_BYTES = 64  # per repeated anchor, while anchors are sorted by document
ANCHORS_IN_MEMORY = 10_000_000
"""More repeated anchors than this are sorted by document on all workers instead of by the deciding process."""
ANCHORS, SPANS = "anchors", "spans"
"""The relations of an index: hashes of the anchors, and 128-bit hashes of all spans of `min_tokens` tokens."""
Keep = Literal["first", "none", "all"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Substring(KeyIndexed, Global):
    """Cuts out spans of `min_tokens` tokens or more that occur elsewhere in the corpus, in any document or the same
    one.

    A token is a UAX #29 word that is not only whitespace (punctuation and case count; see `bloom.tokens`), and
    whitespace between tokens does not matter. Cuts are counted as edits; a document left blank is dropped. With `keep:
    first`, every token that is cut belongs to a span that occurs earlier in document order.

    All repeats are found, across all documents, exactly except for a chance of 2⁻¹²⁸ per pair of spans, and the result
    depends only on the documents. This is done by hashes in two rounds, not by a suffix array, which must hold a
    partition's whole text and at least nine bytes per byte of it in one process, and finds no repeats across
    partitions. First, about 4 of every `min_tokens` short spans are chosen as anchors, such that equal long spans
    contain equal anchors: keys of 24 bytes each, about 0.4 bytes per byte of text. Then only positions with a repeated
    anchor are processed again, with a key of 44 bytes for each long span there. Both are sorted in partitions, on all
    workers.

    Source: ExactSubstr of Lee et al. 2022, "Deduplicating training data makes language models better" (BPE tokens,
    every copy cut); DCLM appendix L.
    """

    name: ClassVar[str] = "substring"
    version: ClassVar[int] = 3

    min_tokens: Annotated[int, Range(2, 1_000_000)] = 50
    """Length of the shortest span."""
    keep: Keep = "first"
    """Which copies are kept: the first in document order, none, or all. With `all`, only spans that `against` contains
    are cut out, such as those of evaluation items."""
    against: tuple[str, ...] = ()
    """Indexes of other documents, made by `dclm dedup index`: every copy of a span that they contain is cut out."""
    action: Literal["remove", "report"] = "remove"
    """Whether spans are cut out, or only listed in the table `spans` (shard, row, start, end; bytes of the text)."""

    @property
    def memory(self) -> str:
        decides = f"the deciding process at most {show_bytes(_ANCHOR_BYTES * ANCHORS_IN_MEMORY)}"
        return f"a worker needs 1 GB and 44 B per repeated token of its shard; {decides}"

    def index_settings(self) -> Mapping[str, object]:
        return {"min_tokens": self.min_tokens}

    def index_keys(self, context: Context) -> Mapping[str, MapFunction]:
        anchors = dataclasses.replace(self, keep="first", against=()).open(context)
        return {ANCHORS: lambda batch: anchors(batch).select(["key", "row"]), SPANS: self._all_spans}

    def _all_spans(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        windows = all_windows(utf8(batch.column("text")), self.min_tokens)
        rows = batch.column("_row").to_numpy()[windows.rows]
        return pa.RecordBatch.from_pydict(
            {"key": pa.array(windows.high), "row": pa.array(rows, pa.int64()), "check": pa.array(windows.low)}
        )

    def open(self, context: Context) -> MapFunction:
        if self.keep == "all" and not self.against:
            raise ConfigError(self.name, "keep: all finds nothing without `against`", "name an index in `against`")
        index = Relation(addresses(self.against, context), ANCHORS) if self.against else None

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            anchors = choose_anchors(utf8(batch.column("text")), self.min_tokens)
            rows = batch.column("_row").to_numpy()[anchors.rows]
            columns: dict[str, Column] = {
                "key": pa.array(anchors.hashes),
                "row": pa.array(rows, pa.int64()),
                "token": pa.array(anchors.tokens, pa.int32()),
            }
            if index is not None:
                columns["known"] = pa.array(index.holds(anchors.hashes).view(np.uint8))
            return pa.RecordBatch.from_pydict(columns)

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        repeated = np.zeros(keys.num_rows, np.bool_) if self.keep == "all" else _repeated(hashes(keys, "key"))
        if self.against:
            repeated |= keys.column("known").to_numpy() != 0
        return keys.select(["shard", "row", "token"]).filter(pa.array(repeated))

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        count = sum(table.num_rows for table in reduced)
        if count <= ANCHORS_IN_MEMORY:
            table = pa.concat_tables(reduced)
            return self._round([_anchors_by_document(documents_of(table), ints(table, "token"))], count)

        def finish(tables: Iterable[pa.Table]) -> Decision:
            return self._round(tables, count)

        sources = (TableSource(reduced, _keyed_by_document),)
        work = Regroup(label="substring: gather", sources=sources, reduce=_anchors_of_keys, finish=finish)
        return Decision(drops=no_drops(), then=work)

    def _round(self, rows: Iterable[pa.Table], count: int) -> Decision:
        """The second round, over the documents in `rows`."""
        step = RepeatedSpans(min_tokens=self.min_tokens, keep=self.keep, action=self.action, against=self.against)

        def finish(decision: Decision) -> Decision:
            return dataclasses.replace(decision, info={"repeated_anchors": count, **decision.info})

        return Decision(drops=no_drops(), then=Round(step=step, rows=rows, finish=finish))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RepeatedSpans(Global):
    """The second round: compares all spans of `min_tokens` tokens that contain one of the column `_anchors`."""

    name: ClassVar[str] = "substring.spans"

    min_tokens: int
    keep: Keep
    action: Literal["remove", "report"]
    against: tuple[str, ...] = ()

    def open(self, context: Context) -> MapFunction:
        index = Relation(addresses(self.against, context), SPANS) if self.against else None

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            anchors = large_lists(batch.column("_anchors"))
            bounds = np.zeros(len(anchors) + 1, np.int64)
            np.cumsum(anchors.value_lengths(), out=bounds[1:])
            places = anchors.flatten().to_numpy().astype(np.int64)
            windows = windows_near(utf8(batch.column("text")), places, bounds, self.min_tokens)
            columns: dict[str, Column] = {
                "key": pa.array(windows.high),
                "row": pa.array(batch.column("_row").to_numpy()[windows.rows], pa.int64()),
                "check": pa.array(windows.low),
                "start": pa.array(windows.starts, pa.int32()),
                "end": pa.array(windows.ends, pa.int32()),
            }
            if index is not None:
                columns["known"] = pa.array(index.holds(windows.high, windows.low).view(np.uint8))
            return pa.RecordBatch.from_pydict(columns)

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        key, check, documents, start = (
            hashes(keys, "key"),
            hashes(keys, "check"),
            documents_of(keys),
            ints(keys, "start"),
        )
        order = np.lexsort((start, documents, check, key))
        key, check = key[order], check[order]
        same = (key[1:] == key[:-1]) & (check[1:] == check[:-1])  # same as the previous one
        gone = np.zeros(len(key), np.bool_)
        if self.keep != "all":
            gone[1:] = same
        if self.keep == "none":
            gone[:-1] |= same
        if self.against:
            gone |= keys.column("known").to_numpy()[order] != 0
        chosen = order[gone]
        return edits_table(documents[chosen], start[chosen], ints(keys, "end")[chosen])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        if self.action == "remove":
            return Decision(drops=no_drops(), edits=reduced)
        spans = _merged(pa.concat_tables(reduced))
        documents = len(np.unique(documents_of(spans)))
        info = {"documents": documents, "bytes": int((ints(spans, "end") - ints(spans, "start")).sum())}
        return Decision(drops=no_drops(), info=info, tables={"spans": [spans]})


def _repeated(keys: np.ndarray) -> np.ndarray:
    """Whether a key occurs more than once; `keys` are sorted."""
    repeated = np.zeros(len(keys), np.bool_)
    repeated[1:] = keys[1:] == keys[:-1]
    repeated[:-1] |= repeated[1:]
    return repeated


def _keyed_by_document(table: pa.Table) -> pa.Table:
    """Anchors by document."""
    return pa.Table.from_pydict(
        {"key": pa.array(documents_of(table).astype(np.uint64)), "token": table.column("token")}
    )


def _anchors_of_keys(table: pa.Table) -> pa.Table:
    return _anchors_by_document(ints(table, "key"), ints(table, "token"))


def _anchors_by_document(documents: I64, tokens: I64) -> pa.Table:
    """Columns shard, row and `_anchors`: the sorted tokens of the anchors of each document that has any."""
    tokens = tokens.astype(np.int32)
    order = np.lexsort((tokens, documents))
    documents, tokens = documents[order], tokens[order]
    first = np.flatnonzero(np.append(True, documents[1:] != documents[:-1])[: len(documents)])
    bounds = np.append(first, len(documents))
    return pa.table(
        {
            "shard": pa.array(shard_of(documents[first]), pa.int32()),
            "row": pa.array(row_of(documents[first]), pa.int64()),
            "_anchors": large_list_array(bounds, pa.array(tokens, pa.int32())),
        }
    )


def _merged(spans: pa.Table) -> pa.Table:
    """Spans with overlapping ones merged, in document order."""
    documents, start, end = documents_of(spans), ints(spans, "start"), ints(spans, "end")
    order = np.lexsort((end, start, documents))
    documents, start, end = documents[order], start[order], end[order]
    new: I64 = np.flatnonzero(
        np.append(True, (documents[1:] != documents[:-1]) | (start[1:] >= end[:-1]))[: len(documents)]
    )  # spans have one length in tokens: one that starts later ends later
    last = np.append(new[1:], len(documents))[: len(new)] - 1
    return edits_table(documents[new], start[new], end[last])
