"""How sure a score is: standard errors of accuracies and of the means of many tasks.

An accuracy is a weighted sum of right and wrong; so is a mean of centred accuracies. The variance of such a sum is
estimated from what each cluster of items adds to it (delta method). Items that share a passage, or that two tasks
share, are one cluster. Categories are strata: they are part of the task, not a sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dclm.eval.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskItems:
    """The scored items of one task, in order of category and row."""

    correct: NDArray[np.float64]
    """1 for right and 0 for wrong."""
    category: NDArray[np.int32]
    """Index of the item's category; 0 where there are none."""
    cluster: NDArray[np.int64]
    """Number of the first row of this row's cluster; comparable between tasks on the same data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A number that many clusters of items add up to."""

    value: float
    influence: NDArray[np.float64]
    """By how much each cluster moves the value from where it would be without it. Sums to zero; linear in what the
    model got right, so that the influence on a difference of scores is the difference of influences."""

    @property
    def standard_error(self) -> float:
        """See `variance`."""
        return math.sqrt(variance(self.influence))


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score with what is known of its error."""

    value: float
    standard_error: float
    n: int
    """Items."""
    clusters: int


def variance(influence: NDArray[np.float64]) -> float:
    """Of a sum with these influences, had the clusters been drawn anew; 0 where a single one tells nothing of it."""
    count = len(influence)
    return math.fsum((influence * influence).tolist()) * count / (count - 1) if count > 1 else 0.0


def task_score(items: TaskItems) -> Score:
    """The fraction right; with categories, the unweighted mean of theirs."""
    weights = _weights(items)
    return Score(value=math.fsum((weights * items.correct).tolist()), influence=_by_cluster(items)[1])


def mean_score(items: Mapping[str, TaskItems], tasks: Sequence[Task], version: str) -> Score:
    """The mean centred accuracy of `tasks` with the baselines of `version` (v1 or v2).

    The influences come in an order that depends only on which rows were scored.
    """
    parts: list[float] = []
    influence: dict[tuple[str, int], float] = {}
    for task in tasks:
        mine, file = items[task.task], task.metadata.data.file
        baseline = float(getattr(task.metadata.baseline, version))
        factor = 1.0 / (len(tasks) * (1.0 - baseline))
        parts.append(factor * (task_score(mine).value - baseline))
        clusters, sums = _by_cluster(mine)
        for cluster, part in zip(clusters.tolist(), (factor * sums).tolist(), strict=True):
            influence[file, cluster] = influence.get((file, cluster), 0.0) + part
    return Score(value=math.fsum(parts), influence=np.array(list(influence.values()), np.float64))


def accuracy(items: TaskItems) -> Estimate:
    """`task_score` with its error and counts."""
    score = task_score(items)
    return Estimate(
        value=score.value,
        standard_error=score.standard_error,
        n=len(items.correct),
        clusters=len(score.influence),
    )


def mean_error(items: Mapping[str, TaskItems], tasks: Sequence[Task], version: str) -> float:
    """Standard error of `mean_score`."""
    return mean_score(items, tasks, version).standard_error


def category_accuracies(items: TaskItems, names: Sequence[str]) -> dict[str, float]:
    """The fraction right of each category."""
    return {name: float(items.correct[items.category == index].mean()) for index, name in enumerate(names)}


def _weights(items: TaskItems) -> NDArray[np.float64]:
    counts = np.bincount(items.category)
    return 1.0 / (len(counts) * counts[items.category])


def _by_cluster(items: TaskItems) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Clusters, ascending, and what each adds to the accuracy beyond the means of its items' categories."""
    counts = np.bincount(items.category)
    means = np.bincount(items.category, weights=items.correct) / counts
    parts = _weights(items) * (items.correct - means[items.category])
    clusters, place = np.unique(items.cluster, return_inverse=True)
    return clusters, np.bincount(place, weights=parts).astype(np.float64)
