"""Continuous scores: all of them follow from items.parquet, by the definitions in a few plain lines."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from eval_tasks import KINDS, ROWS

from dclm.eval.data.load import load_parts
from dclm.eval.prompts import build_items
from dclm.eval.report import scores_json
from dclm.eval.run.stage import evaluate
from dclm.eval.run.unit import ITEMS
from dclm.eval.statistics.continuous import METRICS, estimate, item_values, mean_bits, read_continuous
from dclm.eval.suite import load_suite
from dclm.eval.task import Task, load_task
from dclm.eval.tokenizer import Tokenizer

Item = Mapping[str, Any]


def by_hand(item: Item) -> dict[str, float]:
    """The scores of one item, by definition."""
    logprobs, sizes, gold = item["logprobs"], item["answer_bytes"], item["gold"]
    if gold is None:
        return {"bits_per_byte": -logprobs[0] / math.log(2) / sizes[0]}
    weights = [math.exp(logprob) for logprob in logprobs]
    shares = [weight / sum(weights) for weight in weights]
    return {
        "bits_per_byte": -logprobs[gold] / math.log(2) / sizes[gold],
        "probability": shares[gold],
        "margin": shares[gold] - max(share for place, share in enumerate(shares) if place != gold),
        "brier": sum((share - (place == gold)) ** 2 for place, share in enumerate(shares)),
    }


def clustered(items: list[Item], values: list[float]) -> tuple[float, float | None]:
    """Mean of the categories' means, and its standard error over clusters."""
    categories = sorted({str(item["category"]) for item in items})
    parts: dict[str, float] = {}
    means = []
    for category in categories:
        mine = [(item, v) for item, v in zip(items, values, strict=True) if str(item["category"]) == category]
        mean = sum(v for _, v in mine) / len(mine)
        means.append(mean)
        for item, v in mine:
            parts[item["cluster"]] = parts.get(item["cluster"], 0.0) + (v - mean) / len(mine) / len(categories)
    squares = sum(part**2 for part in parts.values())
    count, strata = len(parts), len(categories)
    error = math.sqrt(squares * count / (count - strata)) if count > strata and squares > 0 else None
    return sum(means) / len(means), error


def test_all_scores_follow_from_the_items(model: str, tasks: Path, tmp_path: Path) -> None:
    evaluate(model, tmp_path / "out", tasks=tuple(ROWS), device="cpu", folder=tasks)
    scores = json.loads((tmp_path / "out" / "scores.json").read_text())
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    for label in ROWS:
        mine = [item for item in items if item["task"] == label]
        singly = [by_hand(item) for item in mine]
        found = scores["tasks"][label]["continuous"]
        assert list(found) == list(METRICS)
        for metric in METRICS:
            if metric not in singly[0]:
                assert found[metric] is None
                continue
            value, error = clustered(mine, [each[metric] for each in singly])
            assert found[metric]["value"] == pytest.approx(value, rel=1e-12)
            assert found[metric]["standard_error"] == (None if error is None else pytest.approx(error, rel=1e-9))
            assert found[metric]["n"] == len(mine)
            low, high = found[metric]["interval"]
            assert (low is None) == (error is None)
            assert low is None or METRICS[metric].least <= low <= value <= high <= METRICS[metric].most
    assert scores["core_bpb"] is scores["core_bpb_standard_error"] is None
    told = scores["tasks"]["tell"]["continuous"]["brier"]
    assert told["standard_error"] is None, "four rows of one cluster: nothing to estimate an error from"


def test_the_right_answer_is_the_one_that_counts(model: str, tasks: Path, tmp_path: Path) -> None:
    """Bytes and logarithms are those of the answers alone, whatever space a tokenizer puts before them."""
    evaluate(model, tmp_path / "out", tasks=tuple(ROWS), device="cpu", folder=tasks)
    for item in pq.read_table(tmp_path / "out" / "items.parquet").to_pylist():
        row, kind = ROWS[item["task"]][item["row"]], KINDS[item["task"]]
        if kind in ("multiple_choice", "schema"):
            assert item["gold"] == row["gold"]
            assert item["correct"] == (item["selected"] == item["gold"])
        else:
            assert item["gold"] is None
        if kind == "multiple_choice":
            assert item["answer_bytes"] == [1, 2, 3]
            tokens = [1, 3, 4]  # " a" is one token of the letters, " bb" three
            assert [-t / n for t, n in zip(item["logprobs"], tokens, strict=True)] == pytest.approx(item["scores"])
        elif kind == "language_modeling":
            assert item["answer_bytes"] == [len("more")]
            assert item["logprobs"] == pytest.approx([sum(item["scores"])])
        elif kind == "generation":
            assert item["answer_bytes"] == [1]
            assert len(item["logprobs"]) == 1
        else:
            assert item["answer_bytes"] == [2, 2]


