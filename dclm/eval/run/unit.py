"""One unit of evaluation: some consecutive rows of a task, scored by a worker and published as one file.

Units are the same whatever the number of workers, so that the batches, and with them the last digits, are the same too.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import cast

import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dclm.core.arrow import schema_of
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import unit_files
from dclm.eval.data.load import TaskPart, load_parts
from dclm.eval.data.rows import Row
from dclm.eval.kinds.kind import Asked
from dclm.eval.kinds.registry import kind_of
from dclm.eval.prompts import Item, Span, build_items
from dclm.eval.run.eval_model import load_eval_model
from dclm.eval.run.interface import Candidate
from dclm.eval.run.plan import Settings
from dclm.eval.statistics.clusters import cluster_rows
from dclm.eval.task import Task

ITEMS = schema_of(
    pa.field("task", pa.string(), nullable=False),
    pa.field("row", pa.int32(), nullable=False),  # of the task's file
    pa.field("category", pa.string()),
    pa.field("cluster", pa.int32(), nullable=False),  # first row of the same cluster
    pa.field("correct", pa.bool_(), nullable=False),
    pa.field("selected", pa.int32()),  # the choice with the lowest score
    pa.field(
        "scores", pa.list_(pa.float32())
    ),  # mean cross-entropy per choice; log-probability per token, or of the whole
    pa.field("output", pa.string()),  # the generated text
    pa.field("trimmed", pa.bool_(), nullable=False),  # whether the context was trimmed to fit the window
    pa.field("gold", pa.int32()),  # the right choice
    pa.field("logprobs", pa.list_(pa.float64())),  # nats of each whole answer; without choices, of the right one
    pa.field("answer_bytes", pa.list_(pa.int32())),  # of these answers in UTF-8, without surrounding whitespace
)
"""One row per item scored."""
PART = "part.parquet"
"""The file that a unit publishes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Setup:
    """The model that a worker scores with, and its settings."""

    model: str
    fingerprint: str
    """Fingerprint of the model."""
    settings: Settings
    max_seq_len: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class EvalUnit:
    """The task of a worker."""

    setup: Setup
    task: Task
    limit: int | None
    """Maximum number of rows per category (or of the task) that count."""
    first: int
    """Index among the rows that count, in order of category and row."""
    last: int
    """The first row after the unit."""
    fingerprint: str
    directory: str
    """Address below which its `PART` is published."""

    @property
    def name(self) -> str:
        """Label for a progress bar."""
        return self.task.task


@dataclasses.dataclass(frozen=True, kw_only=True)
class UnitCounts:
    """The cost of scoring a unit."""

    items: int
    forwarded: int
    padding: int


def publish_part(directory: str, table: pa.Table, counts: UnitCounts) -> Outcome:
    """Publish the scores of a unit; its outcome states their cost."""
    with unit_files(directory) as (folder, outcome):
        pq.write_table(table, folder / PART, compression="zstd")
        outcome["scored"] = dataclasses.asdict(counts)
    return outcome


def counts_of(outcome: Outcome) -> UnitCounts:
    """The cost of a finished unit."""
    return UnitCounts(**cast(Mapping[str, int], outcome["scored"]))


@lru_cache(maxsize=2)
def _parts(task: Task) -> list[TaskPart]:
    return load_parts(task)


@lru_cache(maxsize=1)
def _keep_model(setup: Setup) -> Candidate:
    return load_eval_model(setup.model, setup.settings.device, setup.settings.dtype, setup.max_seq_len)


@contextlib.contextmanager
def scored_with(setup: Setup, candidate: Candidate | None) -> Iterator[Candidate]:
    """`candidate`, or the model of `setup`, which is loaded once for all units in this process.

    On the CPU a sum depends on the number of threads, so a single one is used: workers are the parallelism.
    """
    threads = torch.get_num_threads()
    if setup.settings.device == "cpu":
        torch.set_num_threads(1)
    try:
        yield candidate or _keep_model(setup)
    finally:
        torch.set_num_threads(threads)


def score_unit(unit: EvalUnit, candidate: Candidate | None = None) -> Outcome:
    """Score the unit's rows and publish them.

    If `candidate` is not given, its model is loaded, and kept for the next unit in this process. Raises: DataError
    naming task and row if an item cannot be scored.
    """
    with scored_with(unit.setup, candidate) as model:
        return _score_unit(unit, model)


def _score_unit(unit: EvalUnit, model: Candidate) -> Outcome:
    parts = _parts(unit.task)
    items = build_items(
        unit.task, parts, model.tokenizer, unit.setup.max_seq_len, unit.limit, Span(unit.first, unit.last)
    )
    rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
    asked = Asked(
        task=unit.task,
        parts=parts,
        items=items,
        rows=rows,
        model=model,
        batch_tokens=unit.setup.settings.batch_tokens,
    )
    answered = kind_of(unit.task).score(asked)
    table = pa.table({**_common(unit.task, items, rows), **answered.columns}, schema=ITEMS)
    forwarded, padding = (sum(getattr(c, name) for c in answered.counts) for name in ("forwarded", "padding"))
    return publish_part(unit.directory, table, UnitCounts(items=len(items), forwarded=forwarded, padding=padding))


def _common(task: Task, items: list[Item], rows: dict[int, Row]) -> dict[str, list[object]]:
    clusters = cluster_rows(task, rows)
    return {
        "task": [task.task] * len(items),
        "row": [item.row for item in items],
        "category": [item.category or None for item in items],
        "cluster": [clusters[item.row] for item in items],
        "trimmed": [item.trimmed for item in items],
    }
