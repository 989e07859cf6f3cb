"""The form of scores.json, from which its JSON Schema is generated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from dclm.eval.aggregate import Means
from dclm.eval.task import Baseline

_OPTIONAL = ("perplexity", "lm_eval")


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteEntry:
    """The suite that was asked."""

    name: str
    version: int
    hash: str
    """sha256 over everything in the suite that affects a score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """The model that answered."""

    fingerprint: str
    window: int
    """Maximum length of a text, in tokens."""
    dtype: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ContinuousEntry:
    """A continuous score of a task: the mean over its items."""

    value: float
    standard_error: float | None
    """Null if it cannot be estimated from the items."""
    interval: tuple[float | None, ...]
    """Bounds of the confidence interval of 95 %."""
    n: int
    """Number of items that have this score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TaskEntry:
    """The scores of a task."""

    accuracy: float
    standard_error: float | None
    """Null if it cannot be estimated from the items."""
    interval: tuple[float | None, ...]
    """Bounds of the confidence interval of 95 %."""
    n: int
    """Number of items."""
    clusters: int
    """Number of groups of items that share a text."""
    rows: int
    """Rows of the task's whole data."""
    baseline: Baseline
    kind: str
    num_fewshot: int
    data_sha256: str | None
    trimmed: int
    """Number of items whose context was cut to fit the window."""
    categories: Mapping[str, float] | None = None
    """Accuracy of each category; missing for tasks without categories."""
    continuous: Mapping[str, ContinuousEntry | None]
    """Null if no item of the task has this score."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextEntry:
    """The loss of the model on a named set of texts."""

    bits_per_byte: float
    standard_error: float | None
    """Standard error of the bits per byte; null if there is only one document."""
    bits_per_token: float
    documents: int
    bytes: int
    tokens: int
    hash: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoresFile:
    """The content of scores.json. A mean is null if one of its tasks has no score."""

    suite: SuiteEntry
    model: ModelEntry
    limited: int | None
    """Rows per task that the scores were limited to; null: all."""
    core_v1: float | None
    core_v2: float | None
    extended_v1: float | None
    extended_v2: float | None
    missing: tuple[str, ...]
    """Tasks of `extended` without a score."""
    core_missing: tuple[str, ...]
    groups: Mapping[str, Means]
    """Means by group of abilities."""
    suites: Mapping[str, Means]
    """Means of every other suite."""
    ignored: tuple[str, ...]
    """Scored tasks that no suite contains."""
    core_v1_standard_error: float | None
    core_v2_standard_error: float | None
    extended_v1_standard_error: float | None
    extended_v2_standard_error: float | None
    core_bpb: float | None
    """Mean bits per byte of the right answers over the tasks of `core`."""
    core_bpb_standard_error: float | None
    reasons: Mapping[str, str]
    """Task without a score → the reason."""
    tasks: Mapping[str, TaskEntry]
    perplexity: Mapping[str, TextEntry] | None = None
    """Loss by set of texts; missing if none was asked for."""
    lm_eval: Mapping[str, object] | None = None
    """What lm-eval reports on its own tasks; missing if none was asked for."""

    def plain(self) -> dict[str, object]:
        """The content as JSON has it: what was not asked for is left out."""
        content: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(self)))
        for task in content["tasks"].values():
            if task["categories"] is None:
                del task["categories"]
        return {name: value for name, value in content.items() if value is not None or name not in _OPTIONAL}