def test_a_right_answer_that_does_not_fit_has_no_score(
    letters: Tokenizer, tasks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = load_task("say", tasks)
    whole, trimmed = (build_items(task, load_parts(task), letters, window)[0].reference for window in (200, 4))
    assert whole is not None
    assert trimmed == (whole[0][-2:], whole[1]), "the end of the prompt, so that both fit"
    assert letters.decode(whole[1]) == " 0"
    monkeypatch.setattr("dclm.eval.prompts.generation_room", lambda *_: 1)
    assert build_items(task, load_parts(task), letters, 2)[0].reference is None


def table(rows: list[dict[str, Any]]) -> pa.Table:
    plain = {"task": "t", "row": 0, "cluster": 0, "correct": True, "trimmed": False}
    return pa.Table.from_pylist([{**plain, "row": i, "cluster": i, **row} for i, row in enumerate(rows)], ITEMS)


def test_extreme_logarithms_and_empty_answers_give_no_nonsense() -> None:
    found = item_values(
        table(
            [
                {"gold": 1, "logprobs": [-5000.0, -4000.0], "answer_bytes": [3, 4]},
                {"gold": 0, "logprobs": [-1.0, -1.0, -1.0], "answer_bytes": [0, 1, 1]},
                {"gold": None, "logprobs": [0.0], "answer_bytes": [5]},
                {"gold": None, "logprobs": None, "answer_bytes": None},
            ]
        )
    )
    assert found["bits_per_byte"][0] == pytest.approx(1000 / math.log(2))
    assert found["probability"][:2] == pytest.approx([1.0, 1 / 3])
    assert found["margin"][:2] == pytest.approx([1.0, 0.0])
    assert found["brier"][:2] == pytest.approx([0.0, 2 / 3])
    assert np.isnan(found["bits_per_byte"][[1, 3]]).all()
    assert found["bits_per_byte"][2] == 0.0
    assert all(np.isnan(found[metric][2:]).all() for metric in ("probability", "margin", "brier"))


def test_an_error_that_cannot_be_estimated_is_null() -> None:
    same = table([{"gold": 0, "logprobs": [-1.0, -2.0], "answer_bytes": [1, 1]}] * 5)
    alone = table([{"gold": 0, "logprobs": [-1.0, -2.0], "answer_bytes": [1, 1]}])
    for each in (same, alone):
        for metric, items in read_continuous(each).items():
            found = estimate(items, metric)
            assert (found.standard_error, *found.interval) == (None, None, None)


def test_items_of_earlier_scores_have_none(tmp_path: Path) -> None:
    rows = [
        {"task": task.task, "row": i, "cluster": i, "correct": i % 2 == 0, "trimmed": False}
        for task in load_suite("core").tasks
        for i in range(4)
    ]
    old = pa.schema([field for field in ITEMS if field.name not in ("gold", "logprobs", "answer_bytes")])
    pq.write_table(pa.Table.from_pylist(rows, old), tmp_path / "items.parquet")
    found: dict[str, Any] = scores_json(
        load_suite("core"), tmp_path / "items.parquet", model="m", limit=None, window=2048, dtype="float32", missing={}
    )
    assert found["core_v2"] is not None
    assert found["core_bpb"] is None
    assert set(found["tasks"]["copa"]["continuous"].values()) == {None}


def test_core_bpb_is_the_mean_over_the_tasks_of_core() -> None:
    random = np.random.default_rng(0)

    def items(task: Task) -> pa.Table:
        return table(
            [{"logprobs": [float(-random.gamma(2.0))], "answer_bytes": [int(random.integers(1, 9))]} for _ in range(30)]
        )

    tasks = load_suite("core").tasks
    by_task = {task.task: read_continuous(items(task)) for task in tasks}
    found = mean_bits(by_task, tasks)
    assert found is not None
    each = [estimate(mine["bits_per_byte"], "bits_per_byte") for mine in by_task.values()]
    assert found.value == pytest.approx(sum(e.value for e in each) / 22)
    files = {task.metadata.data.file for task in tasks}
    assert len(files) < len(tasks), "two tasks of CORE share their rows"
    alone = math.sqrt(sum((e.standard_error or 0.0) ** 2 for e in each)) / 22
    assert found.standard_error == pytest.approx(alone, rel=0.3)
    assert found.standard_error != alone
    del by_task["copa"]
    assert mean_bits(by_task, tasks) is None
