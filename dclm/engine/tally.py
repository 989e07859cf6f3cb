"""What is counted while documents flow: per step, in and out, and per record, why it left."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.schema import LEDGER
from dclm.step import random_fraction

READER = -1
"""`step_index` of the reader, whose step name is `read`."""
SAMPLE_PER_STEP = 3
SAMPLE_CHARACTERS = 2000

LEDGER_PART = pa.schema([pa.field("_row", pa.int64()), *LEDGER])
SAMPLES = pa.schema(
    [
        ("step_index", pa.int32()),
        ("step", pa.string()),
        ("id", pa.string()),
        ("url", pa.string()),
        ("text", pa.string()),
    ]
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
    """Lines or spans removed from documents that stayed."""
    bytes_in: int = 0
    """UTF-8 bytes of text."""
    bytes_out: int = 0
    seconds: float = 0.0

    def add(self, other: StepCount) -> None:
        """Add the sums of the same step elsewhere."""
        for field in ("documents_in", "dropped", "rejected", "edits", "bytes_in", "bytes_out", "seconds"):
            setattr(self, field, getattr(self, field) + getattr(other, field))


class Ledger:
    """Collects, for one shard, the rows that left and why, and a few samples of what each step dropped."""

    def __init__(self, seed: int) -> None:
        self._parts: list[pa.RecordBatch] = []
        self._seed = seed
        self._samples: dict[int, list[tuple[float, str, str, str, str]]] = {}

    def leave(self, rows: pa.RecordBatch, step: str, index: int, reasons: pa.Array | None = None) -> None:
        """`rows` left at `step`; `reasons` where they are rejects."""
        self._add(rows, pa.array([step] * rows.num_rows, pa.string()), index, reasons)
        if reasons is None and "text" in rows.schema.names:
            self._sample(rows, step, index)

    def keep(self, rows: pa.RecordBatch) -> None:
        """`rows` came out at the end."""
        self._add(rows, pa.nulls(rows.num_rows, pa.string()), None, None)

    def _add(self, rows: pa.RecordBatch, step: pa.Array, index: int | None, reasons: pa.Array | None) -> None:
        n = rows.num_rows
        if n == 0:
            return
        columns = [
            rows.column("_row"), rows.column("id"), rows.column("url"), rows.column("source"), step,
            pa.nulls(n, pa.int32()) if index is None else pa.array(np.full(n, index, np.int32)),
            pa.nulls(n, pa.string()) if reasons is None else reasons,
        ]  # fmt: skip
        self._parts.append(pa.RecordBatch.from_arrays(columns, schema=LEDGER_PART))

    def _sample(self, rows: pa.RecordBatch, step: str, index: int) -> None:
        heap = self._samples.setdefault(index, [])
        for i, identifier in enumerate(rows.column("id").to_pylist()):
            rank = -random_fraction(self._seed, f"sample:{step}:{index}", identifier)
            if len(heap) < SAMPLE_PER_STEP or rank > heap[0][0]:
                text = (rows.column("text")[i].as_py() or "")[:SAMPLE_CHARACTERS]
                item = (rank, identifier, step, rows.column("url")[i].as_py() or "", text)
                (heapq.heappush if len(heap) < SAMPLE_PER_STEP else heapq.heapreplace)(heap, item)

    def table(self) -> pa.Table:
        """The ledger rows collected, in document order, with `_row`."""
        return pa.Table.from_batches(self._parts, LEDGER_PART).sort_by("_row")

    def samples(self) -> pa.Table:
        """The samples, by step, in an order that depends on the seed and the ids alone."""
        rows = [
            {"step_index": index, "step": step, "id": identifier, "url": url or None, "text": text}
            for index, heap in sorted(self._samples.items())
            for _, identifier, step, url, text in sorted(heap, reverse=True, key=lambda item: (item[0], item[1]))
        ]
        return pa.Table.from_pylist(rows, schema=SAMPLES)


def text_bytes(batch: pa.RecordBatch) -> int:
    """UTF-8 bytes of the batch's text; 0 where there is no text column yet."""
    if "text" not in batch.schema.names:
        return 0
    return int(pc.sum(pc.binary_length(batch.column("text"))).as_py() or 0)


def sum_counts(units: Sequence[Sequence[StepCount]]) -> list[StepCount]:
    """Per-step sums over units, in pipeline order."""
    total: dict[int, StepCount] = {}
    for counts in units:
        for count in counts:
            if count.index in total:
                total[count.index].add(count)
            else:
                total[count.index] = dataclasses.replace(count)
    return [total[i] for i in sorted(total)]
