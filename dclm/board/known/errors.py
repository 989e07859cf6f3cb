"""The standard errors that a score allows, given the number of its items and how they are clustered."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from dclm.board.known.layout import TaskLayout, layouts
from dclm.board.result import Result, TaskScore
from dclm.core.errors import Problem
from dclm.eval.suite import load_suite
from dclm.eval.task import Task

LEAST = 0.2
"""Minimum ratio to the binomial standard error; no observed task is below a fifth, however its items are clustered."""
_SLACK = 1.02
_SMALL = 10
"""With fewer items than this, an estimator for small samples may give a different value."""


def error_problems(result: Result, name: str) -> Iterator[Problem]:
    """Standard errors that are impossible for their scores."""
    tasks = {task.task: task for task in load_suite("extended").tasks}
    for label, score in result.scores.items():
        if label in tasks and score.n is not None:
            rows = tasks[label].metadata.data.rows
            yield from _task_problems(score, rows, layouts().get(label), f"{name}: scores.{label}")
    for field, suite in (("core_v2_stderr", "core"), ("extended_v2_stderr", "extended")):
        yield from _mean_problems(result, getattr(result, field), load_suite(suite).tasks, f"{name}: {field}")


def bounds(score: float, n: int, rows: int, layout: TaskLayout | None) -> tuple[float, float]:
    """The smallest and the largest standard error of an accuracy of `score` on `n` items of a task with `rows`.

    For independent items it is the binomial one. Clusters of up to m items raise the variance up to m times and may
    lower it; categories weight items unequally, so the score alone does not bound their variance.
    """
    binomial = math.sqrt(score * (1 - score) / max(n - 1, 1))
    if layout is None:
        return LEAST * binomial, math.sqrt(0.25 * n / max(n - 1, 1))
    if layout.categories:
        per_item = sum(1 / size for size in layout.categories) / len(layout.categories) ** 2
        high = math.sqrt(layout.largest * 0.25 * max(per_item, 1 / n) * layout.clusters / max(layout.clusters - 1, 1))
        return LEAST * binomial, min(0.5, high)
    clusters = layout.clusters if n == rows else 2
    grouped = min(n, rows - layout.single)
    right, wrong = round(score * n), n - round(score * n)
    squares = max(0, right - grouped) * (1 - score) ** 2 + max(0, wrong - grouped) * score**2
    low = max(LEAST * binomial, math.sqrt(squares) / n)
    return low, binomial if not grouped else binomial * math.sqrt(layout.largest * clusters / (clusters - 1))


def _task_problems(score: TaskScore, rows: int, layout: TaskLayout | None, where: str) -> Iterator[Problem]:
    assert score.n is not None
    if layout is not None and not layout.categories:
        right = score.score * score.n
        if abs(right - round(right)) > 1e-6 * score.n:
            yield Problem(where, f"{score.score!r} is not a whole number of {score.n} items")
            return
    if score.stderr is None or score.n < _SMALL:
        return
    low, high = bounds(score.score, score.n, rows, layout)
    if 0 < score.score < 1 and not low / _SLACK <= score.stderr <= high * _SLACK:
        what = f"standard error {score.stderr:.3g}, but {score.score:.4g} of {score.n} items allows"
        yield Problem(where, f"{what} {low:.3g} to {high:.3g}")
    elif score.score in (0, 1) and score.stderr > 3 / score.n:
        yield Problem(where, f"standard error {score.stderr:.3g} although all {score.n} items agree")


def _mean_problems(result: Result, found: float | None, tasks: tuple[Task, ...], where: str) -> Iterator[Problem]:
    """Check the error of a mean: it follows from the tasks' errors, up to the correlation of tasks that share rows."""
    if found is None or result.imported is not None:
        return
    parts: dict[str, list[float]] = {}
    for task in tasks:
        score = result.scores.get(task.task)
        if score is None or score.stderr is None:
            return
        factor = 1.0 / (len(tasks) * (1.0 - task.metadata.baseline.v2))
        parts.setdefault(task.metadata.data.file, []).append(factor * score.stderr)
    low, high = _combined(parts)
    if not low * 0.95 <= found <= high * 1.05:
        what = f"standard error {found:.3g}, but those of its tasks allow"
        yield Problem(where, f"{what} {low:.3g} to {high:.3g}")


def _combined(parts: Mapping[str, list[float]]) -> tuple[float, float]:
    low = high = 0.0
    for errors in parts.values():
        largest = max(errors)
        high += sum(errors) ** 2
        low += max(0.0, 2 * largest - sum(errors)) ** 2
    return math.sqrt(low), math.sqrt(high)
