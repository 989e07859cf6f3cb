"""How the items of each task are grouped: into categories, and into clusters of dependent items.

The standard error that a score allows depends on this. The numbers were counted in the task data (`count_layouts`); a
test counts them again.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib import resources

from dclm.core.errors import AssetError
from dclm.eval.data.load import load_parts
from dclm.eval.statistics.clusters import cluster_rows
from dclm.eval.suite import load_suite
from dclm.eval.task import Task


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskLayout:
    """The items of one task."""

    clusters: int
    largest: int
    """Number of items in the largest cluster."""
    single: int
    """Number of items that form a cluster alone."""
    categories: tuple[int, ...]
    """Number of items per category; empty if the task has no categories."""

    def items(self, rows: int, limit: int | None) -> int:
        """Number of items that a run scores, for a task with `rows`, with at most `limit` rows per category."""
        parts = self.categories or (rows,)
        return sum(parts) if limit is None else sum(min(part, limit) for part in parts)


@cache
def layouts() -> Mapping[str, TaskLayout]:
    """Task → its layout. Tasks whose data must not be published (gpqa) are not included."""
    text = resources.files("dclm.board.known").joinpath("layouts.json").read_text(encoding="utf-8")
    return {
        task: TaskLayout(**{**fields, "categories": tuple(fields["categories"])})
        for task, fields in json.loads(text).items()
    }


def count_layouts() -> dict[str, TaskLayout]:
    """The layouts of all tasks whose data is available, counted in the data."""
    found = {}
    for task in load_suite("extended").tasks:
        try:
            found[task.task] = _count(task)
        except AssetError:
            continue
    return found


def _count(task: Task) -> TaskLayout:
    parts = load_parts(task)
    rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
    sizes = Counter(cluster_rows(task, rows).values()).values()
    return TaskLayout(
        clusters=len(sizes),
        largest=max(sizes),
        single=sum(size == 1 for size in sizes),
        categories=tuple(len(part.rows) for part in parts) if task.metadata.categories else (),
    )
