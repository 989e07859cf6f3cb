"""Matching of generated answers, case by case against the reference."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.eval.run.answers import cut_output, is_right, normalise


@pytest.mark.shared
def test_every_case_of_the_reference(shared: Path) -> None:
    path = shared / "conformance" / "eval" / "generation_metric_cases.jsonl.gz"
    cases = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len(cases) == 289
    for case in cases:
        prepare = normalise if case["do_normalization"] else str
        cleaned = prepare(cut_output(case["output"], case["stop"] or (), case["cot_delimiter"]))
        assert cleaned == case["cleaned_output"], case
        labels = {prepare(label) for label in case["labels"]}
        assert sorted(labels) == sorted(set(case["cleaned_labels"])), case
        right = is_right(cleaned, case["labels"]) if case["do_normalization"] else cleaned.startswith(tuple(labels))
        assert right == bool(case["correct"]), case


def test_a_prefix_is_enough_and_nothing_matches_everything() -> None:
    assert is_right("180", ["18"])
    assert not is_right("18", ["180"])
    assert is_right("whatever", ["$a$"])


def test_stops_are_regular_expressions_and_the_first_wins() -> None:
    assert cut_output("12\nQ: and?", ["\n\n", "Q:"], "") == "12"
    assert cut_output("1 #### 2 #### 3", [], " #### ") == "3"


@given(st.text())
def test_normalising_twice_is_normalising_once(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
