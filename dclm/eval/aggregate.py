"""From task accuracies to CORE and EXTENDED, the means of groups, and what is missing for them.

  centered(task) = (accuracy - baseline) / (1 - baseline)
  CORE = mean of centered over the suite `core`;  EXTENDED = the same over `extended`

v1 and v2 differ only in the baselines of twelve tasks. If any task is missing, a mean over the tasks is None, never a
mean over the others.

Source: eval/aggregated_metrics.py of DCLM. Deliberate difference: DCLM computes group means over the available tasks.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from dclm.core.errors import DataError
from dclm.eval.suite import Suite, load_suite, suite_names
from dclm.eval.task import SUITE_DIR, Task


@dataclasses.dataclass(frozen=True)
class Means:
    """Means over some tasks; None if any of them has no accuracy."""

    accuracy: float | None
    """Mean of the plain accuracies."""
    v1: float | None
    """Mean of the centered accuracies with the baselines of v1."""
    v2: float | None
    tasks: int
    """Number of tasks that the mean is meant to include."""
    missing: tuple[str, ...]
    """Tasks without an accuracy."""


@dataclasses.dataclass(frozen=True)
class Aggregate:
    """Everything that follows from the accuracies alone."""

    core: Means
    extended: Means
    groups: Mapping[str, Means]
    """By group of abilities (`world knowledge` …), over the tasks of `extended`."""
    suites: Mapping[str, Means]
    """Means of every other suite."""
    ignored: tuple[str, ...]
    """Labels that no suite contains."""

    def to_json(self) -> dict[str, object]:
        """The form that `dclm aggregate` prints."""
        return {
            "core_v1": self.core.v1,
            "core_v2": self.core.v2,
            "extended_v1": self.extended.v1,
            "extended_v2": self.extended.v2,
            "missing": list(self.extended.missing),
            "core_missing": list(self.core.missing),
            "groups": {name: dataclasses.asdict(means) for name, means in self.groups.items()},
            "suites": {name: dataclasses.asdict(means) for name, means in self.suites.items()},
            "ignored": list(self.ignored),
        }


def centred(accuracy: float, baseline: float) -> float:
    """0 for guessing, 1 for no mistakes; below 0 for worse than guessing."""
    return (accuracy - baseline) / (1.0 - baseline)


def aggregate(accuracies: Mapping[str, float], folder: Path = SUITE_DIR) -> Aggregate:
    """All means of `accuracies` (task label → fraction correct).

    Raises: DataError if one of them is not a number in [0, 1].
    """
    for label, value in accuracies.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0.0 <= value <= 1.0:
            raise DataError(f"score of {label}", f"found {value!r}, allowed: a number in [0, 1]")
    suites = {name: load_suite(name, folder) for name in suite_names(folder)}
    extended = suites["extended"]
    groups = sorted({task.metadata.group for task in extended.tasks})
    members = {name: [t for t in extended.tasks if t.metadata.group == name] for name in groups}
    return Aggregate(
        core=means(accuracies, suites["core"].tasks),
        extended=means(accuracies, extended.tasks),
        groups={name: means(accuracies, tasks) for name, tasks in members.items()},
        suites={n: means(accuracies, s.tasks) for n, s in suites.items() if n not in ("core", "extended")},
        ignored=_unknown(accuracies, suites.values()),
    )


def means(accuracies: Mapping[str, float], tasks: Iterable[Task]) -> Means:
    """Plain and centered means over `tasks`."""
    tasks = tuple(tasks)
    missing = tuple(task.task for task in tasks if task.task not in accuracies)
    if missing or not tasks:
        return Means(None, None, None, len(tasks), missing)
    pairs = [(float(accuracies[task.task]), task.metadata.baseline) for task in tasks]
    plain = _mean(value for value, _ in pairs)
    v1, v2 = (_mean(centred(a, b.v1) for a, b in pairs), _mean(centred(a, b.v2) for a, b in pairs))
    return Means(plain, v1, v2, len(tasks), ())


def _mean(values: Iterable[float]) -> float:
    values = list(values)
    return math.fsum(values) / len(values)


def _unknown(accuracies: Mapping[str, float], suites: Iterable[Suite]) -> tuple[str, ...]:
    known = {label for suite in suites for label in suite.labels}
    return tuple(sorted(set(accuracies) - known))
