"""Prompts, token for token as in the reference.

A prompt is three texts, tokenized separately and then joined: the examples (with special tokens), the question, the
answer. No merge crosses their borders.

Source: llm-foundry 0.9.0, `InContextLearningDataset` and its subclasses.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from dclm.core.errors import ConfigError, DataError
from dclm.eval.data.load import TaskPart
from dclm.eval.fewshot import FewShotDraw
from dclm.eval.kinds.generation import max_new_tokens
from dclm.eval.kinds.registry import kind_of
from dclm.eval.task import Task
from dclm.eval.tokenizer import Ids, Tokenizer


@dataclasses.dataclass(frozen=True, kw_only=True)
class PromptText:
    """One row as text."""

    row: int
    """Row number in the task's file."""
    category: str
    examples: str
    """Everything before the question."""
    contexts: tuple[str, ...]
    """The question, right-stripped; in a schema task one per choice, with its space as in the reference."""
    answers: tuple[str, ...]
    """The scored texts: one per choice, a single one, or none if text is generated."""
    gold: int
    """The right choice; 0 if there is nothing to choose."""
    reference: str
    """For generation, the right answer in the form of an example; otherwise empty."""
    answer_bytes: tuple[int, ...]
    """UTF-8 bytes of each answer, or of the reference, without surrounding whitespace."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One row as tokens."""

    row: int
    category: str
    pairs: tuple[tuple[Ids, Ids], ...]
    """(context, answer) per choice; a context is trimmed so that both fit the window, and is the same tuple if
    shared."""
    gold: int
    trimmed: bool
    """Whether a context had to be trimmed."""
    text: str
    """Examples and question of the first choice, untrimmed."""
    answer_bytes: tuple[int, ...]
    """As in `PromptText`, one per choice."""
    reference: tuple[Ids, Ids] | None = None
    """For generation, the right answer after as much of the prompt as fits; None if it has no tokens, or does not fit
    into the window at all."""


class Span(NamedTuple):
    """A range of a task's rows: from `first` up to `last` (exclusive), in order of category and row."""

    first: int
    last: int


def count_rows(parts: Sequence[TaskPart], limit: int | None) -> int:
    """Number of rows that count when each part is cut to its first `limit`."""
    return sum(_counted(part, limit) for part in parts)


def prompt_texts(
    task: Task, parts: Sequence[TaskPart], prefix_space: bool, limit: int | None = None, span: Span | None = None
) -> Iterator[PromptText]:
    """The prompts of a task's rows (the first `limit` of each part; among these, the ones in `span`), in order."""
    first, last = span or (0, sys.maxsize)
    for part in parts:
        here = _counted(part, limit)
        if first < here and last > 0:
            yield from _part_texts(task, part, prefix_space, max(first, 0), min(last, here))
        first, last = first - here, last - here


def _counted(part: TaskPart, limit: int | None) -> int:
    return len(part.rows) if limit is None else min(limit, len(part.rows))


def _part_texts(task: Task, part: TaskPart, prefix_space: bool, first: int, last: int) -> Iterator[PromptText]:
    draw, kind = FewShotDraw(len(part.rows), task.num_fewshot), kind_of(task)
    for index in range(last):
        others = draw.draw(index)
        if index < first:
            continue
        examples = ""
        for other in others:
            examples += kind.example(task, part.rows[other], first=not examples)
        row = part.rows[index]
        answers, reference = kind.answers(row), kind.reference(task, row)
        yield PromptText(
            row=part.row_numbers[index],
            category=part.category,
            examples=examples,
            contexts=kind.contexts(task, row, first=not examples),
            answers=tuple(_with_space(answer) if prefix_space else answer for answer in answers),
            gold=kind.gold(row),
            reference=_with_space(reference) if prefix_space and reference else reference,
            answer_bytes=tuple(len(answer.strip().encode()) for answer in answers or (reference,)),
        )


