"""An entry of a board: a result with who sent it, and where it stands: ranked, or apart and why."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Sequence
from typing import Literal

from dclm.board.known.checks import CUSTOM
from dclm.board.result import Result

Standing = Literal["ranked", "apart", "published"]
STANDINGS: tuple[Standing, ...] = ("ranked", "apart", "published")
"""In the order in which a board shows them."""
_FEW_TASKS = 10


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rescored:
    """What became of computing a result's scores anew from its items."""

    items: int
    tasks: int
    answers_checked: int
    """Of the tasks, those in which every item's mark was compared with the right answer in the task data."""
    sha256: str
    """Of the items, as it stands in the chain."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Entry:
    """A result on a board."""

    result: Result
    submitter: str | None = None
    received: str | None = None
    """UTC, to the second."""
    rescored: Rescored | None = None
    """Null: the scores are what the submitter says they are."""
    published: bool = False
    """A reference row that ships with the board."""
    title: str | None = None
    """A short name; null: the result's own."""
    key: str | None = None
    """A short stable id; null: the result's own."""

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
        return "apart" if self.reasons else "ranked"

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why the entry is not ranked, in a few words each, the weightiest first; empty: it is ranked."""
        result = self.result
        found = []
        if self.published:
            return ("published",)
        if result.imported is not None:
            found.append("imported")
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
    """Entries of results of which nothing else is known."""
    return [Entry(result=result) for result in results]


def evaluation_of(result: Result) -> str:
    """sha256 by which the same evaluation is recognized under any name: that of its rounded scores.

    Few scores may agree by chance; then the name counts too.
    """
    scores = {task: round(score.score, 6) for task, score in result.scores.items()}
    content = [scores] if len(scores) >= _FEW_TASKS else [scores, result.name]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
