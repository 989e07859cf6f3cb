"""Evaluations made elsewhere: the data they keep, how they are recognized, and the cost of one bad file."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from dclm.board.exchange import from_dclm, to_dclm
from dclm.board.fetch import fetch_entries
from dclm.board.known import published
from dclm.board.known.published import UNKNOWN, make_published, published_entries
from dclm.board.result import Result, read_result, write_result
from dclm.board.serving.server import make_app
from dclm.board.upload import upload
from dclm.board.validate import problems, validate
from dclm.core.errors import DataError
from dclm.eval.suite import load_suite

MakeResult = Callable[..., Result]
BEARER = {"Authorization": "Bearer correct-horse-battery-staple"}


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    with TestClient(make_app(tmp_path / "board.db", "correct-horse-battery-staple")) as client:
        yield client


def there_and_back(result: Result, name: str) -> Result:
    outside = json.loads(json.dumps(to_dclm(result)))
    return from_dclm(outside | {"name": name}, "eval.json")


def test_scale_size_tokens_and_errors_survive_the_way_through_dclms_json(make: MakeResult) -> None:
    result = make(scale="411m_1x")
    back = there_and_back(result, "again")
    assert back.training == result.training
    assert back.core_v2_stderr == result.core_v2_stderr
    assert {t: (s.score, s.n, s.stderr) for t, s in back.scores.items()} == {
        t: (s.score, s.n, s.stderr) for t, s in result.scores.items()
    }
    assert not list(problems(back, "r"))


def test_a_foreign_file_says_that_it_does_not_know(make: MakeResult) -> None:
    outside = to_dclm(make())
    del outside["dclm"]
    training = from_dclm(outside, "e").training
    assert (training.scale, training.params, training.tokens, training.flops) == (UNKNOWN, None, None, None)


def test_a_published_evaluation_is_recognized_and_gets_its_size() -> None:
    entry = next(e for e in published_entries() if e.result.training.scale == "7b_2x")
    outside = to_dclm(entry.result)
    del outside["dclm"]
    assert from_dclm(outside, "mine.json").training == entry.result.training


def test_extra_fields_that_are_nonsense_are_named(make: MakeResult) -> None:
    with pytest.raises(DataError, match="e: dclm"):
        from_dclm(to_dclm(make()) | {"dclm": {"training": {"scale": 5}}}, "e")


def test_the_same_evaluation_under_another_name_is_taken_once(
    client: TestClient, make: MakeResult, tmp_path: Path
) -> None:
    result = make(scale="411m_1x")
    first, second = there_and_back(result, "one name"), there_and_back(result, "another")

    def send(result: Result) -> int:
        return client.post("/api/results", content=json.dumps(result.to_json()), headers=BEARER).status_code

    assert [send(first), send(first), send(second)] == [201, 200, 409]
    published = from_dclm(to_dclm(published_entries()[0].result), "x")
    assert send(dataclasses.replace(published, name="mine")) == 409
    for number, item in enumerate((first, second)):
        write_result(tmp_path / f"{number}.json", item)
    upload(tmp_path / "0.json", str(tmp_path / "board"))
    with pytest.raises(DataError, match="these scores are already there, as one name"):
        upload(tmp_path / "1.json", str(tmp_path / "board"))
    write_result(tmp_path / "2.json", result)
    assert upload(tmp_path / "2.json", str(tmp_path / "board")).created  # one's own run is never a repeat


def test_an_export_of_an_own_result_is_not_a_second_entry(client: TestClient, make: MakeResult) -> None:
    result = make(scale="411m_1x")
    assert client.post("/api/results", content=json.dumps(result.to_json()), headers=BEARER).status_code == 201
    back = there_and_back(result, "looks new")
    answer = client.post("/api/results", content=json.dumps(back.to_json()), headers=BEARER)
    assert answer.status_code == 409
    assert result.id in answer.json()["error"]


def test_one_bad_file_is_named_and_hides_no_other(make: MakeResult, tmp_path: Path) -> None:
    write_result(tmp_path / "good.json", make())
    (tmp_path / "bad.json").write_text("{")
    (tmp_path / "worse.json").write_bytes(b"\xff\xff")
    fetched = fetch_entries(str(tmp_path))
    assert [entry.result for entry in fetched.entries] == [make()]
    assert [broken.id for broken in fetched.broken] == ["bad.json", "worse.json"]
    (tmp_path / "good.json").unlink()
    with pytest.raises(DataError, match=r"bad\.json"):
        fetch_entries(str(tmp_path))


def test_published_rows_are_sound_and_have_short_names_that_differ(tmp_path: Path) -> None:
    entries = published_entries()
    assert len(entries) == len({e.shown for e in entries}) == len({e.id for e in entries}) == 156
    assert max(len(e.shown) for e in entries) <= 50
    assert sum(e.result.training.flops is not None for e in entries) == 133
    for entry in entries[::10]:
        write_result(tmp_path / "r.json", entry.result)
        assert validate((tmp_path / "r.json").read_bytes(), "r") == read_result(tmp_path / "r.json") == entry.result


@pytest.mark.shared
def test_published_rows_are_those_of_dclms_table(shared: Path) -> None:
    table = shared / "results" / "evals.csv"
    assert (Path(published.__file__).parent / "published.json").read_bytes() == make_published(table)
    with table.open(newline="") as file:
        lines = list(csv.DictReader(file))
    for line, entry in zip(lines, published_entries(), strict=True):
        result = entry.result
        assert (result.imported or "").endswith(line["eval_json"])
        for task in load_suite("extended").labels:
            if line[task]:
                assert result.scores[task].score == pytest.approx(float(line[task]), abs=5.1e-7)
            else:
                assert task not in result.scores
        for field, column in (("core_v1", "Core_v1"), ("core_v2", "Core_v2")):
            assert getattr(result, field) == pytest.approx(float(line[column]), abs=2e-6)
        assert str(result.training.params or "") == line["params"]
        assert str(result.training.tokens or "") == line["train_tokens"]


def test_a_table_that_is_not_dclms_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match="not DCLM's table"):
        make_published(tmp_path / "t.csv")
