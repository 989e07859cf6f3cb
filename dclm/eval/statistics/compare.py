"""Two recipes on the same items: how much better the second is, how sure that is, and which tasks say so."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.errors import DataError
from dclm.core.record import RECORD, require_complete
from dclm.eval.perplexity import TEXTS_FILE, bits_per_byte
from dclm.eval.report import read_items
from dclm.eval.statistics.continuous import METRICS, mean_bits, read_continuous
from dclm.eval.statistics.difference import Difference, difference
from dclm.eval.statistics.stats import Score, TaskItems, mean_score, task_score
from dclm.eval.suite import load_suite
from dclm.eval.task import Task, load_task

SAME = ("data_sha256", "num_fewshot")
"""What two scores of a task must agree in to be compared."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """One task's part."""

    difference: Difference
    """Of accuracies."""
    adds: float
    """What the task adds to the difference of CORE, or, where that is not known, of the common mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """All that the scores of two recipes say of each other."""

    num_runs: tuple[int, int]
    core: Difference | None
    """Of CORE v2; None where a task of it is not in all runs."""
    extended: Difference | None
    common: Difference | None
    """Of the mean centred accuracy (v2) of the tasks in all runs; None where there is none."""
    tasks: Mapping[str, TaskDifference]
    """By label; those that drive the mean most come first."""
    core_bpb: Difference | None
    """Of the bits per byte of the right answer, mean over CORE; below zero where B is better. None where a task of it
    has none in some run."""
    continuous: Mapping[str, Mapping[str, Difference]]
    """By task and by name (`dclm.eval.statistics.continuous.METRICS`), where the same items have it in all runs."""
    texts: Mapping[str, Difference]
    """Of bits a byte, by text that all runs were scored on; below zero where B is better."""
    not_common: tuple[str, ...]
    """Tasks that only some of the runs have."""
    limited: tuple[int, ...]
    """Limits of rows a task that runs were scored with: then no difference is one of benchmark scores."""

    @property
    def means(self) -> dict[str, Difference]:
        """Differences of means by name, the headline first; the common mean where it is neither of the others."""
        named = {"CORE v2": self.core, "EXTENDED v2": self.extended}
        if set(self.tasks) not in (set(load_suite("core").labels), set(load_suite("extended").labels)):
            named["common tasks, centred"] = self.common
        return {name: mean for name, mean in named.items() if mean is not None}

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return dataclasses.asdict(self)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """The scores of one model."""

    path: Path
    fingerprint: str
    report: Mapping[str, Any]
    """scores.json"""
    items: pa.Table
    documents: pa.Table | None
    """Of the texts for perplexity."""

    @property
    def tasks(self) -> Mapping[str, Mapping[str, object]]:
        found: Mapping[str, Mapping[str, object]] = self.report["tasks"]
        return found


def compare(a: Sequence[Path], b: Sequence[Path]) -> Comparison:
    """Compare score artifacts (or runs that have one in `scores`), one or several seeds of each recipe, item by item.

    Raises: IncompleteError, ConfigError where they are no score artifacts; DataError where no task is in all of them,
    one stands twice, or a task was scored on other rows, data or examples.
    """
    groups = [[read_run(path) for path in paths] for paths in (a, b)]
    runs = [run for group in groups for run in group]
    for group in groups:
        _refuse_repeats(group)
    labels = sorted(set.intersection(*(set(run.tasks) for run in runs)))
    texts = _texts(groups)
    if not labels and not texts:
        raise DataError(" and ".join(str(run.path) for run in runs), "they have no task in common")
    _refuse_other_items(runs, labels)
    scored = [[_items(run, labels) for run in group] for group in groups]
    continuous = [[_continuous(run, labels) for run in group] for group in groups]
    tasks = [load_task(label) for label in labels]
    core, extended = load_suite("core"), load_suite("extended")
    has_core, has_extended = (set(suite.labels) <= set(labels) for suite in (core, extended))
    return Comparison(
        num_runs=(len(a), len(b)),
        core=_mean(scored, core.tasks) if has_core else None,
        extended=_mean(scored, extended.tasks) if has_extended else None,
        common=_mean(scored, tasks) if tasks else None,
        tasks=_drivers(scored, tasks, core.tasks if has_core else tasks),
        core_bpb=_core_bpb(continuous),
        continuous={label: found for label in labels if (found := _measures(continuous, label))},
        texts=texts,
        not_common=tuple(sorted(set().union(*(run.tasks for run in runs)) - set(labels))),
        limited=tuple(sorted({run.report["limited"] for run in runs if run.report["limited"] is not None})),
    )


def read_run(path: Path) -> Run:
    """The scores at `path`, or at `path/scores`. Raises: as `compare` does."""
    root = path / "scores" if not (path / RECORD).exists() and (path / "scores" / RECORD).exists() else path
    record = require_complete(root, "scores")
    table = pq.read_table(root / "items.parquet").sort_by([("task", "ascending"), ("row", "ascending")])
    report = json.loads((root / "scores.json").read_text(encoding="utf-8"))
    documents = pq.read_table(root / TEXTS_FILE) if (root / TEXTS_FILE).exists() else None
    return Run(path=path, fingerprint=record.fingerprint, report=report, items=table, documents=documents)


def _refuse_repeats(group: Sequence[Run]) -> None:
    seen: dict[str, Run] = {}
    for run in group:
        if run.fingerprint in seen:
            what = f"the same scores as {seen[run.fingerprint].path}"
            raise DataError(str(run.path), what, "several runs of one recipe differ in their seed")
        seen[run.fingerprint] = run


def _refuse_other_items(runs: Sequence[Run], labels: Sequence[str]) -> None:
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


def _texts(groups: Sequence[Sequence[Run]]) -> dict[str, Difference]:
    """Of the texts that all runs were scored on, in the same version."""
    known = [dict(run.report.get("perplexity", {})) for group in groups for run in group]
    names = sorted(set.intersection(*(set(each) for each in known)))
    same = [name for name in names if len({each[name]["hash"] for each in known}) == 1]
    out = {}
    for name in same:
        a, b = ([_bits(run, name) for run in group] for group in groups)
        out[name] = difference(a, b)
    return out


def _bits(run: Run, name: str) -> Score:
    assert run.documents is not None
    return bits_per_byte(run.documents.filter(pc.equal(run.documents["text"], name)))


def _rows(run: Run, label: str) -> pa.Table:
    return run.items.filter(pc.equal(run.items["task"], label)).select(["row", "category", "cluster"]).combine_chunks()


def _items(run: Run, labels: Sequence[str]) -> dict[str, TaskItems]:
    return {label: read_items(run.items.filter(pc.equal(run.items["task"], label))) for label in labels}


def _continuous(run: Run, labels: Sequence[str]) -> dict[str, dict[str, TaskItems]]:
    return {label: read_continuous(run.items.filter(pc.equal(run.items["task"], label))) for label in labels}


def _measures(scored: Sequence[Sequence[Mapping[str, Mapping[str, TaskItems]]]], label: str) -> dict[str, Difference]:
    """The differences of one task's continuous scores. A metric that some run gives to other items is left out."""
    out = {}
    for metric, about in METRICS.items():
        found = [[run[label].get(metric) for run in group] for group in scored]
        first = found[0][0]
        if first is None or not all(_alike(first, other) for group in found for other in group):
            continue
        a, b = ([task_score(items) for items in group if items is not None] for group in found)
        out[metric] = difference(a, b, most=about.most - about.least)
    return out


