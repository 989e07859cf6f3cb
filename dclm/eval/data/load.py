"""The rows of a task: found as an asset, checked against the task's file, and stripped as in the reference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from dclm.assets import fetch_asset
from dclm.core.errors import AssetError, ConfigError, DataError
from dclm.eval.data.gpqa import gpqa_rows
from dclm.eval.data.rows import Row, parse_rows
from dclm.eval.data.sources import task_asset
from dclm.eval.kinds.registry import kind_of
from dclm.eval.suite import Suite
from dclm.eval.task import Task


class TaskPart(NamedTuple):
    """The rows from which examples are drawn: all of a task, or those of one category."""

    category: str
    """Empty if the task has no categories."""
    row_numbers: list[int]
    """Indices into `rows` of the task's file."""
    originals: list[Row]
    """As in the file. The reference collects right answers before it strips."""
    rows: list[Row]
    """Every text field stripped, but not lists."""


def load_parts(task: Task) -> list[TaskPart]:
    """The rows of `task`, split by category if it has categories.

    Raises: AssetError if the data is not available; DataError naming the row if it does not match the task's file.
    """
    if task.metadata.data.sha256 is None:
        return split(task, gpqa_rows(task))
    content = fetch_asset(task_asset(task)).read_bytes()
    return split(task, list(parse_rows(task.metadata.data.file, content)))


def available_parts(suite: Suite, missing: dict[str, str]) -> Iterator[tuple[Task, list[TaskPart]]]:
    """The tasks of `suite` whose data is available; for every other one the reason is added to `missing`.

    Raises: DataError like `load_parts`; ConfigError after the last task if there was none.
    """
    for task in suite.tasks:
        try:
            parts = load_parts(task)
        except AssetError as error:
            missing[task.task] = error.problems[0].what
            continue
        yield task, parts
    if len(missing) == len(suite.tasks):
        label, reason = next(iter(missing.items()))
        raise ConfigError(f"suite {suite.name}", f"no data available for any of its tasks; {label}: {reason}")


def split(task: Task, rows: list[Row]) -> list[TaskPart]:
    """Check, strip and split rows. Categories are sorted by name."""
    expected = task.metadata.data.rows
    if len(rows) != expected:
        raise DataError(f"data of task {task.task}", f"found {len(rows)} rows, allowed: {expected}")
    parts: dict[str, TaskPart] = {}
    for number, row in enumerate(rows):
        check_row(task, number, row)
        category = str(row["category"]) if task.metadata.categories else ""
        part = parts.setdefault(category, TaskPart(category, [], [], []))
        part.row_numbers.append(number)
        part.originals.append(row)
        part.rows.append({k: v.strip() if isinstance(v, str) else v for k, v in row.items()})
    return [parts[category] for category in sorted(parts)]


def check_row(task: Task, number: int, row: Row) -> None:
    """Raises: DataError naming task and row if a column is missing, of the wrong type, or `gold` is out of range."""
    kind = kind_of(task)
    columns = {**kind.columns, **({"category": str} if task.metadata.categories else {})}
    where = f"task {task.task}, row {number}"
    for name, column_type in columns.items():
        value = row.get(name)
        if not isinstance(value, column_type) or isinstance(value, bool):
            raise DataError(where, f"column `{name}`: found {value!r:.60}, allowed: {column_type.__name__}")
    if kind.choices is not None:
        choices, gold = row[kind.choices], row["gold"]
        assert isinstance(choices, list)
        assert isinstance(gold, int)
        if not choices or not all(isinstance(choice, str) for choice in choices):
            raise DataError(where, f"`{kind.choices}`: found {choices!r:.60}, allowed: a list of texts, not empty")
        if not 0 <= gold < len(choices):
            raise DataError(where, f"`gold`: found {gold}, allowed: 0 to {len(choices) - 1}")
