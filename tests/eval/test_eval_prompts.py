"""Prompts against those of the reference, row by row and token by token."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dclm.eval.data import load_parts
from dclm.eval.fewshot import FewShotDraw
from dclm.eval.prompts import Item, build_items, context_sha, max_new_tokens, right_answers
from dclm.eval.task import load_task, task_labels
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
