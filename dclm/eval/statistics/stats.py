"""The uncertainty of scores: standard errors of accuracies and of the means of many tasks.

An accuracy is a weighted sum of right and wrong; so is a mean of centered accuracies. The variance of such a sum is
estimated from the contribution of each cluster of items (delta method). Items that share a passage, or that are shared
by two tasks, are one cluster. Categories are strata: they are part of the task, not a sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dclm.eval.statistics.interval import Interval, fraction_interval
from dclm.eval.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskItems:
    """The scored items of one task, in order of category and row."""

    values: NDArray[np.float64]
    """The score of each item: 1 for right and 0 for wrong, or one of `dclm.eval.statistics.continuous`."""
    category: NDArray[np.int32]
    """Index of the item's category; 0 without categories."""
    cluster: NDArray[np.int64]
    """Number of the first row of this row's cluster; comparable between tasks on the same data."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Score:
    """A number that is a sum over many clusters of items."""

    value: float
    influence: NDArray[np.float64]
    """How much each cluster changes the value. Sums to zero; linear in what the model got right, so that the influence
    on a difference of scores is the difference of influences."""

    strata: int = 1
    """Number of categories whose means are subtracted in `influence`."""
    added: float | None = 0.0
    """Variance of parts in which nothing varies (see `_unvaried`); None if one of them cannot be estimated."""

    @property
    def standard_error(self) -> float | None:
        """See `variance`; None if it cannot be estimated from the items."""
        return root(self.variance)

    @property
    def variance(self) -> float | None:
        """Standard error of the value over other samples of clusters; None if it cannot be estimated from the items."""
        found = variance(self.influence, self.strata)
        if self.added is None or (found is None and self.added == 0.0):
            return None
        return (found or 0.0) + self.added


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score and the available information about its error."""

    value: float
    standard_error: float | None
    """None if it cannot be estimated from the items: there is a single cluster, or no variation at all."""
    interval: Interval
    n: int
    """Number of items."""
    clusters: int


def variance(influence: NDArray[np.float64], strata: int = 1) -> float | None:
    """Variance of a sum with these influences over other samples of clusters.

    None if it cannot be estimated: there are no more clusters than categories (`strata`), or nothing varies.
    """
    count = len(influence)
    squares = math.fsum((influence * influence).tolist())
    return squares * count / (count - strata) if count > strata and squares > 0.0 else None


def root(variance: float | None) -> float | None:
    """The standard error for this variance."""
    return None if variance is None else math.sqrt(variance)


def task_score(items: TaskItems) -> Score:
    """The mean over items, such as the fraction correct; with categories, the unweighted mean of theirs."""
    value = math.fsum((_weights(items) * items.values).tolist())
    return Score(value=value, influence=_by_cluster(items)[1], strata=len(np.unique(items.category)))


def mean_score(items: Mapping[str, TaskItems], tasks: Sequence[Task], version: str) -> Score:
    """The mean centered accuracy of `tasks` with the baselines of `version` (v1 or v2).

    The order of the influences depends only on which rows were scored.
    """
    return _weighted_mean(items, tasks, [float(getattr(task.metadata.baseline, version)) for task in tasks], _unvaried)


def plain_mean(items: Mapping[str, TaskItems], tasks: Sequence[Task]) -> Score:
    """The unweighted mean of the scores of `tasks`, unchanged. Its error is unknown if that of a task is."""
    return _weighted_mean(items, tasks, [0.0 for _ in tasks], lambda score: None)


def _weighted_mean(
    items: Mapping[str, TaskItems],
    tasks: Sequence[Task],
    baselines: Sequence[float],
    unvaried: Callable[[Score], float | None],
) -> Score:
    """The mean of (score - baseline) / (1 - baseline). `unvaried`: the variance of a score that has none of its own."""
    parts: list[float] = []
    influence: dict[tuple[str, int], float] = {}
    strata: set[tuple[str, int]] = set()
    added: float | None = 0.0
    for task, baseline in zip(tasks, baselines, strict=True):
        mine, file = items[task.task], task.metadata.data.file
        factor = 1.0 / (len(tasks) * (1.0 - baseline))
        score = task_score(mine)
        parts.append(factor * (score.value - baseline))
        strata |= {(file, category) for category in np.unique(mine.category).tolist()}
        if score.variance is None:
            alone = unvaried(score)
            added = None if alone is None or added is None else added + factor**2 * alone
        clusters, sums = _by_cluster(mine)
        for cluster, part in zip(clusters.tolist(), (factor * sums).tolist(), strict=True):
            influence[file, cluster] = influence.get((file, cluster), 0.0) + part
    moved = np.array(list(influence.values()), np.float64)
    return Score(value=math.fsum(parts), influence=moved, strata=len(strata), added=added)


def accuracy(items: TaskItems) -> Estimate:
    """`task_score` with its error and counts."""
    score = task_score(items)
    n, clusters, error = len(items.values), len(score.influence), score.standard_error
    interval = fraction_interval(score.value, error, n=n, clusters=clusters, strata=score.strata)
    return Estimate(value=score.value, standard_error=error, interval=interval, n=n, clusters=clusters)


def _unvaried(score: Score) -> float | None:
    """Variance of a fraction whose items are all alike, as if half an item more had been right and half an item more
    wrong.

    Without it, a model with no right answer in some task would make CORE appear more certain than it is. None if there
    are no more clusters than categories.
    """
    clusters = len(score.influence)
    if clusters <= score.strata:
        return None
    middle = (score.value * clusters + 0.5) / (clusters + 1.0)
    return middle * (1.0 - middle) / clusters


def mean_error(items: Mapping[str, TaskItems], tasks: Sequence[Task], version: str) -> float | None:
    """Standard error of `mean_score`; None if that of a task cannot be estimated."""
    return mean_score(items, tasks, version).standard_error


def category_accuracies(items: TaskItems, names: Sequence[str]) -> dict[str, float]:
    """The fraction correct of each category."""
    return {name: float(items.values[items.category == index].mean()) for index, name in enumerate(names)}


def _weights(items: TaskItems) -> NDArray[np.float64]:
    counts = np.bincount(items.category)
    return 1.0 / (len(counts) * counts[items.category])


def _by_cluster(items: TaskItems) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Clusters, ascending, and what each adds to the accuracy beyond the means of its items' categories."""
    counts = np.bincount(items.category)
    means = np.bincount(items.category, weights=items.values) / counts
    low, high = np.full(len(counts), np.inf), np.full(len(counts), -np.inf)
    np.minimum.at(low, items.category, items.values)
    np.maximum.at(high, items.category, items.values)
    means = np.where(low == high, low, means)  # exactly: if nothing varies, rounding must not count as an error
    parts = _weights(items) * (items.values - means[items.category])
    clusters, place = np.unique(items.cluster, return_inverse=True)
    return clusters, np.bincount(place, weights=parts).astype(np.float64)
