"""Checks that a result is consistent: schema, numbers that follow from each other and from known facts, an unbroken
chain."""

from __future__ import annotations

from collections.abc import Iterator

from dclm.board.conform import raise_problems, shorten
from dclm.board.known.checks import known_problems
from dclm.board.known.errors import error_problems
from dclm.board.result import BITS, UNKNOWN, DataSummary, Result, TrainingSummary, core_bpb, parse_result
from dclm.core.errors import Problem
from dclm.eval.aggregate import aggregate

_TOLERANCE = 1e-6
_CHAIN = ("documents", "tokens", "checkpoint", "scores")
"""Kinds that every chain has, in order; each is made from the previous one. (A pool may also be plain files.)"""


def validate(data: bytes, name: str) -> Result:
    """The result in `data`, if everything in it is valid.

    Raises: DataError with every deviation from the schema, or else with every inconsistency.
    """
    result = parse_result(data, name)
    raise_problems(list(problems(result, name)))
    return result


def problems(result: Result, name: str) -> Iterator[Problem]:
    """The inconsistencies of a result that conforms to the schema."""
    yield from _mean_problems(result, name)
    yield from _bits_problems(result, name)
    yield from _clean_problems(result, name)
    yield from _training_problems(result, name)
    yield from known_problems(result, name)
    yield from error_problems(result, name)
    if result.evaluation_only:
        yield from _evaluation_problems(result, name)
    elif result.imported is None:
        yield from _chain_problems(result, name)


def _mean_problems(result: Result, name: str) -> Iterator[Problem]:
    means = aggregate({task: score.score for task, score in result.scores.items()})
    expected = {
        "core_v1": means.core.v1, "core_v2": means.core.v2,
        "extended_v1": means.extended.v1, "extended_v2": means.extended.v2,
    }  # fmt: skip
    for field, right in expected.items():
        found: float | None = getattr(result, field)
        if (found is None) != (right is None) or (
            found is not None and right is not None and abs(found - right) > _TOLERANCE
        ):
            shown = "null (tasks are missing)" if right is None else f"{right:.6f}"
            yield Problem(f"{name}: {field}", f"found {found}, but the task scores give {shown}")
    if set(result.missing) != set(means.extended.missing):
        yield Problem(
            f"{name}: missing", f"found {len(result.missing)} tasks, but {len(means.extended.missing)} have no score"
        )
    if means.ignored:
        hint = "names are those of `eval_suite/`"
        yield Problem(f"{name}: scores", f"unknown tasks: {', '.join(map(shorten, means.ignored[:5]))}", hint)


def _bits_problems(result: Result, name: str) -> Iterator[Problem]:
    """Find continuous scores that the kind of task cannot have, and a mean that does not follow from them."""
    for task, score in result.scores.items():
        if score.continuous and BITS not in score.continuous:
            yield Problem(f"{name}: scores.{shorten(task)}.continuous", f"no {BITS}, which every item has")
    expected = core_bpb(result.scores)
    found = result.core_bpb
    if (found is None) != (expected is None) or (
        found is not None and expected is not None and abs(found - expected) > _TOLERANCE * max(1.0, expected)
    ):
        shown = "null (tasks have none)" if expected is None else f"{expected:.6f}"
        yield Problem(f"{name}: core_bpb", f"found {found}, but the tasks' bits per byte give {shown}")
    if found is None and result.core_bpb_stderr is not None:
        yield Problem(f"{name}: core_bpb_stderr", "an error without core_bpb")


def _clean_problems(result: Result, name: str) -> Iterator[Problem]:
    for task, score in result.scores.items():
        where = f"{name}: scores.{shorten(task)}"
        if score.clean_n is None:
            if score.clean_score is not None:
                yield Problem(where, "clean_score without clean_n")
            continue
        if score.n is None or score.clean_n > score.n:
            yield Problem(where, f"{score.clean_n} clean items of {score.n}")
        if (score.clean_score is None) != (score.clean_n == 0):
            yield Problem(where, f"{score.clean_n} clean items, and clean_score is {score.clean_score}")


def _training_problems(result: Result, name: str) -> Iterator[Problem]:
    training = result.training
    if training.flops is None or training.params is None or training.tokens is None:
        return
    expected = 6.0 * training.params * training.tokens
    if abs(training.flops - expected) > 0.01 * expected:
        what = f"found {training.flops:.4g}, but 6 · params · tokens is {expected:.4g}"
        yield Problem(f"{name}: training.flops", what)


def _evaluation_problems(result: Result, name: str) -> Iterator[Problem]:
    """Find statements about the training, which an evaluation by itself cannot prove."""
    if [link.kind for link in result.chain] != ["scores"]:
        yield Problem(f"{name}: chain", "found other artifacts than the scores, which are all that an evaluation has")
    training, data = TrainingSummary(scale=UNKNOWN), DataSummary()
    if (result.training, result.data, result.track) != (training, data, "none"):
        hint = "use the result of `dclm run`, which has the whole chain"
        yield Problem(f"{name}: training", "an evaluation only cannot state how the model was trained", hint)
    if result.imported is not None:
        yield Problem(f"{name}: imported", "an imported result cannot be an evaluation by this tool")


def _chain_problems(result: Result, name: str) -> Iterator[Problem]:
    where = f"{name}: chain"
    by_kind = {kind: [link for link in result.chain if link.kind == kind] for kind in ("pool", *_CHAIN)}
    lacking = [kind for kind in _CHAIN if not by_kind[kind]]
    if lacking:
        hint = "do not edit a result by hand; use the output of `dclm run`"
        yield Problem(where, f"no {', no '.join(lacking)}; needed: {' → '.join(_CHAIN)}", hint)
    before = by_kind["pool"]
    for kind in _CHAIN:
        links = by_kind[kind]
        used = {mark for link in (*links, *before) for mark in link.inputs.values()}
        made = {link.fingerprint for link in before}
        if made and kind == "documents":  # those of several sources, deduplicated together, are made from documents
            made |= {link.fingerprint for link in links}
        for link in links:
            if made and made.isdisjoint(link.inputs.values()):
                yield Problem(where, f"{kind} {shorten(link.name)} was not made from the previous artifact")
        for link in before:
            if links and link.fingerprint not in used:
                yield Problem(where, f"{link.kind} {shorten(link.name)} is not used by any later artifact")
        before = links
    if len({link.fingerprint for link in result.chain}) < len(result.chain):
        yield Problem(where, "a fingerprint occurs twice")
