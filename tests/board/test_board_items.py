"""Scores are recomputed from items, and a result that differs from its items is refused."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from starlette.testclient import TestClient

from dclm.board.fetch import fetch_entries
from dclm.board.result import (
    DataSummary,
    Result,
    SuiteIdentity,
    TaskScore,
    TrainingSummary,
    make_result,
    write_result,
)
from dclm.board.serving.rescore import rescore, rescore_here
from dclm.board.serving.server import make_app
from dclm.board.serving.store import ResultStore
from dclm.board.serving.submitters import Submitters
from dclm.board.upload import upload
from dclm.board.validate import validate
from dclm.core.errors import DataError
from dclm.core.record import FileEntry, Record
from dclm.eval.aggregate import aggregate
from tests.board.items import SCHEMA, item_table, result_of, write_items


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return item_table()


@pytest.fixture(scope="module")
def items(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    return path, write_items(path, table)


@pytest.fixture(autouse=True)
def without_task_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The generated items answer no real question, so their marks must not be compared with the real answers."""
    for name in ("DCLM_SHARED", "DCLM_ASSETS", "DCLM_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("DCLM_OFFLINE", "1")


@pytest.fixture
def result(table: pa.Table, items: tuple[Path, str]) -> Result:
    return result_of(table, items[1])


def altered(result: Result, task: str, by: float) -> Result:
    """One task's score changed, and every aggregate with it."""
    score = result.scores[task]
    assert score.n is not None
    value = round((score.score + by) * score.n) / score.n
    error = (value * (1 - value) / (score.n - 1)) ** 0.5
    scores = {**result.scores, task: TaskScore(score=value, n=score.n, stderr=error)}
    means = aggregate({label: s.score for label, s in scores.items()})
    return dataclasses.replace(result, scores=scores, core_v1=means.core.v1, core_v2=means.core.v2)


def test_an_honest_result_is_rescored(result: Result, items: tuple[Path, str]) -> None:
    validate(json.dumps(result.to_json()).encode(), "r")
    rescored = rescore(result, items[0])
    assert (rescored.tasks, rescored.sha256, rescored.answers_checked) == (22, items[1], 0)
    assert rescored.items == sum(s.n or 0 for s in result.scores.values())


def test_an_altered_score_with_matching_aggregates_is_refused(result: Result, items: tuple[Path, str]) -> None:
    forged = altered(result, "copa", 0.2)
    validate(json.dumps(forged.to_json()).encode(), "r")
    with pytest.raises(DataError, match=r"scores\.copa\nfound 0\.\d+, but the items give"):
        rescore(forged, items[0])


def test_other_items_than_the_chain_names_are_refused(result: Result, table: pa.Table, tmp_path: Path) -> None:
    write_items(tmp_path / "other.parquet", table.slice(0, 5000))
    with pytest.raises(DataError, match="but the chain names"):
        rescore(result, tmp_path / "other.parquet")


def changed(table: pa.Table, column: str, values: Any) -> pa.Table:
    return table.set_column(
        table.schema.get_field_index(column), column, pa.array(values, table.schema.field(column).type)
    )


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("a row twice", "not different rows"),
        ("rows beyond the task", "not different rows"),
        ("clusters taken apart", "clusters of up to"),
        ("another choice", "not the one with the lowest score"),
        ("a task too many", "items of tasks without a score"),
        ("no column", "no column scores"),
    ],
)
def test_items_that_no_run_leaves_are_refused(table: pa.Table, tmp_path: Path, how: str, said: str) -> None:
    rows = table["row"].to_numpy().copy()
    if how == "a row twice":
        rows[1] = rows[0]
        table = changed(table, "row", rows)
    elif how == "rows beyond the task":
        rows[0] = 10**6
        table = changed(table, "row", rows)
    elif how == "clusters taken apart":
        table = changed(table, "cluster", rows)
    elif how == "another choice":
        selected = table["selected"].to_pylist()
        place = next(i for i, value in enumerate(selected) if value is not None)
        selected[place] = (selected[place] + 1) % 4
        table = changed(table, "selected", selected)
    honest = result_of(table, "0" * 64)
    if how == "a task too many":
        extra = table.slice(0, 1)
        table = pa.concat_tables([table, changed(extra, "task", ["piqa_2"])])
    elif how == "no column":
        table = table.drop_columns(["scores"])
    sha256 = write_items(tmp_path / "items.parquet", table)
    last = dataclasses.replace(honest.chain[-1], content={"items.parquet": sha256})
    honest = dataclasses.replace(honest, chain=(*honest.chain[:-1], last))
    with pytest.raises(DataError, match=said):
        rescore_here(honest, tmp_path / "items.parquet")