def build_items(
    task: Task,
    parts: Sequence[TaskPart],
    tokenizer: Tokenizer,
    max_seq_len: int,
    limit: int | None = None,
    span: Span | None = None,
) -> list[Item]:
    """The rows of a task as tokens: see `prompt_texts` for which rows, and in what order.

    Raises: DataError naming task and row if an answer has no tokens, or leaves no room for a context.
    """
    texts = list(prompt_texts(task, parts, tokenizer.prefix_space(), limit, span))
    preambles = [_without_end(ids, tokenizer) for ids in tokenizer.encode_all([t.examples for t in texts], True)]
    questions = iter(tokenizer.encode_all([context for t in texts for context in t.contexts]))
    answers = iter(tokenizer.encode_all([answer for t in texts for answer in t.answers]))
    references = tokenizer.encode_all([t.reference for t in texts])
    generates = kind_of(task).generates
    if generates:
        room = generation_room(task, parts, tokenizer, max_seq_len)
    items = []
    for text, preamble, reference in zip(texts, preambles, references, strict=True):
        contexts = [preamble + next(questions) for _ in text.contexts]
        if generates:
            pairs: list[tuple[Ids, Ids]] = [(contexts[0][-room:], ())]
        else:
            pairs = _pairs(task, text, contexts, [next(answers) for _ in text.answers], max_seq_len)
        trimmed = any(len(pair[0]) < len(contexts[i % len(contexts)]) for i, pair in enumerate(pairs))
        items.append(
            Item(
                row=text.row,
                category=text.category,
                pairs=tuple(pairs),
                gold=text.gold,
                trimmed=trimmed,
                text=text.examples + text.contexts[0],
                answer_bytes=text.answer_bytes * (len(pairs) // len(text.answer_bytes)),
                reference=_reference(contexts[0], reference, max_seq_len),
            )
        )
    return items


def _reference(context: Ids, answer: Ids, max_seq_len: int) -> tuple[Ids, Ids] | None:
    """The answer after the end of its context; None if it does not exist, or no token of context fits."""
    room = max_seq_len - len(answer)
    return (context[-room:], answer) if answer and room > 0 and context else None


def generation_room(task: Task, parts: Sequence[TaskPart], tokenizer: Tokenizer, max_seq_len: int) -> int:
    """Maximum number of tokens of a prompt, so that the longest answer fits into the window after it.

    Raises: ConfigError if no room is left for a prompt.
    """
    longest = max_new_tokens(task, parts, tokenizer)
    if longest >= max_seq_len:
        what = f"its answers have up to {longest} tokens, but the model's window is {max_seq_len}"
        raise ConfigError(f"task {task.task}", what, "score it with a model that has a longer window")
    return max_seq_len - longest


def context_sha(ids: Ids) -> bytes:
    """The bytes of ids as hashed in the conformance files: int32, little-endian."""
    return np.asarray(ids, dtype="<i4").tobytes()


def _pairs(
    task: Task, text: PromptText, contexts: list[Ids], answers: list[Ids], max_seq_len: int
) -> list[tuple[Ids, Ids]]:
    where = f"task {task.task}, row {text.row}"
    if len(answers) == 1:
        answers *= len(contexts)
    pairs = []
    known: dict[Ids, Ids] = {}
    for index, answer in enumerate(answers):
        room = max_seq_len - len(answer)
        if not answer:
            raise DataError(where, f"answer {index} has no tokens: {text.answers[min(index, len(text.answers) - 1)]!r}")
        if room <= 0:
            what = f"answer {index} has {len(answer)} tokens, but the model's window is {max_seq_len}"
            raise DataError(where, what, "score it with a model that has a longer window")
        context = contexts[index if len(contexts) > 1 else 0][-room:]
        if not context:
            raise DataError(where, "the context has no tokens")
        pairs.append((known.setdefault(context, context), answer))
    return pairs


def _with_space(answer: str) -> str:
    return answer if answer.startswith(" ") else f" {answer}"


def _without_end(ids: Ids, tokenizer: Tokenizer) -> Ids:
    return ids[:-1] if len(ids) > 1 and ids[-1] == tokenizer.end_id else ids
