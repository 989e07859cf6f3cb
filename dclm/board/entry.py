"""An entry of a board: a result, its submitter, and its status: ranked, or not ranked and why."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from dclm.board.known.checks import CUSTOM
from dclm.board.result import Result

Standing = Literal["ranked", "evaluated", "apart", "published"]
STANDINGS: tuple[Standing, ...] = ("ranked", "evaluated", "apart", "published")
"""Statuses in the order in which a board shows them."""
NUMBERED: tuple[Standing, ...] = ("ranked", "evaluated")
"""Those in which entries have a place, each with places of its own."""
EVALUATION = "evaluation only"
"""The reason why a sound evaluation of a model of unknown training is not ranked with runs of the benchmark."""
_FEW_TASKS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescored:
    """The outcome of recomputing a result's scores from its items."""

    items: int
    tasks: int
    answers_checked: int
    """Number of tasks in which the mark of every item was compared with the right answer in the task data."""
    sha256: str
    """sha256 of the items, as in the chain."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A result on a board."""

    result: Result
    submitter: str | None = None
    received: str | None = None
    """UTC, to the second."""
    rescored: Rescored | None = None
    """Null: the scores are only claimed by the submitter."""
    published: bool = False
    """Whether it is a reference row that ships with the board."""
    title: str | None = None
    """A short name; null: the result's own name."""
    key: str | None = None
    """A short stable id; null: the result's own id."""

    @property
    def id(self) -> str:
        return self.key or self.result.id

    @property
    def shown(self) -> str:
        """The name in tables."""
        return self.title or self.result.name

    @property
    def standing(self) -> Standing:
        if self.published:
            return "published"
        if self.reasons == (EVALUATION,):
            return "evaluated"
        return "apart" if self.reasons else "ranked"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Short reasons why the entry is not ranked, most important first; empty if it is ranked."""
        result = self.result
        found = []
        if self.published:
            return ("published",)
        if result.imported is not None:
            found.append("imported")
        if result.evaluation_only:
            found.append(EVALUATION)
        if result.limited is not None:
            found.append(f"limited to {result.limited} items per task")
        if result.incomplete:
            found.append("incomplete data")
        if result.training.deviations:
            found.append("off the benchmark")
        if result.suite.name == CUSTOM:
            found.append("tasks chosen by hand")
        if result.core_v2 is None:
            found.append("no CORE")
        if self.rescored is None and result.imported is None:
            found.append("not re-scored")
        return tuple(found)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken:
    """An entry that cannot be shown."""

    id: str
    problem: str


def own(results: Sequence[Result]) -> list[Entry]:
    """Entries for results without any further information."""
    return [Entry(result=result) for result in results]


def evaluation_of(result: Result) -> str:
    """sha256 that identifies the same evaluation under any name: the hash of its rounded scores.

    If there are few scores, they may agree by chance; then the name is hashed too.
    """
    scores = {task: round(score.score, 6) for task, score in result.scores.items()}
    content = [scores] if len(scores) >= _FEW_TASKS else [scores, result.name]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
