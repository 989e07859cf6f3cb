"""The stage: scores, resume, limits, missing parts, and the same bytes however it is run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from eval_tasks import ROWS, write_task

from dclm.core.errors import ConfigError, DataError
from dclm.core.stages.engine import SerialEngine
from dclm.eval.data.rows import rows_sha256
from dclm.eval.run.stage import evaluate
from dclm.eval.task import load_task


def read(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "scores.json").read_text())
    return found


def test_scores_say_what_was_asked_and_how_sure_they_are(model: str, tasks: Path, tmp_path: Path) -> None:
    record = evaluate(model, tmp_path / "out", tasks=tuple(ROWS), device="cpu", folder=tasks)
    scores = read(tmp_path / "out")
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert record.kind == "scores"
    assert record.counts["items"] == len(items) == 25
    for label, rows in ROWS.items():
        mine = [item for item in items if item["task"] == label]
        assert sorted(item["row"] for item in mine) == list(range(len(rows)))
        assert scores["tasks"][label]["n"] == len(rows)
    by_category = scores["tasks"]["choose"]["categories"]
    assert scores["tasks"]["choose"]["accuracy"] == pytest.approx(sum(by_category.values()) / 2)
    assert scores["core_v2"] is None
    assert "copa" in scores["missing"]
    assert scores["limited"] is None
    assert not (tmp_path / "out" / "parts").exists()


def test_a_choice_is_right_if_its_mean_cross_entropy_is_lowest(model: str, tasks: Path, tmp_path: Path) -> None:
    evaluate(model, tmp_path / "out", tasks=("choose",), device="cpu", folder=tasks)
    for item in pq.read_table(tmp_path / "out" / "items.parquet").to_pylist():
        best = item["scores"].index(min(item["scores"]))
        assert item["selected"] == best
        assert item["correct"] == (best == ROWS["choose"][item["row"]]["gold"])


class Interrupted(SerialEngine):
    """An engine that stops after some units, like a kill."""

    def __init__(self, after: int) -> None:
        self.after = after

    def map(
        self, function: Callable[[Any], Any], units: Iterable[Any], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for index, one in enumerate(units):
            if index == self.after:
                raise KeyboardInterrupt
            yield index, function(one)


class Counting(SerialEngine):
    """Counts the units that it receives."""

    def __init__(self) -> None:
        self.units = 0

    def map(
        self, function: Callable[[Any], Any], units: Iterable[Any], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for index, unit in enumerate(units):
            self.units += 1
            yield index, function(unit)


def test_an_interrupted_run_goes_on_and_gives_the_same_bytes(model: str, tasks: Path, tmp_path: Path) -> None:
    whole = tmp_path / "whole"
    evaluate(model, whole, tasks=tuple(ROWS), device="cpu", folder=tasks)
    broken = tmp_path / "broken"
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, broken, tasks=tuple(ROWS), device="cpu", folder=tasks, engine=Interrupted(4))
    assert not (broken / "record.json").exists()
    engine = Counting()
    evaluate(model, broken, tasks=tuple(ROWS), device="cpu", folder=tasks, engine=engine)
    assert engine.units == 10 - 4
    for name in ("items.parquet", "scores.json"):
        assert (broken / name).read_bytes() == (whole / name).read_bytes()


def test_a_finished_run_is_used_again_and_a_changed_one_is_not(model: str, tasks: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    first = evaluate(model, out, tasks=("complete",), device="cpu", folder=tasks)
    engine = Counting()
    assert evaluate(model, out, tasks=("complete",), device="cpu", folder=tasks, engine=engine) == first
    assert engine.units == 0
    limited = evaluate(model, out, tasks=("complete",), limit=2, device="cpu", folder=tasks, force=True)
    assert limited.fingerprint != first.fingerprint
    assert read(out)["limited"] == 2


@pytest.mark.parametrize("other", [{"batch_tokens": 64}, {"dtype": "bfloat16"}])
def test_what_may_change_last_digits_is_other_work(
    model: str, tasks: Path, tmp_path: Path, other: dict[str, Any]
) -> None:
    """Units of a stopped run are not mixed with those of a run with other batches or another precision."""
    out = tmp_path / "out"
    with pytest.raises(KeyboardInterrupt):
        evaluate(model, out, tasks=tuple(ROWS), device="cpu", folder=tasks, engine=Interrupted(4))
    engine = Counting()
    second = evaluate(model, out, tasks=tuple(ROWS), device="cpu", folder=tasks, engine=engine, **other)
    assert engine.units == 10
    again = evaluate(model, out, tasks=tuple(ROWS), device="cpu", folder=tasks, force=True)
    assert again.fingerprint != second.fingerprint


def test_a_limit_keeps_the_first_rows_of_each_category(model: str, tasks: Path, tmp_path: Path) -> None:
    evaluate(model, tmp_path / "out", tasks=("choose",), limit=2, device="cpu", folder=tasks)
    items = pq.read_table(tmp_path / "out" / "items.parquet").to_pylist()
    assert sorted((item["category"], item["row"]) for item in items) == [("c0", 0), ("c0", 2), ("c1", 1), ("c1", 3)]


def test_a_task_without_data_is_missing_with_its_reason(model: str, tasks: Path, tmp_path: Path) -> None:
    (tmp_path / "assets" / "eval" / "tests" / "tell.jsonl.gz").unlink()
    evaluate(model, tmp_path / "out", tasks=("tell", "complete"), device="cpu", folder=tasks)
    scores = read(tmp_path / "out")
    assert list(scores["tasks"]) == ["complete"]
    assert "tell.jsonl" in scores["reasons"]["tell"]


def test_data_that_is_not_the_pinned_one_is_refused(model: str, tasks: Path, tmp_path: Path) -> None:
    write_task(tasks, "tell", 4, "f" * 64)
    load_task.cache_clear()
    with pytest.raises(ConfigError, match=r"none of its tasks can be scored.*sha256"):
        evaluate(model, tmp_path / "out", tasks=("tell",), device="cpu", folder=tasks)


def test_a_wrong_number_of_rows_is_refused(model: str, tasks: Path, tmp_path: Path) -> None:
    write_task(tasks, "tell", 5, rows_sha256(ROWS["tell"]))
    load_task.cache_clear()
    with pytest.raises(DataError, match="found 4 rows, allowed: 5"):
        evaluate(model, tmp_path / "out", tasks=("tell",), device="cpu", folder=tasks)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tasks": ("chose",)}, "did you mean `choose`"),
        ({"suite": "core"}, "no such suite"),
        ({}, "allowed: one"),
        ({"tasks": ("choose",), "suite": "core"}, "allowed: one"),
        ({"tasks": ("choose",), "limit": 0}, "limit"),
        ({"tasks": ("choose",), "dtype": "float7"}, "float32"),
    ],
)
def test_wrong_arguments_are_named(
    model: str, tasks: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        evaluate(model, tmp_path / "out", device="cpu", folder=tasks, **options)
    assert not (tmp_path / "out").exists()


def test_a_model_that_is_not_there_is_named(tasks: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing-here"):
        evaluate(str(tmp_path / "nothing-here"), tmp_path / "out", tasks=("tell",), device="cpu", folder=tasks)
