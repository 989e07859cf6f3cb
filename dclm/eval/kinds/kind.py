"""The interface of a kind of task: the columns of its rows, its prompt, its score, and how lm-eval runs it.

A new kind is a file next to this one, a line in `dclm.eval.kinds.registry`, its name in `dclm.eval.task.Kind`, and a
template for lm-eval in eval_suite/templates.

Source of the prompts: llm-foundry 0.9.0, `InContextLearningDataset` and its subclasses.
"""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

import numpy as np

from dclm.eval.data.rows import Row
from dclm.eval.run.interface import AnswerJudgment, AnswerScorer, Candidate, TokenCounts, name_items

if TYPE_CHECKING:
    from dclm.eval.data.load import TaskPart
    from dclm.eval.prompts import Item
    from dclm.eval.task import Task

Count = Callable[[Sequence[str]], list[int]]
"""Returns the number of tokens of each text."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """Some rows of a task, and the model that answers them."""

    task: Task
    parts: Sequence[TaskPart]
    """All rows of the task."""
    items: Sequence[Item]
    """The rows to score."""
    rows: Mapping[int, Row]
    """Number → row as in the task's file."""
    model: Candidate
    batch_tokens: int

    @property
    def places(self) -> list[str]:
        """Names of the items, for errors."""
        return [f"task {self.task.task}, row {item.row}" for item in self.items]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Answered:
    """The model's answers to them."""

    columns: Mapping[str, Sequence[object]]
    """Columns of items.parquet, one value per item: `correct`, `selected`, `scores`, `output`, `gold`, `logprobs`,
    `answer_bytes`."""
    counts: Sequence[TokenCounts]


class ScoringKind(abc.ABC):
    """One kind. It has no state."""

    columns: ClassVar[Mapping[str, type]]
    """Columns that every row must have."""
    choices: ClassVar[str | None] = None
    """The column with the list of choices, if there is one; `gold` is then the index of the right one."""
    generates: ClassVar[bool] = False
    """Whether text is generated."""
    metric: ClassVar[str] = "accuracy"
    """What the score is the fraction of, in tables: `accuracy` for right choices, `exact` for answers that match."""
    output_type: ClassVar[str] = "loglikelihood"
    """lm-eval's name for the request."""

    # prompt

    @abc.abstractmethod
    def question(self, row: Row) -> str:
        """The text of the question."""

    @abc.abstractmethod
    def example_answer(self, task: Task, row: Row) -> str:
        """The right answer, in the form of an example."""

    @abc.abstractmethod
    def answers(self, row: Row) -> tuple[str, ...]:
        """The scored texts: one per choice, a single one, or none if text is generated."""

    def gold(self, row: Row) -> int:
        """The right choice; 0 if there is nothing to choose."""
        return cast(int, row.get("gold", 0))

    def reference(self, task: Task, row: Row) -> str:
        """For generation, the answer whose likelihood is scored; otherwise empty."""
        return ""

    def example(self, task: Task, row: Row, first: bool) -> str:
        """A solved row; the first of the examples has no delimiter before it."""
        details = task.metadata
        opening = f"{delimiter(task, first)}{details.prelimiter}{self.question(row)}"
        return f"{opening}{details.continuation_delimiter}{self.example_answer(task, row)}"

    def contexts(self, task: Task, row: Row, first: bool) -> tuple[str, ...]:
        """The question, right-stripped, after examples or `first`; one per choice if the choices are contexts."""
        details = task.metadata
        asked = f"{details.prelimiter}{self.question(row)}{details.continuation_delimiter}"
        return (f"{delimiter(task, first)}{asked}".rstrip(),)

    def solved(self, row: Row) -> str:
        """Question and right answer, as they may occur in a document."""
        return f"{self.question(row)} {self.answers(row)[self.gold(row)]}"

    # score

    @abc.abstractmethod
    def score(self, asked: Asked) -> Answered:
        """Score the rows with the model. Raises: DataError naming task and row if an item cannot be scored."""

    @abc.abstractmethod
    def right(self, task: Task, row: Row, selected: int | None, output: str | None) -> bool | None:
        """Whether an item deserves to be marked right; None if its stored columns do not determine this."""

    @abc.abstractmethod
    def judge(self, task: Task, doc: Mapping[str, Any], results: Sequence[Any], count: Count) -> bool:
        """Whether lm-eval's `results` for `doc` are right, by the reference's rule."""


def delimiter(task: Task, first: bool) -> str:
    """The text before an example or a question."""
    return "" if first else task.metadata.example_delimiter


def score_pairs(asked: Asked) -> tuple[Sequence[Sequence[AnswerJudgment]], dict[str, Sequence[object]], TokenCounts]:
    """The evaluation of every answer of every item, and the columns that all kinds store."""
    scorer: AnswerScorer = asked.model.scorer(asked.batch_tokens)
    with name_items(asked.places):
        scores = scorer.score([item.pairs for item in asked.items])
    kept: dict[str, Sequence[object]] = {
        "logprobs": [[total(answer) for answer in answers] for answers in scores],
        "answer_bytes": [item.answer_bytes for item in asked.items],
        "output": [None] * len(asked.items),
    }
    return scores, kept, scorer.counts


def total(answer: AnswerJudgment) -> float:
    """Log-probability of a whole answer, in nats."""
    return float(answer.logprobs.sum(dtype=np.float64))