def _alike(first: TaskItems, other: TaskItems | None) -> bool:
    """Whether both are scores of the same items."""
    return (
        other is not None
        and np.array_equal(first.cluster, other.cluster)
        and np.array_equal(first.category, other.category)
    )


def _core_bpb(scored: Sequence[Sequence[Mapping[str, Mapping[str, TaskItems]]]]) -> Difference | None:
    tasks = load_suite("core").tasks
    a, b = ([mean_bits(run, tasks) for run in group] for group in scored)
    known = [[score for score in group if score is not None] for group in (a, b)]
    sizes = {len(score.influence) for group in known for score in group}
    if len(known[0]) < len(a) or len(known[1]) < len(b) or len(sizes) > 1:
        return None
    return difference(known[0], known[1])


def _mean(scored: Sequence[Sequence[Mapping[str, TaskItems]]], tasks: Sequence[Task]) -> Difference:
    a, b = ([mean_score(items, tasks, "v2") for items in group] for group in scored)
    return difference(a, b)


def _drivers(
    scored: Sequence[Sequence[Mapping[str, TaskItems]]], tasks: Sequence[Task], counted: Sequence[Task]
) -> dict[str, TaskDifference]:
    labels = {task.task for task in counted}
    out = {}
    for task in tasks:
        a, b = ([task_score(items[task.task]) for items in group] for group in scored)
        found = difference(a, b, most=1.0)
        share = 1.0 / (len(labels) * (1.0 - task.metadata.baseline.v2)) if task.task in labels else 0.0
        out[task.task] = TaskDifference(difference=found, adds=share * found.value)
    return dict(sorted(out.items(), key=lambda e: (-abs(e[1].adds), -abs(e[1].difference.value), e[0])))
