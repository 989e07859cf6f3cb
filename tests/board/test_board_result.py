"""A result states the measurements, survives a round trip through its file, and is refused if it contradicts itself."""

from __future__ import annotations

import dataclasses
import gzip
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dclm.board.conform import MAX_RESULT_BYTES
from dclm.board.entry import own
from dclm.board.exchange import from_dclm, to_dclm
from dclm.board.pages.page import render_page
from dclm.board.result import (
    Result,
    TextScore,
    parse_result,
    read_result,
    write_result,
)
from dclm.board.validate import validate
from dclm.core.errors import DataError
from dclm.eval.suite import load_suite

MakeResult = Callable[..., Result]


def as_bytes(value: object) -> bytes:
    return json.dumps(value).encode()


def complaints(value: object) -> str:
    with pytest.raises(DataError) as caught:
        validate(as_bytes(value), "r.json")
    return str(caught.value)


def test_a_result_survives_its_file(make: MakeResult, tmp_path: Path) -> None:
    result = make(name="Ω <b> \u202e")
    write_result(tmp_path / "result.json", result)
    assert read_result(tmp_path / "result.json") == result
    assert validate((tmp_path / "result.json").read_bytes(), "r") == result


def test_core_is_null_with_its_missing_tasks_when_a_task_is_missing(make: MakeResult) -> None:
    result = make(tasks=10)
    assert result.core_v2 is result.core_v2_stderr is result.extended_v1 is None
    assert set(result.missing) == set(load_suite("extended").labels[10:])
    validate(as_bytes(result.to_json()), "r")


def test_the_id_follows_content_and_not_provenance(make: MakeResult) -> None:
    result = make()
    assert dataclasses.replace(result, provenance={"host": "elsewhere"}).id == result.id
    assert dataclasses.replace(result, name="other").id != result.id
    assert make(accuracy=0.51).id != result.id


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"core_v2": 0.99}, "r.json: core_v2"),
        ({"core_v1": None}, "r.json: core_v1"),
        ({"missing": ["arc_easy"]}, "r.json: missing"),
        ({"chain": []}, "no documents, no tokens, no checkpoint, no scores"),
        ({"name": ""}, "r.json: name"),
        ({"name": "a\u0007b"}, "r.json: name"),
        ({"schema_version": 2}, "r.json: schema_version"),
        ({"track": "cheating"}, "r.json: track"),
        ({"extra": 1}, "'extra' was unexpected"),
        ({"suite": {"name": "core", "version": 1, "hash": "xyz"}}, "r.json: suite.hash"),
        ({"scores": {}}, "r.json: scores"),
        ({"limited": 0}, "r.json: limited"),
    ],
)
def test_each_contradiction_is_named(make: MakeResult, change: dict[str, Any], said: str) -> None:
    assert said in complaints(make().to_json() | change)


def test_scores_out_of_range_or_of_unknown_tasks_are_named(make: MakeResult) -> None:
    value = make().to_json()
    scores: Any = value["scores"]
    scores["arc_easy"]["score"] = 1.5
    assert "r.json: scores.arc_easy.score" in complaints(value)
    scores["arc_easy"]["score"] = 0.5
    scores["my_own_task"] = {"score": 0.1}
    assert "unknown tasks: my_own_task" in complaints(value)


def test_flops_that_do_not_follow_from_size_and_tokens_are_named(make: MakeResult) -> None:
    value: Any = make().to_json()
    value["training"]["flops"] *= 2
    assert "r.json: training.flops" in complaints(value)


def test_a_broken_chain_is_named(make: MakeResult) -> None:
    value: Any = make().to_json()
    value["chain"][2]["inputs"] = {"documents": "0" * 64}
    assert "tokens tokens was not made from the previous artifact" in complaints(value)
    value = make().to_json()
    value["chain"] = [link for link in value["chain"] if link["kind"] != "checkpoint"]
    assert "no checkpoint" in complaints(value)


def test_a_source_that_nothing_was_made_from_is_named(make: MakeResult) -> None:
    value: Any = make().to_json()
    more = {"kind": "documents", "name": "extra", "fingerprint": "1" * 64, "inputs": value["chain"][1]["inputs"]}
    value["chain"].insert(2, more)
    assert "documents extra is not used by any later artifact" in complaints(value)
    value["chain"][3]["inputs"]["source 1"] = "1" * 64
    validate(as_bytes(value), "r")


