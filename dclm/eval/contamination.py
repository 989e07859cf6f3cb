"""How much of each task occurs in the training documents, and a model's score on the rest.

An item is its question with the right answer, without lines that many items of the task share (instructions). It occurs
in the documents if they share 13 consecutive words with it, as in the analysis of GPT-3 (Brown et al. 2020, appendix
C). An item with fewer words cannot be searched for and counts as clean; the report states the number of such items.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from dclm.core.arrow import strings, to_list
from dclm.core.errors import DataError
from dclm.core.record import Record, require_complete
from dclm.core.stores.store import join, local_file, verified_file
from dclm.dedup.decontaminate.item_index import item_overlap
from dclm.eval.data.load import available_parts
from dclm.eval.data.rows import Row
from dclm.eval.kinds.registry import kind_of
from dclm.eval.report import read_items
from dclm.eval.statistics.stats import TaskItems, accuracy
from dclm.eval.suite import Suite
from dclm.eval.task import Task

NGRAM = 13
INSTRUCTION_FRACTION = 0.15
"""A line that this fraction of a task's items contain is an instruction; passages are shared by fewer items."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskContamination:
    """The contamination of one task."""

    n: int
    """Number of items."""
    contaminated: int
    """Number of items with an n-gram that occurs."""
    short: int
    """Number of items too short to be searched for."""
    covered: float
    """Mean fraction of an item's n-grams that occur."""
    accuracy: float | None = None
    """Accuracy of the model, if scores were given, on the items that it was scored on."""
    clean_n: int | None = None
    """Number of those items that do not occur."""
    clean_accuracy: float | None = None
    clean_standard_error: float | None = None

    @property
    def fraction(self) -> float:
        """Fraction of the items that occur."""
        return self.contaminated / self.n


@dataclasses.dataclass(frozen=True, kw_only=True)
class Contamination:
    """The contamination of a suite."""

    suite: str
    ngram: int
    documents: int
    inputs: Mapping[str, str]
    """Name of a directory → fingerprint of the artifact that was read from it."""
    tasks: Mapping[str, TaskContamination]
    missing: Mapping[str, str]
    """Task → why its data is not available."""

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        tasks = {label: {**dataclasses.asdict(t), "fraction": t.fraction} for label, t in self.tasks.items()}
        return {**dataclasses.asdict(self), "tasks": tasks}


def contamination(
    documents: Sequence[Path | str],
    suite: Suite,
    *,
    scores: Path | str | None = None,
    ngram: int = NGRAM,
    allow_missing: bool = False,
) -> Contamination:
    """Search documents artifacts for the items of `suite`; with `scores`, compute the accuracy on the clean items.

    Documents are read once, in this process. Raises: ConfigError (another kind of artifact, no task has data);
    IncompleteError; DataError if the scores belong to other data.
    """
    records = [require_complete(path, "documents", allow_missing) for path in documents]
    found_items = _items(suite)
    tasks, rows, texts, missing = found_items.tasks, found_items.rows, found_items.texts, found_items.missing
    batches = _batches(documents, records)
    overlap = item_overlap([[text] for each in texts.values() for text in each], batches, ngram)
    found: dict[str, TaskContamination] = {}
    start = 0
    for task in tasks:
        end = start + len(texts[task.task])
        known, seen = overlap.ngrams[start:end], overlap.found[start:end]
        occurs = dict(zip(sorted(rows[task.task]), (seen > 0).tolist(), strict=True))
        counted = TaskContamination(
            n=len(seen),
            contaminated=int((seen > 0).sum()),
            short=int((known == 0).sum()),
            covered=float((seen / np.maximum(known, 1)).mean()),
        )
        found[task.task] = counted if scores is None else _with_scores(task, counted, occurs, scores)
        start = end
    return Contamination(
        suite=suite.name,
        ngram=ngram,
        documents=sum(file.rows or 0 for record in records for file in record.files if _is_text(file.path)),
        inputs={
            str(root).rpartition("/")[2]: record.fingerprint for root, record in zip(documents, records, strict=True)
        },
        tasks=found,
        missing=missing,
    )


class _Items(NamedTuple):
    """The items of the tasks of a suite whose data is available."""

    tasks: list[Task]
    rows: dict[str, dict[int, Row]]
    """Task → number of each row of its data → the row."""
    texts: dict[str, list[str]]
    """Task → the text of each row, in order of row."""
    missing: dict[str, str]
    """Task → why its data is not available."""


def _items(suite: Suite) -> _Items:
    missing: dict[str, str] = {}
    rows: dict[str, dict[int, Row]] = {
        task.task: {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
        for task, parts in available_parts(suite, missing)
    }
    tasks = [task for task in suite.tasks if task.task in rows]
    texts = {task.task: item_texts(task, rows[task.task]) for task in tasks}
    return _Items(tasks, rows, texts, missing)


def item_documents(suite: Suite) -> tuple[list[dict[str, str]], Mapping[str, str]]:
    """The items of a suite as documents with an `id` (`TASK#ROW`) and a `text`; and task → why its data is missing.

    `dclm dedup index` makes an index of them, against which the steps of a pipeline can be run.
    """
    items = _items(suite)
    documents = [
        {"id": f"{task.task}#{row}", "text": text}
        for task in items.tasks
        for row, text in zip(sorted(items.rows[task.task]), items.texts[task.task], strict=True)
    ]
    return documents, items.missing


def item_texts(task: Task, rows: Mapping[int, Row]) -> list[str]:
    """Question and right answer of each row, in order of row, without instructions."""
    texts = [kind_of(task).solved(rows[number]) for number in sorted(rows)]
    count = Counter(line for text in texts for line in set(text.split("\n")))
    many = {line for line, times in count.items() if times > 1 and times >= INSTRUCTION_FRACTION * len(texts)}
    return ["\n".join(line for line in text.split("\n") if line not in many) for text in texts]


def _is_text(path: str) -> bool:
    return path.startswith("documents/")


def _batches(documents: Sequence[Path | str], records: Sequence[Record]) -> Iterator[pa.StringArray]:
    for root, record in zip(documents, records, strict=True):
        for entry in record.files:
            if _is_text(entry.path):
                with pq.ParquetFile(verified_file(join(root, entry.path), entry.sha256)) as file:
                    for batch in file.iter_batches(columns=["text"]):
                        yield strings(batch.column(0))


def _with_scores(
    task: Task, counted: TaskContamination, occurs: Mapping[int, bool], scores: Path | str
) -> TaskContamination:
    report = json.loads(local_file(join(scores, "scores.json")).read_text(encoding="utf-8"))["tasks"].get(task.task)
    if report is None:
        return counted
    if report["data_sha256"] != task.metadata.data.sha256:
        raise DataError(f"task {task.task}", f"{scores} was made from other data", "score the model again")
    table = pq.read_table(local_file(join(scores, "items.parquet")), filters=pc.field("task") == task.task)
    items = read_items(table)
    clean = ~np.array([occurs[row] for row in to_list(table["row"])], np.bool_)
    part = accuracy(_subset(items, clean)) if clean.any() else None
    return dataclasses.replace(
        counted,
        accuracy=accuracy(items).value,
        clean_n=int(clean.sum()),
        clean_accuracy=None if part is None else part.value,
        clean_standard_error=None if part is None else part.standard_error,
    )


def _subset(items: TaskItems, chosen: NDArray[np.bool_]) -> TaskItems:
    """Chosen items; categories without any chosen item are excluded from the mean."""
    _, category = np.unique(items.category[chosen], return_inverse=True)
    return TaskItems(values=items.values[chosen], category=category.astype(np.int32), cluster=items.cluster[chosen])
