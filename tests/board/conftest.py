"""Results used by tests of the board."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from dclm.board.known.checks import known_scale, settings_of
from dclm.board.result import (
    DataSummary,
    Result,
    SuiteIdentity,
    TaskScore,
    TrainingSummary,
    make_result,
    write_result,
)
from dclm.core.record import Kind, Record
from dclm.eval.suite import load_suite
from dclm.eval.task import Task

MakeResult = Callable[..., Result]


def mark(text: str) -> str:
    """A fingerprint."""
    return hashlib.sha256(text.encode()).hexdigest()


def make_records(name: str) -> list[Record]:
    """The chain of an experiment of that name, from pool to scores."""
    records: list[Record] = []
    kinds: tuple[Kind, ...] = ("pool", "documents", "tokens", "checkpoint", "scores")
    for kind in kinds:
        inputs = {records[-1].kind: records[-1].fingerprint} if records else {}
        records.append(Record(kind=kind, name=kind, fingerprint=mark(f"{name} {kind}"), config={}, inputs=inputs))
    return records


def score_of(task: Task, accuracy: float) -> TaskScore:
    """The score closest to `accuracy` that the task's items allow, with the binomial standard error."""
    rows = task.metadata.data.rows
    score = round(accuracy * rows) / rows
    return TaskScore(score=score, n=rows, stderr=math.sqrt(score * (1 - score) / (rows - 1)))


def core_error(scores: Mapping[str, TaskScore]) -> float | None:
    """The standard error of CORE if its tasks were independent."""
    tasks = load_suite("core").tasks
    if any(task.task not in scores for task in tasks):
        return None
    errors = [(scores[t.task].stderr or 0.0) / (1 - t.metadata.baseline.v2) / len(tasks) for t in tasks]
    return math.sqrt(sum(error**2 for error in errors))


def build_result(
    name: str = "baseline", accuracy: float = 0.5, scale: str = "tiny", tasks: int | None = None, **changes: object
) -> Result:
    """A sound result in which every task has about `accuracy`; `changes` are passed to the Result unchanged."""
    suite, known = load_suite("extended"), known_scale(scale)
    training = TrainingSummary(
        scale=scale,
        params=10**6 if known is None else known.model.num_parameters,
        tokens=2 * 10**7 if known is None else known.trained_tokens,
        flops=1.2e14 if known is None else float(known.flops_6nd),
        settings={} if known is None else settings_of(known),
        seed=0,
        validation_loss=3.25,
    )
    scores = {task.task: score_of(task, accuracy) for task in suite.tasks[:tasks]}
    result = make_result(
        name=name,
        scores=scores,
        suite=SuiteIdentity(name="extended", version=suite.version, hash=suite.hash),
        training=training,
        data=DataSummary(pools=("sample",), pipeline="dclm_baseline", counts={"read": 10, "kept": 4}),
        records=make_records(name),
        core_v2_stderr=core_error(scores),
        provenance={"host": "somewhere"},
    )
    return dataclasses.replace(result, **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def make() -> MakeResult:
    return build_result


@pytest.fixture
def result_file(tmp_path: Path) -> Path:
    path = tmp_path / "run" / "result.json"
    write_result(path, build_result())
    return path


@pytest.fixture(autouse=True)
def without_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DCLM_BOARD_TOKEN", raising=False)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
