"""Two recipes on the same items: how much better the second one is, how certain that is, and which tasks contribute."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.errors import DataError
from dclm.eval.perplexity import bits_per_byte
from dclm.eval.statistics.continuous import METRICS, mean_bits
from dclm.eval.statistics.difference import Difference, difference
from dclm.eval.statistics.runs import (
    Continuous,
    ScoredModel,
    continuous_of,
    items_of,
    read_run,
    refuse_other_items,
    refuse_repeats,
)
from dclm.eval.statistics.stats import Score, TaskItems, mean_score, task_score
from dclm.eval.suite import load_suite
from dclm.eval.task import Task, load_task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskDifference:
    """The contribution of one task."""

    difference: Difference
    """Difference of accuracies."""
    adds: float
    """The task's contribution to the difference of CORE, or, if that is unknown, of the common mean."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """The complete comparison of two recipes' scores."""

    num_runs: tuple[int, int]
    core: Difference | None
    """Difference of CORE v2; None if one of its tasks is not in all runs."""
    extended: Difference | None
    common: Difference | None
    """Difference of the mean centered accuracy (v2) of the tasks in all runs; None if none exists."""
    tasks: Mapping[str, TaskDifference]
    """By label; the largest contributions to the mean come first."""
    core_bpb: Difference | None
    """Difference in bits per byte of the right answer, mean over CORE; below zero if B is better. None if one of its
    tasks has no value in some run."""
    items: Mapping[str, int]
    """By task, the number of items scored."""
    continuous: Mapping[str, Mapping[str, Difference]]
    """By task and name (`dclm.eval.statistics.continuous.METRICS`), if the same items have it in all runs."""
    texts: Mapping[str, Difference]
    """Differences in bits per byte, by text that all runs were scored on; below zero if B is better."""
    not_common: tuple[str, ...]
    """Tasks that only some of the runs have."""
    limited: tuple[int, ...]
    """Limits on rows per task with which runs were scored: then no difference is one of benchmark scores."""

    @property
    def means(self) -> dict[str, Difference]:
        """Differences of means by name, the headline first; includes the common mean if it is neither of the others."""
        named = {"CORE v2": self.core, "EXTENDED v2": self.extended}
        if set(self.tasks) not in (set(load_suite("core").labels), set(load_suite("extended").labels)):
            named["common tasks, centered"] = self.common
        return {name: mean for name, mean in named.items() if mean is not None}

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return dataclasses.asdict(self)


def compare(a: Sequence[Path], b: Sequence[Path]) -> Comparison:
    """Compare score artifacts (or runs with a score artifact in `scores`), one or several seeds of each recipe, item by
    item.

    Raises: IncompleteError, ConfigError if they are not score artifacts; DataError if no task is in all of them, one
    occurs twice, or a task was scored on different rows, data or examples.
    """
    groups = [[read_run(path) for path in paths] for paths in (a, b)]
    runs = [run for group in groups for run in group]
    for group in groups:
        refuse_repeats(group)
    labels = sorted(set.intersection(*(set(run.tasks) for run in runs)))
    texts = _texts(groups)
    if not labels and not texts:
        raise DataError(" and ".join(str(run.path) for run in runs), "they have no task in common")
    refuse_other_items(runs, labels)
    scored = [[items_of(run, labels) for run in group] for group in groups]
    continuous = [[continuous_of(run, labels) for run in group] for group in groups]
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
        items={label: len(scored[0][0][label].values) for label in labels},
        continuous={label: found for label in labels if (found := _measures(continuous, label))},
        texts=texts,
        not_common=tuple(sorted(set().union(*(run.tasks for run in runs)) - set(labels))),
        limited=tuple(sorted({run.report["limited"] for run in runs if run.report["limited"] is not None})),
    )


def _texts(groups: Sequence[Sequence[ScoredModel]]) -> dict[str, Difference]:
    """Differences for the texts that all runs were scored on, in the same version."""
    known = [dict(run.report.get("perplexity", {})) for group in groups for run in group]
    names = sorted(set.intersection(*(set(each) for each in known)))
    same = [name for name in names if len({each[name]["hash"] for each in known}) == 1]
    out = {}
    for name in same:
        a, b = ([_bits(run, name) for run in group] for group in groups)
        out[name] = difference(a, b)
    return out


def _bits(run: ScoredModel, name: str) -> Score:
    assert run.documents is not None
    return bits_per_byte(run.documents.filter(pc.equal(run.documents["text"], pa.scalar(name))))


def _measures(scored: Sequence[Sequence[Continuous]], label: str) -> dict[str, Difference]:
    """The differences of one task's continuous scores. A metric that some run has for other items is left out."""
    out = {}
    for metric, about in METRICS.items():
        found = [[run[label].get(metric) for run in group] for group in scored]
        first = found[0][0]
        if first is None or not all(same_items(first, other) for group in found for other in group):
            continue
        a, b = ([task_score(items) for items in group if items is not None] for group in found)
        out[metric] = difference(a, b, most=about.most - about.least)
    return out


def same_items(first: TaskItems, other: TaskItems | None) -> bool:
    """Whether both are scores of the same items."""
    return (
        other is not None
        and np.array_equal(first.cluster, other.cluster)
        and np.array_equal(first.category, other.category)
    )


def _core_bpb(scored: Sequence[Sequence[Continuous]]) -> Difference | None:
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
