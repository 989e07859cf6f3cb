"""Continuous scores of items, all of which follow from the log-probabilities that items.parquet keeps.

With p the probability of each answer, as a whole, and q = p / Σp over the choices of an item:

    bits_per_byte   -log2 p(right) / UTF-8 bytes of the right answer, without surrounding whitespace
    probability     q(right)
    margin          q(right) minus the largest q of a wrong choice
    brier           Σ (q - [right])² over the choices, from 0 to 2

An item without choices has only bits per byte: of the completion, or, for generation, of the answer in the form of an
example. A task's score is the mean over its items, with categories the unweighted mean of theirs, and its error is
clustered like that of accuracy.

Source: probability and Brier score as lm-eval computes them (softmax of log-likelihoods, not divided by length); bits
per byte of the right answer as in arXiv 2508.13144; margin as in arXiv 2504.11393.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.core.arrow import Chunks, filled, one_list_array
from dclm.eval.statistics.interval import Interval, mean_interval
from dclm.eval.statistics.stats import Score, TaskItems, plain_mean, task_score
from dclm.eval.task import Task

Values = NDArray[np.float64]
COLUMNS = ("gold", "logprobs", "answer_bytes")
"""Columns of items.parquet. Items that predate these columns have no continuous scores."""


class Metric(NamedTuple):
    """The properties of a continuous score, in addition to its definition."""

    title: str
    least: float
    most: float
    less_is_better: bool


METRICS: Mapping[str, Metric] = {
    "bits_per_byte": Metric("bits per byte of the right answer", 0.0, math.inf, True),
    "probability": Metric("probability of the right choice", 0.0, 1.0, False),
    "margin": Metric("margin over the best wrong choice", -1.0, 1.0, False),
    "brier": Metric("Brier score", 0.0, 2.0, True),
}


class ContinuousScore(NamedTuple):
    """A task's continuous score."""

    value: float
    standard_error: float | None
    """None if it cannot be estimated from the items."""
    interval: Interval
    n: int
    """Number of items that have it."""


def read_continuous(table: pa.Table) -> dict[str, TaskItems]:
    """Metric → the items of one task that have it, in the order of `table`; a metric that no item has is left out."""
    found = {}
    for metric, values in item_values(table).items():
        chosen = np.isfinite(values)
        if chosen.any():
            categories = filled(table["category"], "").to_numpy(zero_copy_only=False).astype(str)[chosen]
            _, category = np.unique(categories, return_inverse=True)
            cluster = table["cluster"].to_numpy().astype(np.int64)[chosen]
            found[metric] = TaskItems(values=values[chosen], category=category.astype(np.int32), cluster=cluster)
    return found


def item_values(table: pa.Table) -> dict[str, Values]:
    """Metric → its value for every row of `table`, NaN if the row has none."""
    out = {metric: np.full(len(table), np.nan) for metric in METRICS}
    if any(name not in table.column_names for name in COLUMNS):
        return out
    rows = np.flatnonzero(table["logprobs"].is_valid().to_numpy())
    if len(rows) == 0:
        return out
    chosen = table.take(rows)
    logprobs, sizes = _flatten(chosen["logprobs"])
    lengths, _ = _flatten(chosen["answer_bytes"])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    gold = filled(chosen["gold"], -1).to_numpy().astype(np.int64)
    right = starts + np.maximum(gold, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        bits = np.where(lengths[right] > 0, -logprobs[right] / (math.log(2.0) * lengths[right]), np.nan)
    out["bits_per_byte"][rows] = np.maximum(bits, 0.0)  # no -0
    several = (gold >= 0) & (sizes > 1)
    top = np.maximum.reduceat(logprobs, starts)
    weights = np.exp(logprobs - np.repeat(top, sizes))
    shares = weights / np.repeat(np.add.reduceat(weights, starts), sizes)
    mine = shares[right]
    wrong = shares.copy()
    wrong[right] = -np.inf
    missed = np.add.reduceat(np.square(shares), starts) - mine**2 + (1.0 - mine) ** 2
    for metric, values in (
        ("probability", mine),
        ("margin", mine - np.maximum.reduceat(wrong, starts)),
        ("brier", missed),
    ):
        out[metric][rows[several]] = values[several]
    return out


def estimate(items: TaskItems, metric: str) -> ContinuousScore:
    """The task's score with its error."""
    score = task_score(items)
    about, error = METRICS[metric], score.standard_error
    freedom = len(score.influence) - score.strata
    interval = mean_interval(score.value, error, freedom=freedom, least=about.least, most=about.most)
    return ContinuousScore(score.value, error, interval, len(items.values))


def mean_bits(by_task: Mapping[str, Mapping[str, TaskItems]], tasks: Sequence[Task]) -> Score | None:
    """The unweighted mean of the bits per byte of `tasks`; None if one of them has none."""
    known = {label: found["bits_per_byte"] for label, found in by_task.items() if "bits_per_byte" in found}
    if any(task.task not in known for task in tasks):
        return None
    return plain_mean(known, tasks)


def _flatten(column: Chunks) -> tuple[Values, NDArray[np.int64]]:
    """All numbers of a column of lists, and the number in each row."""
    lists = one_list_array(column)
    sizes = pc.list_value_length(lists).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists.flatten().to_numpy(zero_copy_only=False).astype(np.float64), sizes
