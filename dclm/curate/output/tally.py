"""Counts of documents as they pass through: per step, the number in and out; per record, the reason for leaving."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import AnyField, Column, schema_of, strings, to_list
from dclm.core.draw import random_fraction
from dclm.curate.global_step import REASONS
from dclm.documents.schema import DOCUMENT, LEDGER, PAGE
from dclm.text.buffers import utf8

READER = -1
"""`step_index` of the reader, whose step name is `read`."""
SAMPLE_PER_STEP = 3
SAMPLE_CHARACTERS = 2000

LEDGER_PART = pa.schema([pa.field("_row", pa.int64()), *LEDGER])
SAMPLES = schema_of(
    pa.field("step_index", pa.int32()),
    pa.field("step", pa.string()),
    pa.field("id", pa.string()),
    pa.field("url", pa.string()),
    pa.field("text", pa.string()),
)


@dataclasses.dataclass
class StepCount:
    """Sums of one step over one unit of work (or, added up, over the artifact)."""

    step: str
    index: int
    documents_in: int = 0
    dropped: int = 0
    rejected: int = 0
    edits: int = 0
    """Lines or spans removed from documents that were kept."""
    bytes_in: int = 0
    """UTF-8 bytes of text."""
    bytes_out: int = 0
    characters_in: int = 0
    """Code points of text."""
    characters_out: int = 0
    seconds: float = 0.0

    def enter(self, documents: int, size: Size) -> None:
        """Add this many documents with texts of this size to the step's input."""
        self.documents_in += documents
        self.bytes_in += size.bytes
        self.characters_in += size.characters

    def exit(self, size: Size) -> None:
        """Add texts of this size to the step's output."""
        self.bytes_out += size.bytes
        self.characters_out += size.characters

    def add(self, other: StepCount) -> None:
        """Add the sums of the same step in another unit."""
        for field in dataclasses.fields(self)[2:]:  # all except `step` and `index`
            setattr(self, field.name, getattr(self, field.name) + getattr(other, field.name))


class Ledger:
    """Collects the rows of a shard that left, with the reasons, until they are taken, and samples of what each step
    dropped."""

    def __init__(self, seed: int) -> None:
        self._parts: list[pa.RecordBatch] = []
        self.bytes = 0
        """Bytes of the collected rows."""
        self._seed = seed
        self._samples: dict[int, list[tuple[float, str, str, str, str]]] = {}

    def leave(
        self,
        rows: pa.RecordBatch,
        step: str,
        index: int,
        reasons: Column | None = None,
        why: Mapping[str, Column] | None = None,
    ) -> None:
        """`rows` left at `step`; `reasons` if they are rejects, `why` is what is known about each drop (see
        `REASONS`)."""
        self._add(rows, pa.repeat(pa.scalar(step, pa.string()), rows.num_rows), index, reasons, why or {})
        if reasons is None and "text" in rows.schema.names:
            self._sample(rows, step, index)

    def keep(self, rows: pa.RecordBatch) -> None:
        """`rows` were kept."""
        self._add(rows, pa.nulls(rows.num_rows, pa.string()), None, None, {})

    def _add(
        self,
        rows: pa.RecordBatch,
        step: Column,
        index: int | None,
        reasons: Column | None,
        why: Mapping[str, Column],
    ) -> None:
        n = rows.num_rows
        if n == 0:
            return
        has_text = "text" in rows.schema.names
        columns: list[Column] = [
            rows.column("_row"),
            rows.column("id"),
            rows.column("url"),
            rows.column("source"),
            step,
            pa.nulls(n, pa.int32()) if index is None else pa.array(np.full(n, index, np.int32)),
            pa.nulls(n, pa.string()) if reasons is None else reasons,
            *(why[name] if name in why else pa.nulls(n, LEDGER.field(name).type) for name in REASONS),
            pc.cast(pc.utf8_length(strings(rows.column("text"))), pa.int64()) if has_text else pa.nulls(n, pa.int64()),
        ]
        fields = [field for field in rows.schema if _is_annotation(field)]
        schema = pa.schema([*LEDGER_PART, *(pa.field(f.name, f.type) for f in fields)])
        columns += [rows.column(field.name) for field in fields]
        self._parts.append(pa.RecordBatch.from_arrays(columns, schema=schema))
        self.bytes += self._parts[-1].nbytes

    def _sample(self, rows: pa.RecordBatch, step: str, index: int) -> None:
        heap = self._samples.setdefault(index, [])
        for i, identifier in enumerate(to_list(rows.column("id"))):
            rank = -random_fraction(self._seed, f"sample:{step}:{index}", identifier)
            if len(heap) < SAMPLE_PER_STEP or rank > heap[0][0]:
                text = (rows.column("text")[i].as_py() or "")[:SAMPLE_CHARACTERS]
                item = (rank, identifier, step, rows.column("url")[i].as_py() or "", text)
                if len(heap) < SAMPLE_PER_STEP:
                    heapq.heappush(heap, item)
                else:
                    heapq.heapreplace(heap, item)

    def take(self) -> pa.Table:
        """The ledger rows collected since the last call, in document order, with `_row`."""
        parts = [pa.Table.from_batches([part]) for part in self._parts]
        self._parts, self.bytes = [], 0
        return merge_ledgers([LEDGER_PART.empty_table(), *parts]).sort_by("_row")

    def samples(self) -> pa.Table:
        """The samples, by step, in an order that depends only on the seed and the ids."""
        rows = [
            {"step_index": index, "step": step, "id": identifier, "url": url or None, "text": text}
            for index, heap in sorted(self._samples.items())
            for _, identifier, step, url, text in sorted(heap, reverse=True, key=lambda item: (item[0], item[1]))
        ]
        return pa.Table.from_pylist(rows, schema=SAMPLES)


