"""Multiple choice: right if the right answer has the lowest mean cross-entropy per token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dclm.eval.data.rows import Row
from dclm.eval.kinds.kind import Answered, Asked, Count, ScoringKind, score_pairs

if TYPE_CHECKING:
    from dclm.eval.task import Task


class MultipleChoice(ScoringKind):
    """Rows of a question and some answers. An item stores the mean cross-entropy of each."""

    columns: ClassVar[Mapping[str, type]] = {"query": str, "choices": list, "gold": int}
    choices = "choices"

    def question(self, row: Row) -> str:
        return cast(str, row["query"])

    def example_answer(self, task: Task, row: Row) -> str:
        return self.answers(row)[self.gold(row)]

    def answers(self, row: Row) -> tuple[str, ...]:
        return tuple(cast(list[str], row["choices"]))

    def score(self, asked: Asked) -> Answered:
        scores, kept, counts = score_pairs(asked)
        means = [[answer.mean_cross_entropy for answer in answers] for answers in scores]
        selected = [values.index(min(values)) for values in means]
        columns = {
            **kept,
            "correct": [choice == item.gold for choice, item in zip(selected, asked.items, strict=True)],
            "selected": selected,
            "scores": means,
            "gold": [item.gold for item in asked.items],
        }
        return Answered(columns=columns, counts=(counts,))

    def right(self, task: Task, row: Row, selected: int | None, output: str | None) -> bool | None:
        return row["gold"] == selected

    def judge(self, task: Task, doc: Mapping[str, Any], results: Sequence[Any], count: Count) -> bool:
        means = [
            float(logprob) / length for (logprob, _), length in zip(results, self._lengths(doc, count), strict=True)
        ]
        return bool(means.index(max(means)) == doc["gold"])

    def _lengths(self, doc: Mapping[str, Any], count: Count) -> list[int]:
        """Number of tokens of each answer; for equal answers, that of any of them."""
        return count(doc["answers"]) if len(set(doc["answers"])) > 1 else [1] * len(doc["answers"])
