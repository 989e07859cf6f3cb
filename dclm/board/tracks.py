"""The rules of a track: each is passed, failed, or cannot be checked from the result, with the reason."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Literal

from dclm.board.entry import Entry
from dclm.board.known.checks import CUSTOM, known_scale, settings_of
from dclm.board.result import Result

Verdict = Literal["passed", "failed", "cannot be checked"]
PASSED: Verdict = "passed"
FAILED: Verdict = "failed"
UNKNOWN: Verdict = "cannot be checked"
_REPEATS = "passes over the tokens"
"""The words with which `dclm run` declares repeats as a deviation."""
_DECAY = "weight decay "
"""The words with which it declares another weight decay, which a track with declared repeats may adapt."""
_DECONTAMINATE = "decontaminate"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rule:
    """One rule of a track and whether a result meets it."""

    name: str
    verdict: Verdict
    reason: str


def rules(entry: Entry) -> list[Rule]:
    """The rules of the result's track, in the order in which data becomes a score."""
    result = entry.result
    if result.imported is not None:
        reason = "the result was imported, without a chain"
        return [Rule(name="all rules of a track", verdict=UNKNOWN, reason=reason)]
    if result.evaluation_only:
        reason = "the result is an evaluation only: it has no chain from the data to the model"
        untold = Rule(name="rules about data and training", verdict=UNKNOWN, reason=reason)
        return [untold, _suite(result), _items(entry)]
    found: list[Rule] = []
    if result.track == "filtering":
        found += [_pool(result), _passes(result)]
    elif result.track == "mixing":
        found += [_sources(result), _shares(result), _passes(result)]
    else:
        reason = "the result names no track; allowed: filtering, mixing"
        found.append(Rule(name="a track is declared", verdict=FAILED, reason=reason))
    shared = (_decontamination, _report, _models, _scale, _suite)
    return [*found, *(rule(result) for rule in shared), _items(entry)]


def _pool(result: Result) -> Rule:
    name = "only the scale's pool"
    pools = [link for link in result.chain if link.kind == "pool"]
    if len(result.data.pools) > 1:
        return Rule(name=name, verdict=FAILED, reason=f"{len(result.data.pools)} sources; filtering has one")
    if not pools:
        return Rule(name=name, verdict=UNKNOWN, reason="the chain begins with plain files, not with a pool")
    marks = ", ".join(link.fingerprint[:12] for link in pools)
    reason = f"the chain begins with the pool {marks}; a board does not know the fingerprint of a scale's pool"
    return Rule(name=name, verdict=UNKNOWN, reason=reason)


def _passes(result: Result) -> Rule:
    name = "one pass, or declared repeats"
    repeats = [d for d in result.training.deviations if _REPEATS in d]
    if repeats:
        return Rule(name=name, verdict=PASSED, reason=f"declared: {repeats[0]}")
    taken = _taken(result)
    if not taken:
        return Rule(name=name, verdict=UNKNOWN, reason="the result does not state the number of tokens per source")
    over = [source for source, (have, take) in taken.items() if take > _distinct(result, source, have)]
    if over:
        return Rule(name=name, verdict=FAILED, reason=f"undeclared repeats: {', '.join(over)}")
    return Rule(name=name, verdict=PASSED, reason="no source was read more than once")


def _sources(result: Result) -> Rule:
    count = len(result.data.pools)
    if count < 2:
        return Rule(name="declared sources", verdict=FAILED, reason=f"{count} source; a mixture needs several")
    return Rule(name="declared sources", verdict=PASSED, reason=", ".join(result.data.pools))


def _shares(result: Result) -> Rule:
    name, taken = "declared mixture weights", _taken(result)
    total = sum(take for _, take in taken.values())
    if len(taken) != len(result.data.pools) or not total:
        return Rule(
            name=name, verdict=UNKNOWN, reason="the result does not state how many tokens were taken from each source"
        )
    parts = [
        f"{source} {take / total:.1%} ({take / have:.2f} passes)" for source, (have, take) in taken.items() if have
    ]
    return Rule(name=name, verdict=PASSED, reason=", ".join(parts))


def _taken(result: Result) -> dict[str, tuple[int, int]]:
    """Source → sequences it has and sequences taken from it, if the result states them."""
    found = {}
    for source, counts in result.data.counts.items():
        if isinstance(counts, Mapping):
            have, take = counts.get("sequences"), counts.get("taken")
            if isinstance(have, int) and isinstance(take, int):
                found[source] = (have, take)
    return found


