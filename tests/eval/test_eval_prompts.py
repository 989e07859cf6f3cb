"""Prompts against those of the reference, row by row and token by token."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from dclm.eval.data.load import load_parts, split
from dclm.eval.data.rows import Row
from dclm.eval.fewshot import FewShotDraw
from dclm.eval.kinds.generation import max_new_tokens, right_answers
from dclm.eval.kinds.registry import KINDS
from dclm.eval.prompts import (
    Item,
    PromptText,
    build_items,
    context_sha,
    prompt_texts,
)
from dclm.eval.task import Baseline, Details, Kind, Task, TaskData, load_task, task_labels
from dclm.eval.tokenizer import Tokenizer

SCORED = [label for label in task_labels() if not label.startswith("gpqa")]


def read_lines(path: Path) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        return [json.loads(line) for line in handle]


def sha(ids: tuple[int, ...]) -> str:
    return hashlib.sha256(context_sha(ids)).hexdigest()


def assert_same_prompt(item: Item, expected: dict[str, Any]) -> None:
    shas = [sha(context) for context, _ in item.pairs]
    wanted = expected["ctx_sha256"]
    assert shas == (wanted if isinstance(wanted, list) else [wanted] * len(shas))
    if "cont_ids" in expected:
        assert [list(answer) for _, answer in item.pairs] == expected["cont_ids"]
    if isinstance(expected.get("gold"), int):
        assert item.gold == expected["gold"]


@pytest.mark.shared
@pytest.mark.parametrize("label", SCORED)
def test_prompts_are_those_of_the_reference(label: str, shared: Path, neox: Tokenizer) -> None:
    task = load_task(label)
    parts = load_parts(task)
    expected = read_lines(shared / "conformance" / "eval" / "prompts" / f"{label}.jsonl.gz")
    items = build_items(task, parts, neox, 2048, limit=max(row["row"] for row in expected) + 1)
    found = {(item.category, item.row): item for item in items}
    numbers = {part.category: part.row_numbers for part in parts}
    for row in expected:
        category = row.get("category", "")
        assert_same_prompt(found[category, numbers[category][row["row"]]], row)
    if task.metadata.kind == "generation":
        assert max_new_tokens(task, parts, neox) == expected[0]["max_new_tokens"]
        for row in expected:
            assert sorted(right_answers(parts[0].originals[row["row"]])) == row["aliases"]


@pytest.mark.shared
def test_every_draw_of_every_task_is_the_references(shared: Path) -> None:
    content = (shared / "conformance" / "eval" / "fewshot_idxs.json.gz").read_bytes()
    for parts in json.loads(gzip.decompress(content)).values():
        for expected in parts.values():
            draw = FewShotDraw(expected["pool"], expected["k"])
            digest = hashlib.sha256()
            for row in range(expected["pool"]):
                chosen = draw.draw(row)
                if row < len(expected["first_rows"]):
                    assert chosen == expected["first_rows"][row]
                digest.update(np.asarray([*chosen, -1], dtype="<i4").tobytes())
            assert digest.hexdigest() == expected["sha256_all_rows"]


def made_up(kind: Kind, rows: list[Row], shots: int, cot_delimiter: str = "") -> list[PromptText]:
    """The prompts of a task without a file."""
    task = Task(
        task="made_up",
        include="",
        num_fewshot=shots,
        metadata=Details(
            version=1, about="", kind=kind, group="", data=TaskData(file="none", rows=len(rows), sha256=None),
            baseline=Baseline(v1=0, v2=0), source="", licence="", continuation_delimiter=": ", prelimiter="Q ",
            cot_delimiter=cot_delimiter,
        ),
    )  # fmt: skip
    return list(prompt_texts(task, split(task, rows), prefix_space=True))


def test_a_schema_prompt_has_its_delimiters_where_the_reference_puts_them() -> None:
    """The prelimiter precedes the example delimiter, and no space is cut off a context, unlike in the other kinds."""
    rows: list[Row] = [{"context_options": ["he \n", "she\t"], "continuation": " so ", "gold": 0} for _ in range(3)]
    alone = made_up("schema", rows, 0)[0]
    assert (alone.examples, alone.contexts, alone.answers) == ("", ("Q he \n", "Q she\t"), (" so",))
    after_two = made_up("schema", rows, 2)[0]
    assert after_two.examples == "Q he \n: soQ \nhe \n: so"
    assert after_two.contexts == ("Q \nhe \n:", "Q \nshe\t:")


def test_the_other_kinds_lose_the_space_before_an_answer() -> None:
    rows: list[Row] = [{"context": " he \n", "continuation": " so "} for _ in range(3)]
    after_two = made_up("language_modeling", rows, 2)[0]
    assert after_two.examples == "Q he: so\nQ he: so"
    assert after_two.contexts == ("\nQ he:",)


@pytest.mark.parametrize(
    ("thought", "example"),
    [({}, "Q 1: 2"), ({"chain_of_thought": ""}, "Q 1:  # 2"), ({"chain_of_thought": "so"}, "Q 1: so # 2")],
)
def test_an_answer_stands_behind_the_delimiter_wherever_the_data_has_thoughts(
    thought: dict[str, object], example: str
) -> None:
    """An empty thought counts as one: the reference only checks whether the file has the column."""
    rows: list[Row] = [{"context": "1", "answer": "2", **thought} for _ in range(2)]
    assert made_up("generation", rows, 1, cot_delimiter=" # ")[0].examples == example


def test_every_kind_that_a_task_may_name_has_its_file() -> None:
    assert set(KINDS) == set(get_args(Kind))
    for name, kind in KINDS.items():
        assert type(kind).__module__ == f"dclm.eval.kinds.{name}"
