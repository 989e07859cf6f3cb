"""How the items of each task hang together: categories, and clusters that stand or fall as one.

What standard error a score allows depends on it. The figures were counted in the task data (`count_layouts`); a test
counts them again.
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
    """Items of the largest cluster."""
    single: int
    """Items that are a cluster of their own."""
    categories: tuple[int, ...]
    """Items of each category; empty where the task has none."""

    def items(self, rows: int, limit: int | None) -> int:
        """How many items a run scores, of a task with `rows`, with at most `limit` rows of each category."""
        parts = self.categories or (rows,)
        return sum(parts) if limit is None else sum(min(part, limit) for part in parts)


@cache
def layouts() -> Mapping[str, TaskLayout]:
    """Task → its layout. Tasks whose data may not be published (gpqa) are not there."""
    text = resources.files("dclm.board.known").joinpath("layouts.json").read_text(encoding="utf-8")
    return {
        task: TaskLayout(**{**fields, "categories": tuple(fields["categories"])})
        for task, fields in json.loads(text).items()
    }


def count_layouts() -> dict[str, TaskLayout]:
    """The layouts of the tasks whose data can be had, counted in it."""
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
