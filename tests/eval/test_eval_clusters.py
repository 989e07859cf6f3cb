"""Rows that count as one sample."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.eval.data.load import load_parts
from dclm.eval.data.rows import Row
from dclm.eval.statistics.clusters import cluster_rows
from dclm.eval.task import Details, Task, load_task

CLUSTERS = {
    "winograd": 171, "winogrande": 1032, "squad": 2067, "coqa": 499, "boolq": 2938, "agi_eval_lsat_ar": 40,
    "agi_eval_sat_en": 44, "bbq": 343, "mmlu_fewshot": 13_610, "logi_qa": 557, "bigbench_conlang_translation": 8,
    "bigbench_logical_deduction": 300, "bigbench_elementary_math_qa": 21_722, "copa": 100,
}  # fmt: skip


def clusters(label: str, rows: list[Row], **changes: Any) -> list[int]:
    task: Task = load_task(label)
    task = dataclasses.replace(task, metadata=dataclasses.replace(task.metadata, **changes))
    return list(cluster_rows(task, dict(enumerate(rows))).values())


def test_rows_that_share_a_passage_are_one_cluster() -> None:
    rows: list[Row] = [{"context": f"{passage}\nQuestion: {i}"} for i, passage in enumerate("abac")]
    assert clusters("squad", [*rows, {"context": "a"}]) == [0, 1, 0, 3, 0]


def test_rows_with_one_question_are_one_cluster() -> None:
    rows: list[Row] = [{"context_options": [text, "y"], "continuation": "."} for text in ("a", "b", "a")]
    assert clusters("winograd", rows) == [0, 1, 0]


def test_templates_are_clusters_within_their_category() -> None:
    rows: list[Row] = [
        {"query": str(i), "category": category, "question_index": index}
        for i, (category, index) in enumerate([("Age", "1"), ("Age", "1"), ("SES", "1"), ("Age", "2")])
    ]
    assert clusters("bbq", rows) == [0, 0, 2, 3]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"passage": "("}, "not a regular expression"),
        ({"passage": "a"}, "found 0 groups, allowed: 1"),
        ({"passage": "(a)", "cluster_column": "b"}, "not both"),
    ],
)
def test_a_wrong_pattern_is_told_with_the_file(changes: dict[str, str], message: str) -> None:
    fields = "".join(f"{key}: '{value}'\n" for key, value in changes.items())
    text = (
        "version: 1\nabout: x\nkind: multiple_choice\ngroup: g\ncontinuation_delimiter: ' '\nsource: s\nlicence: l\n"
        f"data: {{file: f, rows: 1, sha256: null}}\nbaseline: {{v1: 0, v2: 0}}\n{fields}"
    )
    with pytest.raises(ConfigError, match=message):
        build(Details, parse_yaml(text, "t.yaml"))


@pytest.mark.shared
@pytest.mark.parametrize("label", CLUSTERS)
def test_the_tasks_have_as_many_clusters_as_their_passages_and_twins_make(label: str) -> None:
    task = load_task(label)
    rows = {n: row for part in load_parts(task) for n, row in zip(part.row_numbers, part.originals, strict=True)}
    assert len(set(cluster_rows(task, rows).values())) == CLUSTERS[label]