def _distinct(result: Result, source: str, sequences: int) -> int:
    """Sequences of the source that were read at least once; all of them if the result does not state it."""
    counts = result.data.counts[source]
    found = counts.get("distinct") if isinstance(counts, Mapping) else None
    return found if isinstance(found, int) else sequences


def _decontamination(result: Result) -> Rule:
    name = "no evaluation data"
    sources = {s: c for s, c in result.data.counts.items() if isinstance(c, Mapping) and "decisions" in c}
    if not sources:
        return Rule(
            name=name, verdict=UNKNOWN, reason="the result does not state the decisions of the pipeline's steps"
        )
    without = [s for s, c in sources.items() if not any(_DECONTAMINATE in key for key in _keys(c["decisions"]))]
    if without:
        reason = f"no step `{_DECONTAMINATE}` reports on {', '.join(without)}"
        return Rule(name=name, verdict=UNKNOWN, reason=reason)
    return Rule(name=name, verdict=PASSED, reason="every source went through `decontaminate`")


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield str(key)
            yield from _keys(inner)


def _report(result: Result) -> Rule:
    name = "contamination report"
    told = {task: s for task, s in result.scores.items() if s.clean_n is not None}
    lacking = len(result.scores) - len(told)
    if lacking:
        reason = f"{lacking} of {len(result.scores)} tasks do not state how many of their items occur in the documents"
        return Rule(name=name, verdict=FAILED, reason=reason)
    items = sum(s.n or 0 for s in told.values())
    clean = sum(s.clean_n or 0 for s in told.values())
    reason = f"{items - clean} of {items} items occur in the training documents"
    return Rule(name=name, verdict=PASSED, reason=reason)


def _models(result: Result) -> Rule:
    name = "models trained on other data are declared"
    trained = [link.name for link in result.chain if link.kind in ("classifier", "model")]
    said = f"the chain names {', '.join(trained)}" if trained else "the chain names none"
    reason = f"{said}; models loaded by steps of {result.data.pipeline or 'the pipeline'} are not included"
    return Rule(name=name, verdict=UNKNOWN, reason=reason)


def _scale(result: Result) -> Rule:
    name, training = "the scale's hyper-parameters", result.training
    repeats = [d for d in training.deviations if _REPEATS in d]
    adapted = [d for d in training.deviations if repeats and d.startswith(_DECAY)]
    others = [d for d in training.deviations if d not in (*repeats, *adapted)]
    if others:
        return Rule(name=name, verdict=FAILED, reason=others[0])
    scale = known_scale(training.scale)
    if scale is None:
        return Rule(name=name, verdict=FAILED, reason=f"unknown scale {training.scale}")
    if not training.settings:
        return Rule(name=name, verdict=UNKNOWN, reason="the result does not state them")
    free = {"weight_decay"} if adapted else set()
    found, own = dict(training.settings), settings_of(scale)
    if found.keys() != own.keys() or any(found[name] != own[name] for name in own.keys() - free):
        return Rule(name=name, verdict=FAILED, reason=f"they differ from those of {scale.name}")
    said = f"all {len(training.settings)} match those of {scale.name}"
    return Rule(name=name, verdict=PASSED, reason=f"{said}, but for a declared {adapted[0]}" if adapted else said)


def _suite(result: Result) -> Rule:
    name = "the benchmark's questions"
    if result.suite.name == CUSTOM:
        return Rule(name=name, verdict=UNKNOWN, reason="the tasks were chosen by hand")
    if result.limited is not None:
        return Rule(name=name, verdict=FAILED, reason=f"only {result.limited} items per task were asked")
    return Rule(name=name, verdict=PASSED, reason=f"{result.suite.name} {result.suite.version}, by its hash")


def _items(entry: Entry) -> Rule:
    name = "scores verified from items"
    if entry.rescored is None:
        return Rule(
            name=name, verdict=UNKNOWN, reason="no items.parquet was sent with the result: its scores are unverified"
        )
    tasks, checked = entry.rescored.tasks, entry.rescored.answers_checked
    reason = f"{tasks} tasks re-scored; marks compared with the right answers in {checked} of them"
    return Rule(name=name, verdict=PASSED, reason=reason)
