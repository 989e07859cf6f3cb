"""The scores of models, read from their artifacts, and whether they may be compared."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.record import RECORD, require_complete
from dclm.eval.perplexity import TEXTS_FILE
from dclm.eval.report import read_items
from dclm.eval.statistics.continuous import read_continuous
from dclm.eval.statistics.stats import TaskItems

Continuous = Mapping[str, Mapping[str, TaskItems]]
"""Task → metric → the items that have it."""
SAME = ("data_sha256", "num_fewshot")
"""Properties in which two scores of a task must agree to be compared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoredModel:
    """The scores of one model."""

    path: Path
    fingerprint: str
    report: Mapping[str, Any]
    """scores.json"""
    items: pa.Table
    documents: pa.Table | None
    """Scores of the perplexity texts."""

    @property
    def tasks(self) -> Mapping[str, Mapping[str, object]]:
        found: Mapping[str, Mapping[str, object]] = self.report["tasks"]
        return found


def read_run(path: Path) -> ScoredModel:
    """The scores at `path`, or at `path/scores`. Raises: IncompleteError; ConfigError if it is not a score artifact."""
    root = path / "scores" if not (path / RECORD).exists() and (path / "scores" / RECORD).exists() else path
    record = require_complete(root, "scores")
    table = pq.read_table(root / "items.parquet").sort_by([("task", "ascending"), ("row", "ascending")])
    report = json.loads((root / "scores.json").read_text(encoding="utf-8"))
    documents = pq.read_table(root / TEXTS_FILE) if (root / TEXTS_FILE).exists() else None
    return ScoredModel(path=path, fingerprint=record.fingerprint, report=report, items=table, documents=documents)


def refuse_repeats(group: Sequence[ScoredModel]) -> None:
    """Raises: DataError if two runs of one recipe are the same scores."""
    seen: dict[str, ScoredModel] = {}
    for run in group:
        if run.fingerprint in seen:
            what = f"the same scores as {seen[run.fingerprint].path}"
            raise DataError(str(run.path), what, "several runs of one recipe differ in their seed")
        seen[run.fingerprint] = run


def refuse_other_items(runs: Sequence[ScoredModel], labels: Sequence[str]) -> None:
    """Raises: DataError if a task was scored on different rows, data or examples."""
    first = runs[0]
    for label in labels:
        rows = _rows(first, label)
        for other in runs[1:]:
            for field in SAME:
                here, there = first.tasks[label][field], other.tasks[label][field]
                if here != there:
                    what = f"{field} is {here} in {first.path} and {there} in {other.path}"
                    raise DataError(f"task {label}", what, "score both with the same version of the suite")
            found = _rows(other, label)
            if not found.equals(rows):
                what = f"scored on {len(rows)} rows in {first.path} and {len(found)} in {other.path}"
                raise DataError(f"task {label}", what, "score both with the same --limit")


def items_of(run: ScoredModel, labels: Sequence[str]) -> dict[str, TaskItems]:
    """Task → the score of each of its items: right or wrong."""
    return {label: read_items(run.items.filter(pc.equal(run.items["task"], pa.scalar(label)))) for label in labels}


def continuous_of(run: ScoredModel, labels: Sequence[str]) -> Continuous:
    """The continuous scores of `run` on the tasks `labels`."""
    return {label: read_continuous(run.items.filter(pc.equal(run.items["task"], pa.scalar(label)))) for label in labels}


def _rows(run: ScoredModel, label: str) -> pa.Table:
    mine = run.items.filter(pc.equal(run.items["task"], pa.scalar(label)))
    return mine.select(["row", "category", "cluster"]).combine_chunks()