def test_a_chain_may_begin_with_plain_files(make: MakeResult) -> None:
    value: Any = make().to_json()
    value["chain"] = value["chain"][1:]
    validate(as_bytes(value), "r")


def test_all_problems_come_at_once(make: MakeResult) -> None:
    value = make().to_json() | {"core_v2": 0.9, "chain": [], "missing": ["piqa"]}
    with pytest.raises(DataError) as caught:
        validate(as_bytes(value), "r.json")
    assert len(caught.value.problems) == 3
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[" * 100_000,
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"core_v2": NaN}',
        b'{"name": "a", "name": "b"}',
        b" " * (MAX_RESULT_BYTES + 1),
    ],
)
def test_what_is_no_result_is_refused(data: bytes) -> None:
    with pytest.raises(DataError, match=r"^r\.json"):
        parse_result(data, "r.json")


def test_a_number_that_is_not_finite_is_never_written(make: MakeResult, tmp_path: Path) -> None:
    result = make(core_v2=math.nan)
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_result(tmp_path / "result.json", result)
    assert list(tmp_path.iterdir()) == []


def test_an_evaluation_of_dclm_comes_in_and_goes_out(make: MakeResult) -> None:
    result = make(accuracy=0.4)
    outside = to_dclm(result)
    assert outside["Core"] == outside["Core_v2"] == result.core_v2
    assert outside["missing tasks"] == "[]"
    inside = from_dclm(json.loads(json.dumps(outside)), "eval.json")
    assert (inside.core_v1, inside.extended_v2) == (result.core_v1, result.extended_v2)
    assert inside.imported
    validate(as_bytes(inside.to_json()), "r")


def test_missing_tasks_are_spelt_out_in_the_form_of_dclm(make: MakeResult) -> None:
    outside = to_dclm(make(tasks=3))
    assert str(outside["Core"]).startswith("N/A due to missing tasks: ['")
    assert from_dclm(outside, "e").core_v2 is None


@pytest.mark.parametrize("value", [None, [], {}, {"eval_metrics": {}}, {"eval_metrics": {"icl": {}}}])
def test_other_json_is_not_taken_for_an_evaluation_of_dclm(value: object) -> None:
    with pytest.raises(DataError, match="not an evaluation file"):
        from_dclm(value, "eval.json")


@pytest.mark.shared
def test_published_evaluations_come_in_with_their_published_means(shared: Path) -> None:
    with gzip.open(shared / "conformance" / "eval" / "aggregate.json.gz") as handle:
        published = json.load(handle)
    assert len(published) == 156
    for name, expected in published.items():
        result = from_dclm({"name": name, "eval_metrics": {"icl": expected["tasks"]}}, name)
        validate(as_bytes(result.to_json()), name)
        again = to_dclm(result)
        for column in ("Core_v1", "Core_v2", "Extended_v1", "Extended_v2"):
            if isinstance(expected[column], float):
                assert again[column] == pytest.approx(expected[column], abs=1e-6), (name, column)
                assert getattr(result, column.lower()) == again[column]


def test_clean_scores_and_perplexity_are_carried_and_checked(make: MakeResult) -> None:
    def with_copa(**changes: object) -> dict[str, Any]:
        value = make(perplexity={"wikitext2": TextScore(bits_per_byte=1.25, stderr=0.02, bytes=1_256_447)}).to_json()
        scores = value["scores"]
        assert isinstance(scores, dict)
        scores["copa"].update(changes)
        return value

    fine = validate(as_bytes(with_copa(clean_n=90, clean_score=0.45)), "r")
    assert fine.scores["copa"].clean_score == 0.45
    assert fine.perplexity["wikitext2"].bits_per_byte == 1.25
    assert 'data-v="1.25"' in render_page(own([fine]))
    assert "101 clean items of 100" in complaints(with_copa(clean_n=101, clean_score=0.4))
    assert "clean_score without clean_n" in complaints(with_copa(clean_score=0.4))
    assert "clean_score is None" in complaints(with_copa(clean_n=5))
    wrong = with_copa()
    wrong["perplexity"]["wikitext2"]["bits_per_byte"] = -1
    assert "bits_per_byte" in complaints(wrong)
