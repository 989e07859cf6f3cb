"""Results that tests of the board start from."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

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


def build_result(
    name: str = "baseline", accuracy: float = 0.5, scale: str = "tiny", tasks: int | None = None, **changes: object
) -> Result:
    """A sound result in which every task has `accuracy`; `changes` go to the Result as they are."""
    labels = load_suite("extended").labels[:tasks]
    training = TrainingSummary(scale=scale, params=10**6, tokens=2 * 10**7, flops=1.2e14, seed=0, validation_loss=3.25)
    result = make_result(
        name=name,
        scores={label: TaskScore(score=accuracy, n=100, stderr=0.05) for label in labels},
        suite=SuiteIdentity(name="extended", version=1, hash=mark("suite")),
        training=training,
        data=DataSummary(pools=("sample",), pipeline="dclm_baseline", counts={"read": 10, "kept": 4}),
        records=make_records(name),
        core_v2_stderr=0.006,
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
