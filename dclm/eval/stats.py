"""How sure a score is: standard errors of accuracies and of the means of many tasks.

An accuracy is a weighted sum of right and wrong; so is a mean of centred accuracies. The variance of such a sum is
estimated from what each cluster of items adds to it (delta method). Items that share a passage, or that two tasks
share, are one cluster. Categories are strata: they are part of the task, not a sample.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dclm.eval.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskItems:
    """The scored items of one task, in order of category and row."""

    correct: NDArray[np.float64]
    """1 for right and 0 for wrong; or, to compare two models on the same items, the difference of the two."""
    category: NDArray[np.int32]
    """Index of the item's category; 0 where there are none."""
    cluster: NDArray[np.int64]
    """Number of the first row that shares this row's passage; comparable between tasks on the same data."""


@dataclasses.dataclass(frozen=True)
class Estimate:
    """A score with what is known of its error."""

    value: float
    standard_error: float
    n: int
    """Items."""
    clusters: int


def accuracy(items: TaskItems) -> Estimate:
    """The fraction right; with categories, the unweighted mean of theirs."""
    weights = _weights(items)
    return Estimate(
        value=math.fsum((weights * items.correct).tolist()),
        standard_error=_error([("", items)], {"": 1.0}, [""]),
        n=len(items.correct),
        clusters=len(np.unique(items.cluster)),
    )


def mean_error(items: Mapping[str, TaskItems], tasks: Sequence[Task], version: str) -> float:
    """Standard error of the mean centred accuracy of `tasks` with the baselines of `version` (v1 or v2)."""
    factors = {
        task.task: 1.0 / (len(tasks) * (1.0 - float(getattr(task.metadata.baseline, version)))) for task in tasks
    }
    files = [task.metadata.data.file for task in tasks]
    return _error([(task.task, items[task.task]) for task in tasks], factors, files)


def category_accuracies(items: TaskItems, names: Sequence[str]) -> dict[str, float]:
    """The fraction right of each category."""
    return {name: float(items.correct[items.category == index].mean()) for index, name in enumerate(names)}


def _weights(items: TaskItems) -> NDArray[np.float64]:
    counts = np.bincount(items.category)
    return 1.0 / (len(counts) * counts[items.category])


def _error(named: Sequence[tuple[str, TaskItems]], factors: Mapping[str, float], files: Iterable[str]) -> float:
    influence: dict[tuple[str, int], float] = {}
    for (name, items), file in zip(named, files, strict=True):
        counts = np.bincount(items.category)
        means = np.bincount(items.category, weights=items.correct) / counts
        parts = factors[name] * _weights(items) * (items.correct - means[items.category])
        clusters, place = np.unique(items.cluster, return_inverse=True)
        for cluster, part in zip(clusters.tolist(), np.bincount(place, weights=parts).tolist(), strict=True):
            influence[file, cluster] = influence.get((file, cluster), 0.0) + part
    count = len(influence)
    if count < 2:
        return 0.0
    return math.sqrt(math.fsum(value * value for value in influence.values()) * count / (count - 1))
