"""Which rows of a task depend on each other: they count as one sample in standard errors.

Rows with the same question are one cluster (for example, twins in winograd and winogrande); so are rows that share a
passage or were made from one template, as stated in the task's file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from dclm.eval.data.rows import Row
from dclm.eval.kinds.registry import kind_of
from dclm.eval.task import Task


def cluster_rows(task: Task, rows: Mapping[int, Row]) -> dict[int, int]:
    """Row number → number of the first row of its cluster (its own if it is alone)."""
    first: dict[tuple[str, str], int] = {}
    return {number: first.setdefault(_key(task, rows[number]), number) for number in sorted(rows)}


def _key(task: Task, row: Row) -> tuple[str, str]:
    details = task.metadata
    category = str(row["category"]) if details.categories else ""
    if details.cluster_column is not None:
        return category, str(row[details.cluster_column])
    text = kind_of(task).question(row)
    if details.passage is not None:
        found = re.search(details.passage, text)
        if found is not None:
            return category, found[1]
    return category, text
