"""scores.json: the aggregates of a run's items."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import filled, to_list
from dclm.eval.aggregate import aggregate
from dclm.eval.scores_file import ContinuousEntry, ModelEntry, ScoresFile, SuiteEntry, TaskEntry
from dclm.eval.statistics.continuous import METRICS, estimate, mean_bits, read_continuous
from dclm.eval.statistics.stats import TaskItems, accuracy, category_accuracies, mean_error
from dclm.eval.suite import Suite, load_suite
from dclm.eval.task import Task


def scores_json(
    suite: Suite, items: Path, *, model: str, limit: int | None, window: int, dtype: str, missing: Mapping[str, str]
) -> dict[str, object]:
    """The content of scores.json. Means are null if a task that they need has no score.

    With a `limit` the means are over part of the items, which `limited` states.
    """
    table = pq.read_table(items)
    scored = [task for task in suite.tasks if task.task not in missing]
    groups = {task.task: table.filter(pc.equal(table["task"], pa.scalar(task.task))) for task in scored}
    by_task = {label: read_items(group) for label, group in groups.items()}
    continuous = {label: read_continuous(group) for label, group in groups.items()}
    tasks = {
        task.task: _task_entry(task, groups[task.task], by_task[task.task], continuous[task.task]) for task in scored
    }
    means = aggregate({label: accuracy(found).value for label, found in by_task.items()})
    core, extended = load_suite("core"), load_suite("extended")
    bits = mean_bits(continuous, core.tasks)
    scores = ScoresFile(
        suite=SuiteEntry(name=suite.name, version=suite.version, hash=suite.hash),
        model=ModelEntry(fingerprint=model, window=window, dtype=dtype),
        limited=limit,
        core_v1=means.core.v1,
        core_v2=means.core.v2,
        extended_v1=means.extended.v1,
        extended_v2=means.extended.v2,
        missing=means.extended.missing,
        core_missing=means.core.missing,
        groups=means.groups,
        suites=means.suites,
        ignored=means.ignored,
        core_v1_standard_error=_error(by_task, core, "v1"),
        core_v2_standard_error=_error(by_task, core, "v2"),
        extended_v1_standard_error=_error(by_task, extended, "v1"),
        extended_v2_standard_error=_error(by_task, extended, "v2"),
        core_bpb=None if bits is None else bits.value,
        core_bpb_standard_error=None if bits is None else bits.standard_error,
        reasons=dict(missing),
        tasks=tasks,
    )
    return scores.plain()


def read_items(table: pa.Table) -> TaskItems:
    """The columns of one task that its statistics need."""
    categories = filled(table["category"], "").to_numpy(zero_copy_only=False).astype(str)
    _, index = np.unique(categories, return_inverse=True)
    return TaskItems(
        values=table["correct"].to_numpy(zero_copy_only=False).astype(np.float64),
        category=index.astype(np.int32),
        cluster=table["cluster"].to_numpy().astype(np.int64),
    )


def _task_entry(task: Task, table: pa.Table, items: TaskItems, continuous: Mapping[str, TaskItems]) -> TaskEntry:
    estimate = accuracy(items)
    categories = None
    if task.metadata.categories:
        categories = category_accuracies(items, sorted(set(to_list(table["category"]))))
    return TaskEntry(
        accuracy=estimate.value,
        standard_error=estimate.standard_error,
        interval=tuple(estimate.interval),
        n=estimate.n,
        clusters=estimate.clusters,
        rows=task.metadata.data.rows,
        baseline=task.metadata.baseline,
        kind=task.metadata.kind,
        num_fewshot=task.num_fewshot,
        data_sha256=task.metadata.data.sha256,
        trimmed=int(pc.sum(table["trimmed"]).as_py()),
        categories=categories,
        continuous=_continuous_entries(continuous),
    )


def _continuous_entries(items: Mapping[str, TaskItems]) -> dict[str, ContinuousEntry | None]:
    """Every continuous score of a task; null if its items have none."""
    found = {metric: estimate(mine, metric) for metric, mine in items.items()}
    return {
        metric: ContinuousEntry(value=e.value, standard_error=e.standard_error, interval=tuple(e.interval), n=e.n)
        if (e := found.get(metric)) is not None
        else None
        for metric in METRICS
    }


def _error(by_task: Mapping[str, TaskItems], suite: Suite, version: str) -> float | None:
    if any(label not in by_task for label in suite.labels):
        return None
    return mean_error(by_task, suite.tasks, version)
