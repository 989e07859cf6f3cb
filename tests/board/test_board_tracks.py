"""The rules of a track: passed, failed, or cannot be checked, each with its reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from dclm.board.entry import Entry, Rescored
from dclm.board.known.published import published_entries
from dclm.board.pages.detail import render_detail
from dclm.board.result import Result
from dclm.board.tracks import FAILED, PASSED, UNKNOWN, rules

MakeResult = Callable[..., Result]


def verdicts(result: Result, rescored: Rescored | None = None) -> dict[str, tuple[str, str]]:
    return {rule.name: (rule.verdict, rule.reason) for rule in rules(Entry(result=result, rescored=rescored))}


def with_data(result: Result, **counts: Any) -> Result:
    pools = tuple(counts)
    return dataclasses.replace(result, data=dataclasses.replace(result.data, counts=counts, pools=pools))


@pytest.fixture
def filtering(make: MakeResult) -> Result:
    result = make(scale="411m_1x", track="filtering")
    scores = {k: dataclasses.replace(s, clean_n=s.n, clean_score=s.score) for k, s in result.scores.items()}
    result = dataclasses.replace(result, scores=scores)
    source = {"read": 9, "kept": 5, "decisions": {"decontaminate": {"copa": 1}}, "sequences": 100, "taken": 90}
    return with_data(result, sample=source)


def test_a_run_that_keeps_the_rules_of_filtering(filtering: Result) -> None:
    found = verdicts(filtering, Rescored(items=5, tasks=22, answers_checked=9, sha256="0" * 64))
    assert {name: verdict for name, (verdict, _) in found.items()} == {
        "only the scale's pool": UNKNOWN,
        "one pass, or declared repeats": PASSED,
        "no evaluation data": PASSED,
        "contamination report": PASSED,
        "models trained on other data are declared": UNKNOWN,
        "the scale's hyper-parameters": PASSED,
        "the benchmark's questions": PASSED,
        "scores verified from items": PASSED,
    }
    assert all(reason for _, reason in found.values())


@pytest.mark.parametrize(
    ("change", "rule", "verdict", "reason"),
    [
        ({"taken": 101}, "one pass, or declared repeats", FAILED, "undeclared repeats: sample"),
        ({"taken": None}, "one pass, or declared repeats", UNKNOWN, "does not state the number of tokens"),
        ({"decisions": {}}, "no evaluation data", UNKNOWN, "no step `decontaminate` reports on sample"),
    ],
)
def test_what_a_source_says_decides(
    filtering: Result, change: dict[str, Any], rule: str, verdict: str, reason: str
) -> None:
    source: Any = filtering.data.counts["sample"]
    found = verdicts(with_data(filtering, sample={**source, **change}))
    assert found[rule][0] == verdict
    assert reason in found[rule][1]


def test_a_second_source_is_no_filtering(filtering: Result) -> None:
    source = filtering.data.counts["sample"]
    found = verdicts(with_data(filtering, sample=source, more=source))
    assert found["only the scale's pool"] == (FAILED, "2 sources; filtering has one")


def test_declared_repeats_pass_and_other_deviations_fail(filtering: Result) -> None:
    def deviating(text: str) -> dict[str, tuple[str, str]]:
        return verdicts(
            dataclasses.replace(filtering, training=dataclasses.replace(filtering.training, deviations=(text,)))
        )

    repeated = deviating("up to 4 passes over the tokens")
    assert repeated["one pass, or declared repeats"] == (PASSED, "declared: up to 4 passes over the tokens")
    assert repeated["the scale's hyper-parameters"][0] == PASSED
    assert deviating("9 tokens instead of 10")["the scale's hyper-parameters"] == (FAILED, "9 tokens instead of 10")


def test_declared_repeats_may_adapt_the_weight_decay(filtering: Result) -> None:
    training = filtering.training
    settings = {**training.settings, "weight_decay": 0.3}
    decay, passes = "weight decay 0.3 instead of 0.033", "up to 4 passes over the tokens"

    def verdict(*deviations: str) -> str:
        changed = dataclasses.replace(training, settings=settings, deviations=deviations)
        return verdicts(dataclasses.replace(filtering, training=changed))["the scale's hyper-parameters"][0]

    assert verdict(passes, decay) == PASSED
    assert verdict(decay) == verdict(passes) == FAILED


def test_repeats_of_documents_must_be_declared(filtering: Result) -> None:
    source: Any = filtering.data.counts["sample"]
    read = {**source, "sequences": 10, "distinct": 5, "taken": 10}
    assert verdicts(with_data(filtering, sample=read))["one pass, or declared repeats"][0] == FAILED
    assert verdicts(with_data(filtering, sample=read | {"distinct": 10}))["one pass, or declared repeats"][0] == PASSED


def test_what_is_not_said_cannot_be_checked(make: MakeResult) -> None:
    result = make(scale="411m_1x", track="filtering")
    bare = dataclasses.replace(result, training=dataclasses.replace(result.training, settings={}))
    found = verdicts(bare)
    assert found["the scale's hyper-parameters"][0] == UNKNOWN
    assert found["contamination report"][0] == FAILED
    assert found["scores verified from items"][0] == UNKNOWN


def test_a_mixture_states_its_sources_and_shares(filtering: Result) -> None:
    source: Any = filtering.data.counts["sample"]
    mixed = dataclasses.replace(
        with_data(filtering, web=source, books={**source, "sequences": 5, "taken": 10}), track="mixing"
    )
    found = verdicts(mixed)
    assert found["declared sources"] == (PASSED, "web, books")
    assert found["declared mixture weights"] == (PASSED, "web 90.0% (0.90 passes), books 10.0% (2.00 passes)")
    assert found["one pass, or declared repeats"][0] == FAILED
    assert verdicts(dataclasses.replace(filtering, track="mixing"))["declared sources"][0] == FAILED


def test_no_track_and_no_chain(make: MakeResult) -> None:
    assert verdicts(make(scale="411m_1x"))["a track is declared"][0] == FAILED
    (rule,) = rules(published_entries()[0])
    assert rule.verdict == UNKNOWN


def test_the_page_shows_every_rule(filtering: Result) -> None:
    text = render_detail(Entry(result=filtering))
    assert text.count('class="verdict ') == len(verdicts(filtering))