def _is_annotation(field: AnyField) -> bool:
    """Whether a column is an annotation by steps, a number or text."""
    if field.name.startswith("_") or field.name in {*PAGE.names, *DOCUMENT.names, *LEDGER.names}:
        return False
    return _is_number(field.type) or pa.types.is_boolean(field.type) or pa.types.is_string(field.type)


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def merge_ledgers(ledgers: Sequence[pa.Table]) -> pa.Table:
    """Ledger tables, at least one, as one table with their common schema."""
    schema = common_schema([ledger.schema for ledger in ledgers])
    return pa.concat_tables([with_schema(ledger, schema) for ledger in ledgers])


def common_schema(schemas: Sequence[pa.Schema]) -> pa.Schema:
    """The columns that all ledgers have, and all annotations, which are null if a ledger lacks them.

    An annotation with several types is float64 if all are numbers, else text.
    """
    base = [field for field in schemas[0] if field.name in LEDGER_PART.names]
    kinds: dict[str, set[pa.DataType]] = {}
    for schema in schemas:
        for field in schema:
            if field.name not in LEDGER_PART.names:
                kinds.setdefault(field.name, set()).add(field.type)
    return pa.schema([*base, *(pa.field(name, _common(kinds[name])) for name in sorted(kinds))])


def _common(kinds: set[pa.DataType]) -> pa.DataType:
    if len(kinds) == 1:
        return next(iter(kinds))
    return pa.float64() if all(_is_number(kind) for kind in kinds) else pa.string()


def with_schema(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """The ledger with the columns of a common schema."""
    if table.schema.equals(schema):
        return table
    names = frozenset(table.schema.names)
    columns = [
        table.column(f.name).cast(f.type, safe=False) if f.name in names else pa.nulls(len(table), f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


class Size(NamedTuple):
    """Amount of text."""

    bytes: int
    """Bytes in UTF-8."""
    characters: int
    """Code points."""


def text_size(batch: pa.RecordBatch) -> Size:
    """The size of the batch's texts; 0 if the text column does not exist yet."""
    if "text" not in batch.schema.names:
        return Size(0, 0)
    text = batch.column("text")
    if text.null_count:
        text = text.drop_null()
    data, offsets = utf8(text)
    used = data[offsets[0] : offsets[-1]].view(np.int8)
    return Size(used.size, int(np.count_nonzero(used >= -64)))  # all except continuation bytes, 0x80 … 0xBF


def sum_counts(units: Iterable[Sequence[StepCount]]) -> list[StepCount]:
    """Per-step sums over units, in pipeline order."""
    total: dict[int, StepCount] = {}
    for counts in units:
        for count in counts:
            if count.index in total:
                total[count.index].add(count)
            else:
                total[count.index] = dataclasses.replace(count)
    return [total[i] for i in sorted(total)]