def test_a_dictionary_bomb_is_refused_in_bounded_memory(result: Result, tmp_path: Path) -> None:
    path = tmp_path / "bomb.parquet"
    count = 900_000
    text = pa.DictionaryArray.from_arrays(pa.array(np.zeros(count, np.int32)), pa.array(["x" * 60_000]))
    columns: dict[str, Any] = {name: pa.nulls(count, field.type) for name, field in zip(*_schema(), strict=True)}
    columns["output"] = text
    pq.write_table(pa.table(columns), path, compression="zstd")
    assert path.stat().st_size < 1 << 20
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    last = dataclasses.replace(result.chain[-1], content={"items.parquet": sha256})
    with pytest.raises(DataError):
        rescore(dataclasses.replace(result, chain=(*result.chain[:-1], last)), path)


def _schema() -> tuple[list[str], list[pa.Field]]:
    return SCHEMA.names, list(SCHEMA)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(make_app(tmp_path / "board.db", None)) as client:
        yield client


def test_who_sent_a_result_can_send_its_items_and_nobody_else(
    client: TestClient, tmp_path: Path, result: Result, items: tuple[Path, str]
) -> None:
    submitters = Submitters(ResultStore(tmp_path / "board.db"))
    ann, bob = ({"Authorization": f"Bearer {submitters.create(name)}"} for name in ("ann", "bob"))
    assert client.post("/api/results", content=json.dumps(result.to_json()), headers=ann).status_code == 201
    place, data = f"/api/results/{result.id}/items", items[0].read_bytes()
    assert client.get("/api/results").json()["results"][0]["standing"] == "apart"
    assert client.put(place, content=data, headers=bob).status_code == 403
    assert client.put(place, content=data).status_code == 401
    assert client.put(place, content=data[:-1], headers=ann).status_code == 422
    assert client.put(f"{place[:-6]}x/items", content=data, headers=ann).status_code == 404
    assert client.put(place, content=data, headers=ann).status_code == 200
    (entry,) = client.get("/api/results").json()["results"]
    assert (entry["standing"], entry["submitter"], entry["rescored"]) == ("ranked", "ann", True)


def test_items_go_along_to_a_directory(result: Result, items: tuple[Path, str], tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_result(run / "result.json", result)
    (run / "scores").mkdir()
    (run / "scores" / "items.parquet").write_bytes(items[0].read_bytes())
    assert upload(run / "result.json", str(tmp_path / "board")).rescored
    (entry,) = fetch_entries(str(tmp_path / "board")).entries
    assert entry.standing == "ranked"
    forged = altered(result, "copa", 0.2)
    write_result(run / "result.json", forged)
    with pytest.raises(DataError, match="but the items give"):
        upload(run / "result.json", str(tmp_path / "board"))
    (stored,) = (tmp_path / "board").glob("*.json")
    write_result(stored, forged)
    with pytest.raises(DataError, match="but the items give"):
        fetch_entries(str(tmp_path / "board"))


def test_the_chain_of_a_run_names_its_items() -> None:
    files = (FileEntry(path="items.parquet", sha256="a" * 64, bytes=1), FileEntry(path="x", sha256="b" * 64, bytes=1))
    record = Record(kind="scores", name="core", fingerprint="c" * 64, config={}, files=files)
    made = make_result(
        name="x",
        scores={"copa": TaskScore(score=0.5)},
        suite=SuiteIdentity(name="core", version=1),
        training=TrainingSummary(scale="tiny"),
        data=DataSummary(),
        records=[record],
    )
    assert made.chain[0].content == {"items.parquet": "a" * 64}
