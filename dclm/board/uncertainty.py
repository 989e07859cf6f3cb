"""The uncertainty of a score on a board: the error in its result, or a binomial estimate from its items."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

from dclm.board.result import Result
from dclm.eval.suite import load_suite


class Error(NamedTuple):
    """A standard error."""

    value: float
    measured: bool
    """False: estimated from the score and the number of the task's items, as if they were independent."""


@cache
def _rows() -> dict[str, int]:
    return {task.task: task.metadata.data.rows for task in load_suite("extended").tasks}


def task_error(result: Result, task: str) -> Error | None:
    """Error of one task's score; None if it has no score or no error can be estimated."""
    score = result.scores.get(task)
    if score is None:
        return None
    if score.stderr is not None:
        return Error(score.stderr, True)
    n = score.n or (_rows().get(task) if result.imported is not None else None)
    return None if n is None else Error(math.sqrt(score.score * (1 - score.score) / max(n - 1, 1)), False)


def core_error(result: Result) -> Error | None:
    """Error of CORE v2; None if CORE is missing or no error can be estimated."""
    if result.core_v2 is None:
        return None
    if result.core_v2_stderr is not None:
        return Error(result.core_v2_stderr, True)
    tasks = load_suite("core").tasks
    total = 0.0
    for task in tasks:
        error = task_error(result, task.task)
        if error is None:
            return None
        total += (error.value / (1 - task.metadata.baseline.v2) / len(tasks)) ** 2
    return Error(math.sqrt(total), False)
