"""Continuous scores on a board: recomputed from items, refused if they differ, absent in older results."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from dclm.board.entry import own
from dclm.board.pages.detail import render_detail
from dclm.board.pages.listing import rows
from dclm.board.pages.page import render_page
from dclm.board.result import Measure, Result, core_bpb, parse_result
from dclm.board.serving.rescore import rescore_here
from dclm.board.validate import problems, validate
from dclm.core.errors import DataError
from tests.board.items import item_table, result_of, with_continuous, write_items


@pytest.fixture(scope="module")
def table() -> pa.Table:
    return with_continuous(item_table(limit=40), seed=2)


@pytest.fixture(scope="module")
def made(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    path = tmp_path_factory.mktemp("items") / "items.parquet"
    return path, result_of(table, write_items(path, table), limited=40)


@pytest.fixture(autouse=True)
def without_task_data(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The generated items answer no real question, so their marks must not be compared with the real answers."""
    for name in ("DCLM_SHARED", "DCLM_ASSETS", "DCLM_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "nowhere"))
    monkeypatch.setenv("DCLM_OFFLINE", "1")


def test_an_honest_result_is_rescored_and_comes_back_whole(made: tuple[Path, Result]) -> None:
    path, result = made
    assert result.core_bpb is not None
    assert result.core_bpb_stderr is not None
    text = json.dumps(result.to_json()).encode()
    assert validate(text, "r") == result
    assert parse_result(text, "r").id == result.id
    assert rescore_here(result, path).tasks == 22


def with_measure(result: Result, task: str, metric: str, **changes: Any) -> Result:
    score = result.scores[task]
    measure = dataclasses.replace(score.continuous[metric], **changes)
    score = dataclasses.replace(score, continuous={**score.continuous, metric: measure})
    scores = {**result.scores, task: score}
    return dataclasses.replace(result, scores=scores, core_bpb=core_bpb(scores))


@pytest.mark.parametrize(
    ("task", "metric", "changes"),
    [
        ("copa", "bits_per_byte", {"value": 0.5}),
        ("copa", "brier", {"value": 0.1}),
        ("piqa", "probability", {"stderr": 1e-4}),
        ("piqa", "margin", {"stderr": None}),
        ("squad", "bits_per_byte", {"value": 0.1}),
    ],
)
def test_an_altered_score_is_refused(
    made: tuple[Path, Result], task: str, metric: str, changes: dict[str, Any]
) -> None:
    path, result = made
    forged = with_measure(result, task, metric, **changes)
    assert not list(problems(forged, "r")), "without the items nothing shows it"
    with pytest.raises(DataError, match=rf"scores\.{task}\.{metric}"):
        rescore_here(forged, path)


def test_a_mean_that_does_not_follow_is_refused(made: tuple[Path, Result]) -> None:
    path, result = made
    for forged in (dataclasses.replace(result, core_bpb=0.5), dataclasses.replace(result, core_bpb=None)):
        assert any("core_bpb" in problem.where for problem in problems(forged, "r"))
    with pytest.raises(DataError, match="core_bpb_stderr"):
        rescore_here(dataclasses.replace(result, core_bpb_stderr=1e-5), path)


def test_scores_that_only_choices_can_have_are_refused_elsewhere(made: tuple[Path, Result]) -> None:
    path, result = made
    score = result.scores["squad"]
    score = dataclasses.replace(score, continuous={**score.continuous, "brier": Measure(value=0.3, stderr=0.01)})
    with pytest.raises(DataError, match=r"squad\.brier\nthe items do not provide it"):
        rescore_here(dataclasses.replace(result, scores={**result.scores, "squad": score}), path)


def test_older_results_and_items_count_as_before(tmp_path: Path) -> None:
    table = item_table(limit=40)
    result = result_of(table, write_items(tmp_path / "items.parquet", table), limited=40)
    text = json.dumps(result.to_json())
    assert "continuous" not in text
    assert "core_bpb" not in text
    assert validate(text.encode(), "r") == result
    assert rescore_here(result, tmp_path / "items.parquet").tasks == 22
    assert rows(own([result]))[0]["core_bpb"] is None


def test_a_claim_without_items_for_it_is_refused(tmp_path: Path, table: pa.Table) -> None:
    older = table.drop_columns(["gold", "logprobs", "answer_bytes"])
    sha256 = write_items(tmp_path / "items.parquet", older)
    with pytest.raises(DataError, match="the items do not provide it"):
        rescore_here(result_of(table, sha256, limited=40), tmp_path / "items.parquet")


@pytest.mark.parametrize(
    ("column", "change", "said"),
    [
        ("gold", lambda v: None if v is None else 7, "inconsistent"),
        ("gold", lambda v: None if v is None else (v + 1) % 4, "differs from the right choice"),
        ("logprobs", lambda v: [0.5] * len(v), "inconsistent"),
        ("logprobs", lambda v: [float("nan")] * len(v), "inconsistent"),
        ("logprobs", lambda v: [], "inconsistent"),
        ("logprobs", lambda v: None, "without logprobs"),
        ("logprobs", lambda v: [x - 1 for x in v], "not the sum over its tokens"),
        ("answer_bytes", lambda v: v[:1] * 9, "inconsistent"),
        ("answer_bytes", lambda v: [-1] * len(v), "inconsistent"),
        ("answer_bytes", lambda v: None, "inconsistent"),
    ],
)
def test_columns_that_no_run_leaves_are_refused(
    table: pa.Table, tmp_path: Path, column: str, change: Any, said: str
) -> None:
    honest = result_of(table, "0" * 64, limited=40)
    values = pa.array([change(value) for value in table[column].to_pylist()], table.schema.field(column).type)
    table = table.set_column(table.schema.get_field_index(column), column, values)
    sha256 = write_items(tmp_path / "items.parquet", table)
    last = dataclasses.replace(honest.chain[-1], content={"items.parquet": sha256})
    with pytest.raises(DataError, match=said):
        rescore_here(dataclasses.replace(honest, chain=(*honest.chain[:-1], last)), tmp_path / "items.parquet")


def test_columns_of_another_type_are_refused(table: pa.Table, tmp_path: Path) -> None:
    honest = result_of(table, "0" * 64, limited=40)
    for name, values in (("logprobs", ["x"] * len(table)), ("gold", [[1]] * len(table))):
        other = table.set_column(table.schema.get_field_index(name), name, pa.array(values))
        sha256 = write_items(tmp_path / "items.parquet", other)
        last = dataclasses.replace(honest.chain[-1], content={"items.parquet": sha256})
        with pytest.raises(DataError, match="of types"):
            rescore_here(dataclasses.replace(honest, chain=(*honest.chain[:-1], last)), tmp_path / "items.parquet")


def test_pages_and_downloads_have_them(made: tuple[Path, Result]) -> None:
    _, result = made
    (entry,) = own([result])
    assert f"{result.core_bpb:.3f}" in render_detail(entry)
    assert f"{result.scores['copa'].continuous['brier'].value:.3f}" in render_detail(entry)
    (row,) = rows([entry])
    assert (row["core_bpb"], row["core_bpb_stderr"]) == (result.core_bpb, result.core_bpb_stderr)
    assert f"{result.core_bpb:.3f}" in render_page([entry])
