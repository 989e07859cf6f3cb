"""Scores of constant answers: small cases by hand, the published mismatches, and the command."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.eval.audit import Audit, TaskAudit, audit, audit_task
from dclm.eval.data.load import split
from dclm.eval.data.rows import Row
from dclm.eval.suite import load_suite
from dclm.eval.task import load_task


def audited(label: str, rows: list[Row]) -> TaskAudit:
    task = load_task(label)
    data = dataclasses.replace(task.metadata.data, rows=len(rows))
    task = dataclasses.replace(task, metadata=dataclasses.replace(task.metadata, data=data))
    return audit_task(task, split(task, rows))


def test_the_best_place_and_the_best_text_of_choices_are_both_looked_at() -> None:
    def ask(choices: list[str], gold: int) -> Row:
        return {"query": "?", "choices": choices, "gold": gold}

    by_text = audited("copa", [ask(["yes", "no"], 0), ask(["no", "yes"], 1), ask(["yes", "no"], 1)])
    assert (by_text.constant.answer, by_text.constant.accuracy) == ("yes", pytest.approx(2 / 3))
    assert (by_text.uniform, by_text.first) == (0.5, pytest.approx(1 / 3))
    by_place = audited("copa", [ask(["a", "b", "c"], 2), ask(["d", "e", "f"], 2)])
    assert (by_place.constant.answer, by_place.constant.accuracy) == ("choice 3", 1.0)
    assert by_place.uniform == pytest.approx(1 / 3)
    assert by_place.excess == 0.5


def test_a_category_counts_the_same_whatever_its_size() -> None:
    rows: list[Row] = [{"context": "?", "continuation": "x", "category": "one"}]
    rows += [{"context": "?", "continuation": "y", "category": "two"}] * 9
    assert audited("jeopardy", rows).constant.accuracy == pytest.approx(0.5)


def test_outputs_answer_by_prefix_as_generated_ones_do() -> None:
    rows: list[Row] = [{"context": "?", "answer": answer} for answer in ("1", "18", "180", "7")]
    found = audited("gsm8k_cot", rows)
    assert (found.constant.answer, found.constant.accuracy) == ("180", pytest.approx(0.75))
    aliases: list[Row] = [{"context": "?", "answer": "a cat", "aliases": ["Cat!", "tom"]}]
    assert audited("triviaqa_sm_sub", aliases).constant.accuracy == 1.0


@pytest.fixture(scope="module")
def extended() -> Audit:
    return audit(load_suite("extended"))


@pytest.mark.shared
@pytest.mark.parametrize(
    ("label", "accuracy", "answer"),
    [
        ("bigbench_cs_algorithms", 0.430, "Invalid"),
        ("pubmed_qa_labeled", 0.552, "yes"),
        ("bigbench_dyck_languages", 0.104, ")"),
        ("agi_eval_lsat_ar", 0.300, None),
        ("agi_eval_sat_en", 0.301, None),
        ("commonsense_qa", 0.403, None),
        ("boolq", 0.622, "yes"),
        ("bigbench_novel_concepts", 1.0, "choice 1"),
        ("bigbench_strange_stories", 1.0, "choice 1"),
    ],
)
def test_known_mismatches_are_found(extended: Audit, label: str, accuracy: float, answer: str | None) -> None:
    found = extended.tasks[label].constant
    assert found.accuracy == pytest.approx(accuracy, abs=5e-4)
    assert answer in (None, found.answer)


@pytest.mark.shared
def test_the_audit_covers_the_suite_and_leaves_the_baselines_alone(extended: Audit) -> None:
    assert set(extended.tasks) | set(extended.missing) == set(load_suite("extended").labels)
    assert extended.tasks["math_qa"].uniform == pytest.approx(0.25)
    assert extended.tasks["math_qa"].baseline.v2 == 0.2
    core = extended.means.core.v2
    assert core is not None
    assert 0.0 < core < 0.1


@pytest.mark.shared
def test_the_command_needs_no_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["evaluate", "--audit", "--tasks", "copa,boolq", "--out", str(tmp_path)])
    out = capsys.readouterr().out
    assert "+0.050 *" in out
    assert json.loads((tmp_path / "audit.json").read_text())["tasks"]["boolq"]["constant"]["answer"] == "yes"
    for wrong in (["--audit"], ["--audit", "--suite", "core", "--tasks", "copa"], ["--suite", "core"]):
        with pytest.raises(SystemExit) as caught:
            main(["evaluate", *wrong])
        assert caught.value.code == 2
