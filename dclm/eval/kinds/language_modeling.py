"""Completion: right if the model continues the context with exactly the expected text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dclm.eval.data.rows import Row
from dclm.eval.kinds.kind import Answered, Asked, Count, ScoringKind, score_pairs

if TYPE_CHECKING:
    from dclm.eval.task import Task


class LanguageModeling(ScoringKind):
    """Rows of a context and its continuation. An item stores the log-probability of every token."""

    columns: ClassVar[Mapping[str, type]] = {"context": str, "continuation": str}
    metric = "exact"

    def question(self, row: Row) -> str:
        return cast(str, row["context"])

    def example_answer(self, task: Task, row: Row) -> str:
        return cast(str, row["continuation"])

    def answers(self, row: Row) -> tuple[str, ...]:
        return (cast(str, row["continuation"]),)

    def score(self, asked: Asked) -> Answered:
        scores, kept, counts = score_pairs(asked)
        nothing = [None] * len(asked.items)
        columns = {
            **kept,
            "correct": [answers[0].greedy for answers in scores],
            "selected": nothing,
            "scores": [answers[0].logprobs.tolist() for answers in scores],
            "gold": nothing,
        }
        return Answered(columns=columns, counts=(counts,))

    def right(self, task: Task, row: Row, selected: int | None, output: str | None) -> bool | None:
        return None  # an item stores likelihoods, not the model's own continuation

    def judge(self, task: Task, doc: Mapping[str, Any], results: Sequence[Any], count: Count) -> bool:
        return bool(results[0][1])
