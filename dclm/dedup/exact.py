"""`exact`: keeps one of the documents, lines or paragraphs that are equal after normalization."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, filled, lengths, strings
from dclm.core.config import Count
from dclm.curate.global_step import Decision, Global
from dclm.curate.step import Context, MapFunction
from dclm.dedup.columns import documents_of, drops_by, drops_table, edits_table, hashes, ints, no_drops
from dclm.dedup.copies import Carry, with_copies
from dclm.dedup.hashing import hash_values
from dclm.dedup.index.indexed import IN_INDEX, KeyIndexed, addresses
from dclm.dedup.index.relation import Relation
from dclm.dedup.keep import Keep, check_keep, order_of
from dclm.dedup.normalize import Normalizer, normalize_column
from dclm.dedup.units import Unit, cut
from dclm.text.buffers import utf8

_ORDERS: dict[Keep, Literal["ascending", "descending"]] = {"newest": "descending", "longest": "descending"}
"""How the column `order` is sorted; for others: ascending."""
VALUES = "values"
"""The relation of an index: 128-bit hashes."""
_UNITS: dict[str, Unit] = {"line": "line", "paragraph": "paragraph"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exact(KeyIndexed, Global):
    """Keeps one of the documents (or one of all their lines or paragraphs) that are equal.

    Equal means equal 128-bit hashes of the normalized value. With `url`, a document without a URL is never a duplicate.
    Removed lines and paragraphs are counted as edits, including the newlines after them, and repeats within a document
    are removed too; a document left with only whitespace is dropped.

    Source: DCLM's ray_processing/dedup_jsonl.py, which compares md5 sums and keeps whichever copy its shuffle delivers
    first; here the first is the first in document order. C4's rule for lines is `of: line, normalize:
    whitespace_and_lowercase, keep: smallest_hash` (in C4 of the URL, here of the id).
    """

    name: ClassVar[str] = "exact"
    version: ClassVar[int] = 3

    of: Literal["text", "url", "line", "paragraph"] = "text"
    """What to compare: a column, or the parts of the text between newlines (line) or between two newlines in a row
    (paragraph)."""
    normalize: Normalizer | None = None
    """Normalization of the value before it is compared. `url` is DCLM's; `canonical_url` also converts hosts to one
    form, so that `http://a.example.:80/` is `https://A.example`."""
    keep: Keep = "first"
    """Which copy is kept: the first in document order; the newest by `date` (compared as text, so use ISO 8601); the
    longest text; the one whose id has the smallest hash; the one with the highest value in `keep_by`; or the one whose
    source comes first in `prefer`. Ties go to the first in document order; a missing date is older than any. For lines
    and paragraphs these are the properties of the document that contains the copy."""
    keep_by: str | None = None
    """For `keep: highest`, a column of numbers, such as a quality score. For `keep: preferred`, the column that the
    patterns are matched against; null: `source`."""
    prefer: tuple[str, ...] = ()
    """For `keep: preferred`: patterns, best first, such as [wikipedia*, books*]. `*` stands for any characters; a
    pattern matches a whole path or whole parts of it. A document that matches none comes last."""
    carry: tuple[Carry, ...] = ()
    """What the kept document records about its cluster, itself included: `size` (column `copies`), the distinct `dates`
    (`copy_dates`) and `domains` (`copy_domains`). Null for documents without copies. Not for lines and paragraphs."""
    against: tuple[str, ...] = ()
    """Indexes of other documents, made by `dclm dedup index`: what they contain is dropped, regardless of `keep`."""
    min_length: Count = 0
    """Values with fewer characters after normalization are never treated as duplicates. With 0, blank lines are
    duplicates of each other."""

    def __post_init__(self) -> None:
        check_keep(self.keep, self.keep_by, self.prefer)
        if self.carry and self.of in _UNITS:
            raise ValueError(f"`carry` needs whole documents as copies, found of: {self.of}")

    @property
    def reads(self) -> tuple[str, ...]:
        return (*(("url",) if self.of == "url" else ()), *(("date",) if self.keep == "newest" else ()))

    @property
    def memory(self) -> str:
        if self.of in _UNITS:
            return f"a worker needs 1 GB and 36 B per {self.of} removed from its shard"
        return "a worker needs 1 GB"

    def index_settings(self) -> Mapping[str, object]:
        return {"of": self.of, "normalize": self.normalize, "min_length": self.min_length}

    def index_keys(self, context: Context) -> Mapping[str, MapFunction]:
        step = dataclasses.replace(self, keep="first", keep_by=None, prefer=(), carry=(), against=())
        return {VALUES: lambda batch: step._emit(batch, None).select(["key", "row", "check"])}

    def open(self, context: Context) -> MapFunction:
        index = Relation(addresses(self.against, context), VALUES) if self.against else None
        return lambda batch: self._emit(batch, index)

    def _emit(self, batch: pa.RecordBatch, index: Relation | None) -> pa.RecordBatch:
        values = self._values(batch)
        text = values.text if self.normalize is None else normalize_column(values.text, self.normalize)
        key, check = hash_values(*utf8(text), np.uint64(0))
        columns = {"key": pa.array(key), "row": batch.column("_row").take(values.place), "check": pa.array(check)}
        if self.keep != "first":
            columns["order"] = self._order(batch).take(values.place)
        if index is not None:
            columns["known"] = pa.array(index.holds(key, check).view(np.uint8))
        keys = pa.RecordBatch.from_pydict(columns | values.span)
        wanted = pc.is_valid(text)
        if self.min_length:
            wanted = pc.and_(wanted, pc.greater_equal(filled(pc.utf8_length(text), 0), pa.scalar(self.min_length)))
        return keys.filter(wanted)

    def _values(self, batch: pa.RecordBatch) -> _Values:
        if self.of not in _UNITS:
            return _Values(strings(batch.column(self.of)), pa.array(np.arange(batch.num_rows)), {})
        units = cut(strings(batch.column("text")), _UNITS[self.of])
        span: dict[str, Column] = {
            name: pa.array(bound.astype(np.int32)) for name, bound in (("start", units.starts), ("end", units.ends))
        }
        return _Values(units.texts, pa.array(units.rows), span)

    def _order(self, batch: pa.RecordBatch) -> Column:
        if self.keep == "newest":
            return batch.column("date")
        if self.keep == "longest":
            return pc.cast(lengths(batch.column("text")), pa.int64())
        return order_of(batch, self.keep, self.keep_by, self.prefer)

    def reduce(self, keys: pa.Table) -> pa.Table:
        key, check = hashes(keys, "key"), hashes(keys, "check")
        documents = documents_of(keys)
        rank = start = np.zeros(len(key), np.int64)
        if self.keep != "first":
            sort_keys = _ORDERS.get(self.keep, "ascending")
            rank = pc.rank(keys.column("order"), sort_keys=sort_keys, tiebreaker="dense").to_numpy()
        if self.of in _UNITS:
            start = ints(keys, "start")
        order = np.lexsort((start, documents, rank, check, key))
        key, check, documents = key[order], check[order], documents[order]
        starts = np.ones(len(key), np.bool_)
        starts[1:] = (key[1:] != key[:-1]) | (check[1:] != check[:-1])
        known = np.zeros(len(key), np.bool_)
        if self.against:
            known = keys.column("known").to_numpy()[order].astype(np.bool_)
        gone = ~starts | known
        if self.of in _UNITS:
            return edits_table(documents[gone], start[order][gone], ints(keys, "end")[order][gone])
        kept = documents[starts][np.cumsum(starts) - 1] if len(key) else documents
        drops = drops_table(documents[gone & ~known], kept[gone & ~known])
        if not self.against:
            return drops
        return pa.concat_tables([drops, drops_by(IN_INDEX, documents[known])], promote_options="default")

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        if self.of in _UNITS:
            duplicates = sum(edits.num_rows for edits in reduced)
            return Decision(drops=no_drops(), edits=reduced, info={"duplicates": duplicates})
        total, in_index = 0, 0
        for table in reduced:
            total += table.num_rows
            in_index += table.column("kept_row").null_count
        info = {"duplicates": total - in_index}
        if self.against:
            info["in_index"] = in_index
        tables = _Equal(reduced) if self.of == "text" else reduced
        return with_copies(Decision(drops=no_drops(), drop_tables=tables, info=info), self.carry)


class _Equal:
    """Tables of drops, with the similarity of equal texts."""

    def __init__(self, reduced: Iterable[pa.Table]) -> None:
        self._reduced = reduced

    def __iter__(self) -> Iterator[pa.Table]:
        for table in self._reduced:
            yield table.append_column("similarity", pa.array(np.ones(table.num_rows)))


class _Values(NamedTuple):
    """The values of a batch that are compared."""

    text: pa.StringArray
    place: Column
    """The row of the batch that each value belongs to."""
    span: dict[str, Column]
    """Columns start and end, if values are parts of a text."""
