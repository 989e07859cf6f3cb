"""One unit of evaluation: some consecutive rows of a task, scored by a worker and published as one file.

Units are the same whatever the number of workers, so that the batches, and with them the last digits, are the same too.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from dclm.core.errors import DataError
from dclm.core.journal import Outcome
from dclm.core.stage import unit_files
from dclm.eval.data.load import Part, load_parts
from dclm.eval.data.rows import Row
from dclm.eval.prompts import Item, Span, build_items, max_new_tokens, right_answers
from dclm.eval.run.answers import cut_output, is_right, normalise
from dclm.eval.run.forward import Judgement, NotFinite, OutOfVocabulary
from dclm.eval.run.generate import Request
from dclm.eval.run.plan import Settings
from dclm.eval.run.subject import Candidate, load_subject
from dclm.eval.statistics.clusters import cluster_rows
from dclm.eval.task import Task

ITEMS = pa.schema(
    [
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
    ]
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
class Unit:
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
        """For a progress bar."""
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
def _parts(task: Task) -> list[Part]:
    return load_parts(task)


@lru_cache(maxsize=1)
def _keep_subject(setup: Setup) -> Candidate:
    return load_subject(setup.model, setup.settings.device, setup.settings.dtype, setup.max_seq_len)


@contextlib.contextmanager
def scored_with(setup: Setup, candidate: Candidate | None) -> Iterator[Candidate]:
    """`candidate`, or the model of `setup`, which is loaded once for all units in this process.

    On the CPU a sum depends on the number of threads, so a single one is used: workers are the parallelism.
    """
    threads = torch.get_num_threads()
    if setup.settings.device == "cpu":
        torch.set_num_threads(1)
    try:
        yield candidate or _keep_subject(setup)
    finally:
        torch.set_num_threads(threads)


def score_unit(unit: Unit, candidate: Candidate | None = None) -> Outcome:
    """Score the unit's rows and publish them.

    If `candidate` is not given, its model is loaded, and kept for the next unit in this process. Raises: DataError
    naming task and row if an item cannot be scored.
    """
    with scored_with(unit.setup, candidate) as subject:
        return _score_unit(unit, subject)


def _score_unit(unit: Unit, subject: Candidate) -> Outcome:
    parts = _parts(unit.task)
    items = build_items(
        unit.task, parts, subject.tokenizer, unit.setup.max_seq_len, unit.limit, Span(unit.first, unit.last)
    )
    rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
    if unit.task.metadata.kind == "generation":
        columns, counts = _generate(unit, subject, parts, items, rows)
    else:
        columns, counts = _score(unit, subject, items)
    table = pa.table({**_common(unit.task, items, rows), **columns}, schema=ITEMS)
    return publish_part(unit.directory, table, counts)


def _common(task: Task, items: list[Item], rows: dict[int, Row]) -> dict[str, list[object]]:
    clusters = cluster_rows(task, rows)
    return {
        "task": [task.task] * len(items),
        "row": [item.row for item in items],
        "category": [item.category or None for item in items],
        "cluster": [clusters[item.row] for item in items],
        "trimmed": [item.trimmed for item in items],
    }


@contextlib.contextmanager
def name_items(places: Sequence[str]) -> Iterator[None]:
    """Names the item, by `places`, that could not be scored. Raises: DataError."""
    try:
        yield
    except NotFinite as error:
        what, hint = "the model gives a logit that is not finite", "its weights are damaged"
        raise DataError(places[error.item], what, hint) from None
    except OutOfVocabulary as error:
        raise DataError(places[error.item], error.problems[0].what, error.problems[0].hint) from None


def _score(unit: Unit, subject: Candidate, items: list[Item]) -> tuple[dict[str, list[object]], UnitCounts]:
    scorer = subject.scorer(unit.setup.settings.batch_tokens)
    with name_items([f"task {unit.task.task}, row {item.row}" for item in items]):
        scores = scorer.score([item.pairs for item in items])
    counts = UnitCounts(items=len(items), forwarded=scorer.counts.forwarded, padding=scorer.counts.padding)
    kept: dict[str, list[object]] = {
        "logprobs": [[_total(answer) for answer in answers] for answers in scores],
        "answer_bytes": [item.answer_bytes for item in items],
        "output": [None] * len(items),
    }
    if unit.task.metadata.kind == "language_modeling":
        return {
            **kept,
            "correct": [answers[0].greedy for answers in scores],
            "selected": [None] * len(items),
            "scores": [answers[0].logprobs.tolist() for answers in scores],
            "gold": [None] * len(items),
        }, counts
    means = [[answer.mean_cross_entropy for answer in answers] for answers in scores]
    selected = [values.index(min(values)) for values in means]
    return {
        **kept,
        "correct": [choice == item.gold for choice, item in zip(selected, items, strict=True)],
        "selected": list(selected),
        "scores": list(means),
        "gold": [item.gold for item in items],
    }, counts


def _total(answer: Judgement) -> float:
    """Log-probability of the whole answer, in nats."""
    return float(answer.logprobs.sum(dtype=np.float64))


def _generate(
    unit: Unit, subject: Candidate, parts: list[Part], items: list[Item], rows: dict[int, Row]
) -> tuple[dict[str, list[object]], UnitCounts]:
    details = unit.task.metadata
    longest = max_new_tokens(unit.task, parts, subject.tokenizer)
    requests = [
        Request(prompt=item.pairs[0][0], max_new_tokens=longest, stop=details.stop, text=item.text) for item in items
    ]
    generator = subject.generator(unit.setup.settings.batch_tokens)
    scorer = subject.scorer(unit.setup.settings.batch_tokens)
    with name_items([f"task {unit.task.task}, row {item.row}" for item in items]):
        outputs = generator.generate(requests)
    known = {item.row: item.reference for item in items if item.reference is not None}
    with name_items([f"task {unit.task.task}, row {row}, the right answer" for row in known]):
        scored = dict(zip(known, scorer.score([[pair] for pair in known.values()]), strict=True))
    answers = [normalise(cut_output(output, details.stop, details.cot_delimiter)) for output in outputs]
    both = generator.counts, scorer.counts
    counts = UnitCounts(
        items=len(items), forwarded=sum(c.forwarded for c in both), padding=sum(c.padding for c in both)
    )
    return {
        "logprobs": [[_total(a) for a in scored[item.row]] if item.row in scored else None for item in items],
        "answer_bytes": [item.answer_bytes if item.row in scored else None for item in items],
        "gold": [None] * len(items),
        "correct": [is_right(a, right_answers(rows[i.row])) for a, i in zip(answers, items, strict=True)],
        "selected": [None] * len(items),
        "scores": [None] * len(items),
        "output": list(outputs),
    }, counts
