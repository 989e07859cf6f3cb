"""Two models on the same items: how much better the second is, how sure that is, and which tasks say so."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import NormalDist

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.errors import DataError
from dclm.eval.report import read_items
from dclm.eval.stats import TaskItems, accuracy, mean_error
from dclm.eval.suite import load_suite
from dclm.eval.task import Task, load_task
from dclm.record import require_complete

CONFIDENCE = 0.95
POWER = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """B minus A."""

    value: float
    standard_error: float
    low: float
    """Ends of the 95 % confidence interval."""
    high: float
    probability: float
    """That B is better, by a normal approximation without a prior."""
    detectable: float
    """The true difference that such a comparison finds, at 95 % confidence, four times in five."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """All that two score artifacts say of each other."""

    core: Difference | None
    """Of CORE v2; None where a task of it is not in both."""
    common: Difference
    """Of the mean centred accuracy (v2) of the tasks in both."""
    tasks: Mapping[str, Difference]
    """Of accuracies, by label; those that drive the mean most come first."""
    only_in_one: tuple[str, ...]


def compare(a: Path, b: Path) -> Comparison:
    """Compare the score artifacts `a` and `b` item by item.

    Raises: IncompleteError, ConfigError where they are no score artifacts; DataError where no task is in both, or a
    task was scored on other rows.
    """
    tables = [_table(path) for path in (a, b)]
    first, second = (set(pc.unique(table["task"]).to_pylist()) for table in tables)
    both = sorted(first & second)
    if not both:
        raise DataError(f"{a} and {b}", "they have no task in common")
    paired = {label: _pair(label, *tables) for label in both}
    tasks = [load_task(label) for label in both]
    core = load_suite("core").tasks
    differences = {
        label: _difference(accuracy(items).value, accuracy(items).standard_error) for label, items in paired.items()
    }
    return Comparison(
        core=_mean(paired, core) if all(task.task in paired for task in core) else None,
        common=_mean(paired, tasks),
        tasks=dict(sorted(differences.items(), key=lambda entry: -abs(entry[1].value))),
        only_in_one=tuple(sorted(first ^ second)),
    )


def _table(path: Path) -> pa.Table:
    require_complete(path, "scores")
    return pq.read_table(path / "items.parquet").sort_by([("task", "ascending"), ("row", "ascending")])


def _pair(label: str, a: pa.Table, b: pa.Table) -> TaskItems:
    one, other = (table.filter(pc.equal(table["task"], label)) for table in (a, b))
    if one["row"].to_pylist() != other["row"].to_pylist():
        what = f"scored on {len(one)} rows here and {len(other)} there"
        raise DataError(f"task {label}", what, "score both with the same --limit")
    items = read_items(one)
    return dataclasses.replace(items, correct=read_items(other).correct - items.correct)


def _mean(paired: Mapping[str, TaskItems], tasks: Sequence[Task]) -> Difference:
    parts = [accuracy(paired[t.task]).value / (1.0 - t.metadata.baseline.v2) for t in tasks]
    return _difference(float(np.mean(parts)), mean_error(paired, tasks, "v2"))


def _difference(value: float, error: float) -> Difference:
    normal = NormalDist()
    reach = normal.inv_cdf(0.5 + CONFIDENCE / 2)
    probability = normal.cdf(value / error) if error > 0.0 else (1.0 if value > 0.0 else 0.5 if value == 0.0 else 0.0)
    return Difference(
        value=value,
        standard_error=error,
        low=value - reach * error,
        high=value + reach * error,
        probability=probability,
        detectable=(reach + normal.inv_cdf(POWER)) * error,
    )
