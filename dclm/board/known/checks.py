"""Checks whether a result agrees with known facts: the suites and their tasks, the number of items, the scales."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache

from dclm.board.conform import shorten
from dclm.board.known.layout import layouts
from dclm.board.result import Result, Setting
from dclm.core.errors import ConfigError, Problem
from dclm.eval.suite import load_suite, suite_names, suite_of
from dclm.eval.task import SUITE_DIR
from dclm.train.scale import SCALES, Scale, find_scale

CUSTOM = "custom"
"""Name of a suite of tasks chosen by hand."""
_NOT_SETTINGS = ("name", "standard", "tokens", "micro_batch_sequences")
"""Fields of a scale that are checked elsewhere, or that change results only by rounding."""


def known_problems(result: Result, name: str) -> Iterator[Problem]:
    """The statements in a result that contradict known facts."""
    yield from _suite_problems(result, name)
    yield from _count_problems(result, name)
    yield from _text_problems(result, name)
    if result.imported is None and not result.evaluation_only:
        yield from _scale_problems(result, name)


def settings_of(scale: Scale) -> dict[str, Setting]:
    """The hyper-parameters of a scale by dotted name, as in `training.settings`."""
    return flatten(dataclasses.asdict(scale))


def flatten(scale: Mapping[str, object]) -> dict[str, Setting]:
    """A scale's fields by dotted name, as in a checkpoint's record."""
    flat: dict[str, Setting] = {}
    for key, value in scale.items():
        if isinstance(value, Mapping):
            flat |= {f"{key}.{inner}": v for inner, v in flatten(value).items()}
        elif key not in _NOT_SETTINGS and (value is None or isinstance(value, bool | int | float | str)):
            flat[key] = value
    return flat


def known_scale(name: str) -> Scale | None:
    """The scale of that name; None if it does not exist."""
    try:
        return find_scale(name)
    except ConfigError:
        return None


@cache
def _text_names() -> frozenset[str]:
    return frozenset(path.stem for path in (SUITE_DIR / "texts").glob("*.yaml"))


def _suite_problems(result: Result, name: str) -> Iterator[Problem]:
    where, suite = f"{name}: suite", result.suite
    if suite.name == CUSTOM:
        if result.imported is None and suite.hash is None:
            yield Problem(where, "no hash; only an imported result may have none")
        if suite.version != suite_of(()).version:
            yield Problem(where, f"version {suite.version} of a suite chosen by hand, allowed: 1")
        return
    if suite.name not in suite_names():
        yield Problem(where, f"unknown suite {shorten(suite.name)}", f"allowed: {', '.join(suite_names())}")
        return
    known = load_suite(suite.name)
    if suite.version != known.version:
        yield Problem(where, f"version {suite.version} of {known.name}, allowed: {known.version}")
    elif suite.hash != known.hash and (suite.hash is not None or result.imported is None):
        yield Problem(where, f"the hash is not that of {known.name} {known.version}: the questions differ")
    others = [label for label in result.scores if label not in known.labels]
    if others:
        shown = ", ".join(map(shorten, others[:5]))
        yield Problem(f"{name}: scores", f"the suite {known.name} does not have {shown}")


def _count_problems(result: Result, name: str) -> Iterator[Problem]:
    rows = {task.task: task.metadata.data.rows for task in load_suite("extended").tasks}
    for label, score in result.scores.items():
        if label not in rows:
            continue  # `_mean_problems` names it
        where = f"{name}: scores.{label}"
        if score.n is None:
            if result.imported is None:
                yield Problem(where, "n is null; only an imported result may omit it")
            continue
        layout = layouts().get(label)
        if layout is None:
            expected = rows[label] if result.limited is None else min(rows[label], result.limited)
        else:
            expected = layout.items(rows[label], result.limited)
        if score.n != expected:
            limited = "" if result.limited is None else f" with {result.limited} per task or category"
            yield Problem(where, f"found {score.n} items, allowed: {expected}{limited}")


def _text_problems(result: Result, name: str) -> Iterator[Problem]:
    for text in result.perplexity:
        if text not in _text_names():
            allowed = f"allowed: {', '.join(sorted(_text_names()))}"
            yield Problem(f"{name}: perplexity", f"unknown text {shorten(text)}", allowed)


def _scale_problems(result: Result, name: str) -> Iterator[Problem]:
    training, where = result.training, f"{name}: training"
    scale = known_scale(training.scale)
    if scale is None:
        if not training.deviations:
            what = f"unknown scale {shorten(training.scale)}, without a declared deviation"
            yield Problem(f"{where}.scale", what, f"allowed: {', '.join(SCALES)}, and multiples such as 25m_2x")
        return
    if training.params != scale.model.num_parameters:
        what = f"found {training.params}, but {scale.name} has {scale.model.num_parameters}"
        yield Problem(f"{where}.params", what)
    if training.tokens is None or (training.tokens != scale.trained_tokens and not training.deviations):
        what = f"found {training.tokens}, but {scale.name} trains on {scale.trained_tokens}"
        yield Problem(f"{where}.tokens", what, "a different number must be declared as a deviation")
    if training.settings and not training.deviations:
        expected = settings_of(scale)
        found = training.settings
        keys = sorted(expected.keys() | found.keys())
        for key in [k for k in keys if k not in expected or k not in found or expected[k] != found[k]][:10]:
            what = f"found {_shown(found, key)}, but {scale.name} has {_shown(expected, key)}"
            yield Problem(f"{where}.settings.{key}", what)


def _shown(values: Mapping[str, Setting], key: str) -> str:
    return shorten(repr(values[key])) if key in values else "nothing"
