"""An evaluation by itself: its result.json is sound, a board takes it, marks it, and ranks it apart."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dclm.board.entry import Entry, Rescored
from dclm.board.fetch import fetch_entries
from dclm.board.pages.detail import render_detail
from dclm.board.pages.page import render_page
from dclm.board.result import DataSummary, Result, TrainingSummary, read_result
from dclm.board.tracks import rules
from dclm.board.upload import upload
from dclm.board.validate import validate
from dclm.cli.main import main
from dclm.cli.models.evaluate import scores_table
from dclm.core.errors import DataError
from dclm.core.record import Record, describe_files, read_record, write_record
from dclm.eval.report import scores_json
from dclm.eval.suite import load_suite
from dclm.recipe.evaluation import evaluation_result, write_evaluation
from dclm.recipe.verify.contents import result_problems
from tests.board.conftest import build_result
from tests.board.items import item_table, write_items


@pytest.fixture(autouse=True)
def without_task_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The made items answer no real question: the marks are not to be compared with the real answers."""
    for name in ("DCLM_SHARED", "DCLM_ASSETS", "DCLM_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("DCLM_OFFLINE", "1")


@pytest.fixture(scope="module")
def scores(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scores artifact of CORE, as `dclm evaluate` leaves it."""
    return make_scores(tmp_path_factory.mktemp("evaluation") / "scores")


def make_scores(folder: Path, limit: int | None = None) -> Path:
    folder.mkdir()
    write_items(folder / "items.parquet", item_table(limit=limit))
    found = scores_json(
        load_suite("core"), folder / "items.parquet", model="m", limit=limit, window=2048, dtype="float32", missing={}
    )
    (folder / "scores.json").write_text(json.dumps(found))
    mark = "ab" * 32
    record = Record(
        kind="scores", name="core", fingerprint=mark, config={}, inputs={"model": mark}, files=describe_files(folder)
    )
    write_record(folder, record)
    return folder


def test_the_result_is_sound_and_a_board_ranks_it_apart(scores: Path, tmp_path: Path) -> None:
    path = write_evaluation(str(scores), "gpt2", "openai-community/gpt2")
    assert path == str(scores / "result.json")
    result = validate(Path(path).read_bytes(), path)
    assert result.evaluation_only
    assert result.core_v2 is not None
    assert result.training == TrainingSummary(scale="unknown")
    receipt = upload(path, str(tmp_path / "board"))
    assert receipt.rescored
    (entry,) = fetch_entries(str(tmp_path / "board")).entries
    assert (entry.standing, entry.reasons) == ("evaluated", ("evaluation only",))
    assert {rule.verdict for rule in rules(entry)} == {"cannot be checked", "passed"}
    page = render_page([entry, ranked()])
    assert page.index('data-standing="ranked"') < page.index('data-standing="evaluated"') < page.index(">gpt2<")
    assert "Evaluation only" in render_detail(entry)
    assert "dclm evaluate openai-community/gpt2 --suite core" in render_detail(entry)


def ranked() -> Entry:
    """A run of the benchmark, with scores recomputed."""
    mark = Rescored(items=1, tasks=53, answers_checked=0, sha256="0" * 64)
    entry = Entry(result=build_result(scale="411m_1x", accuracy=0.1), rescored=mark)
    assert entry.standing == "ranked"
    return entry


def test_the_terminal_numbers_evaluations_by_themselves(
    scores: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    upload(str(write_evaluation(str(scores), "gpt2", "gpt2")), str(tmp_path / "board"))
    main(["board", "table", str(tmp_path / "board")])
    lines = capsys.readouterr().out.splitlines()
    (row,) = (line for line in lines if "gpt2" in line and "evaluation only" in line)
    assert row.startswith("1 ")
    assert max(map(len, lines)) <= 80


def test_writing_it_again_leaves_the_file(scores: Path) -> None:
    path = Path(str(write_evaluation(str(scores), "gpt2", "gpt2")))
    before = path.stat().st_mtime_ns
    write_evaluation(str(scores), "gpt2", "gpt2")
    assert path.stat().st_mtime_ns == before


@pytest.mark.parametrize(
    "change",
    [
        {"training": TrainingSummary(scale="411m_1x")},
        {"track": "filtering"},
        {"data": DataSummary(pools=("mine",))},
        {"chain": ()},
        {"imported": "elsewhere"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_evaluation_cannot_claim_a_training(scores: Path, change: dict[str, object]) -> None:
    result = found(scores)
    changed = dataclasses.replace(result, **change)  # type: ignore[arg-type]
    with pytest.raises(DataError):
        validate(json.dumps(changed.to_json()).encode(), "r")


def test_a_run_cannot_hide_its_chain_by_calling_itself_an_evaluation() -> None:
    run = dataclasses.replace(build_result(), evaluation_only=True)
    with pytest.raises(DataError, match="found other artifacts than the scores"):
        validate(json.dumps(run.to_json()).encode(), "r")


def found(scores: Path) -> Result:
    result = evaluation_result(str(scores), "gpt2", "gpt2")
    assert result is not None
    return result


def test_results_without_the_mark_keep_their_ids() -> None:
    assert "evaluation_only" not in build_result().to_json()


def test_verify_compares_it_with_the_scores(scores: Path, tmp_path: Path) -> None:
    path = str(write_evaluation(str(scores), "gpt2", "gpt2"))
    records = {"": read_record(scores)}
    assert list(result_problems(path, str(scores), records, {""})) == []
    changed = read_result(path)
    some = next(iter(changed.scores))
    changed = dataclasses.replace(
        changed, scores={**changed.scores, some: dataclasses.replace(changed.scores[some], clean_n=1, clean_score=1.0)}
    )
    (tmp_path / "result.json").write_text(json.dumps(changed.to_json()))
    assert any(some in said for said in result_problems(str(tmp_path / "result.json"), str(scores), records, {""}))


def test_a_limited_evaluation_has_no_place(tmp_path: Path) -> None:
    limited = make_scores(tmp_path / "scores", limit=20)
    entry = Entry(result=found(limited), rescored=Rescored(items=1, tasks=22, answers_checked=0, sha256="0" * 64))
    assert entry.standing == "apart"
    assert entry.reasons == ("evaluation only", "limited to 20 items per task")


def test_the_table_has_all_that_a_score_needs(scores: Path) -> None:
    lines = scores_table(json.loads((scores / "scores.json").read_text())).splitlines()
    assert lines[0].split() == ["task", "n", "shots", "metric", "raw", "centered", "±", "error", "bits/byte"]
    cells = next(line.split() for line in lines if line.startswith("hellaswag "))
    content = json.loads((scores / "scores.json").read_text())["tasks"]["hellaswag"]
    assert cells[1:5] == [str(content["n"]), str(content["num_fewshot"]), "accuracy", f"{content['accuracy']:.4f}"]
    assert float(cells[5]) == pytest.approx((content["accuracy"] - 0.25) / 0.75, abs=1e-4)
    assert any(line.startswith("CORE ") for line in lines)
    assert max(map(len, lines)) <= 91
