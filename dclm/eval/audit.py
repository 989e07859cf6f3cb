"""The score of a model that always gives the same answer, task by task, compared with the published baselines.

Choices (multiple choice, schema): always the same position in the list, and, if choices are recurring words, always the
same text. Positions matter even if their texts differ: the first of equal scores wins, so a model that cannot
distinguish anything gets the accuracy of the first position. Completion: always the same text. Generation: always the
same output, matched like real outputs, by prefix.

The largest of these is the accuracy that the frequencies of answers alone can give, without reading any question. It is
computed from the same rows that are scored, so on small tasks it slightly overestimates. The baselines are not changed:
the audit only shows where they differ.
"""

from __future__ import annotations

import dataclasses
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, cast

from dclm.eval.aggregate import Aggregate, aggregate
from dclm.eval.data.load import TaskPart, available_parts
from dclm.eval.kinds.generation import right_answers
from dclm.eval.kinds.registry import kind_of
from dclm.eval.run.answers import normalise
from dclm.eval.suite import Suite
from dclm.eval.task import Baseline, Task

K = TypeVar("K")
NOTABLE = 0.02
"""Differences between constant answer and baseline are marked from this value on."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constant:
    """A constant answer."""

    answer: str
    """`choice 2`, or the text."""
    accuracy: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskAudit:
    """The audit of one task."""

    n: int
    """Number of rows."""
    uniform: float | None
    """Expected accuracy of guessing among the choices; None without choices."""
    first: float | None
    """Accuracy of always taking the first choice, as a model does that cannot distinguish anything."""
    constant: Constant
    """The best of all constant answers."""
    baseline: Baseline

    @property
    def excess(self) -> float:
        """How much the constant answer exceeds the baseline v2; negative: the baseline is higher."""
        return self.constant.accuracy - self.baseline.v2

    def to_json(self) -> dict[str, object]:
        """Plain values."""
        return {**dataclasses.asdict(self), "excess": self.excess}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit of a suite."""

    suite: str
    tasks: Mapping[str, TaskAudit]
    means: Aggregate
    """Means of a model that gives the best constant answer in every task."""
    missing: Mapping[str, str]
    """Task → why its data is not available."""

    def to_json(self) -> dict[str, object]:
        """The form that `dclm evaluate --audit` writes."""
        return {
            "suite": self.suite,
            "tasks": {label: task.to_json() for label, task in self.tasks.items()},
            "constant_answers": self.means.to_json(),
            "reasons": dict(self.missing),
        }


def audit(suite: Suite) -> Audit:
    """Audit the tasks of `suite` whose data is available.

    Raises: DataError if the data does not match the task's file; ConfigError if no task has data.
    """
    missing: dict[str, str] = {}
    tasks = {task.task: audit_task(task, parts) for task, parts in available_parts(suite, missing)}
    means = aggregate({label: found.constant.accuracy for label, found in tasks.items()})
    return Audit(suite=suite.name, tasks=tasks, means=means, missing=missing)


def audit_task(task: Task, parts: Sequence[TaskPart]) -> TaskAudit:
    """Accuracy of constant answers on these rows; with categories, the unweighted mean of theirs."""
    rows = [row for part in parts for row in part.rows]
    weights = [1.0 / (len(parts) * len(part.rows)) for part in parts for _ in part.rows]
    uniform = first = None
    kind = kind_of(task)
    if kind.choices is not None:
        choices = [cast(list[str], row[kind.choices]) for row in rows]
        uniform = math.fsum(weight / len(texts) for weight, texts in zip(weights, choices, strict=True))
        places = _weigh(weights, ((kind.gold(row),) for row in rows))
        first = places.get(0, 0.0)
        named = _weigh(weights, ((each[kind.gold(row)].strip(),) for row, each in zip(rows, choices, strict=True)))
        by_place = {f"choice {place + 1}": weight for place, weight in places.items()}
        best = max(_best(named), _best(by_place), key=lambda constant: constant.accuracy)
    elif not kind.generates:
        best = _best(_weigh(weights, (kind.answers(row) for row in rows)))
    else:
        originals = [row for part in parts for row in part.originals]
        best = _best(_outputs(weights, [{normalise(a) for a in right_answers(row)} for row in originals]))
    return TaskAudit(n=len(rows), uniform=uniform, first=first, constant=best, baseline=task.metadata.baseline)


def _weigh(weights: Iterable[float], answers: Iterable[Iterable[K]]) -> dict[K, float]:
    """Answer → the weight of the rows that it answers."""
    total: dict[K, float] = defaultdict(float)
    for weight, right in zip(weights, answers, strict=True):
        for answer in right:
            total[answer] += weight
    return total


def _outputs(weights: Sequence[float], answers: Sequence[set[str]]) -> dict[str, float]:
    """Output → the weight of the rows that it answers: those with a right answer that is a prefix of it."""
    by_answer: dict[str, set[int]] = defaultdict(set)
    for number, right in enumerate(answers):
        for answer in right:
            by_answer[answer].add(number)
    found = {}
    for output in by_answer:
        matched = set().union(*(by_answer.get(output[:end], ()) for end in range(len(output) + 1)))
        found[output] = sum(weights[number] for number in sorted(matched))
    return found


def _best(weights: Mapping[str, float]) -> Constant:
    """The heaviest; the alphabetically first of equals."""
    answer = min(weights, key=lambda a: (-weights[a], a))
    return Constant(answer=answer, accuracy=min(weights[answer], 1.0))
