"""Generation: right if the greedy continuation, cut and normalized, begins with a right answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, cast

from dclm.eval.data.rows import Row
from dclm.eval.kinds.kind import Answered, Asked, Count, ScoringKind, total
from dclm.eval.run.answers import cut_output, is_right, normalise
from dclm.eval.run.interface import Request, name_items
from dclm.eval.tokenizer import Tokenizer

if TYPE_CHECKING:
    from dclm.eval.data.load import TaskPart
    from dclm.eval.task import Task

COT_BUFFER = 10
"""Extra tokens allowed for an answer after a chain of thought (llm-foundry's _MAX_ANSWER_BUFFER_LENGTH)."""


class Generation(ScoringKind):
    """Rows with a context, an answer, other accepted answers (`aliases`), and optionally a chain of thought."""

    columns: ClassVar[Mapping[str, type]] = {"context": str, "answer": str}
    generates = True
    metric = "exact"
    output_type = "generate_until"

    def question(self, row: Row) -> str:
        return cast(str, row["context"])

    def example_answer(self, task: Task, row: Row) -> str:
        return _response(task, row, cast(str, row["answer"]))

    def answers(self, row: Row) -> tuple[str, ...]:
        return ()

    def gold(self, row: Row) -> int:
        return 0

    def reference(self, task: Task, row: Row) -> str:
        return self.example_answer(task, row)

    def solved(self, row: Row) -> str:
        return f"{row['context']} {right_answers(row)[0]}"

    def score(self, asked: Asked) -> Answered:
        """Generate, and compute in one more pass how likely the right answer is."""
        details, items, rows = asked.task.metadata, asked.items, asked.rows
        longest = max_new_tokens(asked.task, asked.parts, asked.model.tokenizer)
        requests = [
            Request(prompt=item.pairs[0][0], max_new_tokens=longest, stop=details.stop, text=item.text)
            for item in items
        ]
        generator, scorer = asked.model.generator(asked.batch_tokens), asked.model.scorer(asked.batch_tokens)
        with name_items(asked.places):
            outputs = generator.generate(requests)
        known = {item.row: item.reference for item in items if item.reference is not None}
        with name_items([f"task {asked.task.task}, row {row}, the right answer" for row in known]):
            scored = dict(zip(known, scorer.score([[pair] for pair in known.values()]), strict=True))
        nothing = [None] * len(items)
        pairs = zip(outputs, items, strict=True)
        columns: dict[str, Sequence[object]] = {
            "correct": [self.right(asked.task, rows[item.row], None, output) for output, item in pairs],
            "selected": nothing,
            "scores": nothing,
            "output": list(outputs),
            "gold": nothing,
            "logprobs": [[total(a) for a in scored[item.row]] if item.row in scored else None for item in items],
            "answer_bytes": [item.answer_bytes if item.row in scored else None for item in items],
        }
        return Answered(columns=columns, counts=(generator.counts, scorer.counts))

    def right(self, task: Task, row: Row, selected: int | None, output: str | None) -> bool | None:
        return _matches(task, output or "", right_answers(row))

    def judge(self, task: Task, doc: Mapping[str, Any], results: Sequence[Any], count: Count) -> bool:
        return _matches(task, results[0], doc["right"])


def max_new_tokens(task: Task, parts: Sequence[TaskPart], tokenizer: Tokenizer) -> int:
    """Maximum length of a generated answer, in tokens of `tokenizer`."""
    return longest_answer(task, parts, lambda texts: [len(ids) for ids in tokenizer.encode_all(texts, True)])


def longest_answer(task: Task, parts: Sequence[TaskPart], count: Callable[[Sequence[str]], list[int]]) -> int:
    """Number of tokens of the longest right answer over all rows, plus a margin if a chain of thought precedes it.

    `count` returns the number of tokens of each text.
    """
    rows = (row for part in parts for row in part.originals)
    responses = [_response(task, row, answer) for row in rows for answer in right_answers(row)]
    return max(count(responses)) + (COT_BUFFER if task.metadata.cot_delimiter else 0)


def right_answers(row: Row) -> list[str]:
    """The answer and its aliases, each once, as in the row of the file."""
    aliases = cast(list[str], row.get("aliases") or [])
    return list(dict.fromkeys([cast(str, row["answer"]), *aliases]))


def _response(task: Task, row: Row, answer: str) -> str:
    if "chain_of_thought" not in row:
        return answer
    return f"{row['chain_of_thought'] or ''}{task.metadata.cot_delimiter}{answer}"


def _matches(task: Task, output: str, right: Sequence[str]) -> bool:
    details = task.metadata
    return is_right(normalise(cut_output(output, details.stop, details.cot_delimiter)), right)
