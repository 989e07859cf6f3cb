"""Schema: the choices are contexts (as in winograd), and the right one makes the continuation most likely."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dclm.eval.data.rows import Row
from dclm.eval.kinds.kind import Count, delimiter
from dclm.eval.kinds.multiple_choice import MultipleChoice

if TYPE_CHECKING:
    from dclm.eval.task import Task


class Schema(MultipleChoice):
    """Rows of some contexts and one continuation. The reference swaps two delimiters here, and so does this code."""

    columns: ClassVar[Mapping[str, type]] = {"context_options": list, "continuation": str, "gold": int}
    choices = "context_options"

    def question(self, row: Row) -> str:
        return self._options(row)[0]

    def example_answer(self, task: Task, row: Row) -> str:
        return cast(str, row["continuation"])

    def answers(self, row: Row) -> tuple[str, ...]:
        return (cast(str, row["continuation"]),)

    def example(self, task: Task, row: Row, first: bool) -> str:
        details = task.metadata
        question = self._options(row)[self.gold(row)]
        opening = f"{details.prelimiter}{delimiter(task, first)}{question}"
        return f"{opening}{details.continuation_delimiter}{self.example_answer(task, row)}"

    def contexts(self, task: Task, row: Row, first: bool) -> tuple[str, ...]:
        details = task.metadata
        before = details.prelimiter + delimiter(task, first)
        after = "" if first else details.continuation_delimiter.rstrip()
        return tuple(f"{before}{option}{after}" for option in self._options(row))

    def solved(self, row: Row) -> str:
        return f"{self._options(row)[self.gold(row)]} {row['continuation']}"

    def _options(self, row: Row) -> list[str]:
        return cast(list[str], row["context_options"])

    def _lengths(self, doc: Mapping[str, Any], count: Count) -> list[int]:
        return [1] * len(doc["contexts"])
