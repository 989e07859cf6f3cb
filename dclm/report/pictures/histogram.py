"""Distribution of a number over the documents that were kept, dropped by a cut on it, or dropped otherwise."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from dclm.documents.artifact import Artifact, Rows, numbers

BINS = 60
LENGTH = "characters"
"""The ledger's column that exists without any step: the length of a document when it left."""
_LOGARITHMIC_FROM = 1000.0
"""Numbers from 0 upwards that reach this value are drawn on a logarithmic axis (of 1 + x)."""

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cut:
    """A step that keeps documents by the value of an annotation."""

    step: int
    column: str
    label: str
    low: float | None = None
    """Values from here on are kept (of `quantile` with `keep_between`: values above); None also if groups have their
    own bounds."""
    high: float | None = None
    """Values up to here are kept."""
    decides_alone: bool = False
    """The step drops documents for no other reason."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Histogram:
    """One annotation over all records that have it. Counts are per bin, from left to right."""

    name: str
    low: float
    high: float
    logarithmic: bool
    kept: Counts
    cut: Counts
    """Dropped by a step that cuts on this number."""
    other: Counts
    """Dropped at other steps."""
    missing: int
    """Number of records that left before they had a value, or whose value is not finite."""
    cuts: tuple[Cut, ...]


def find_cuts(artifact: Artifact) -> tuple[Cut, ...]:
    """The cuts stated in the record: `threshold`, `quantile` (resolved), `language` and `langdetect`."""
    settings, decisions = artifact.record.config["steps"], artifact.record.counts["decisions"]
    assert isinstance(settings, list)
    assert isinstance(decisions, dict)
    cuts = []
    for step in artifact.steps:
        values = settings[step.index] if step.index >= 0 else {}
        label = f"step {step.index}, {step.name}"
        low, high = values.get("min"), values.get("max")
        if step.name == "quantile":
            found = decisions[f"{step.index}:quantile"]
            low, high = found.get("cut"), None
            if values["keep_top"] is None:
                low, high = found.get("above"), low
        if step.name in ("threshold", "quantile"):
            name = values["column"]
            cuts.append(Cut(step=step.index, column=name, label=label, low=low, high=high, decides_alone=True))
        elif step.name in ("language", "langdetect") and values["keep"]:
            cuts.append(Cut(step=step.index, column="language_score", label=label, low=values["min_score"]))
    return tuple(cuts)


def histograms(artifact: Artifact) -> list[Histogram]:
    """One histogram for every number in the ledger, in two passes over it: for the range, and for the counts."""
    names = [LENGTH, *(name for name, number in artifact.annotations().items() if number)]
    ranges: dict[str, tuple[float, float]] = {}
    for rows in artifact.rows(*names):
        for name in names:
            values = numbers(rows.batch, name)
            values = values[np.isfinite(values)]
            if len(values):
                low, high = ranges.get(name, (np.inf, -np.inf))
                ranges[name] = min(low, float(values.min())), max(high, float(values.max()))
    cuts = find_cuts(artifact)
    makers = {name: _Maker(*ranges[name], [c for c in cuts if c.column == name]) for name in ranges}
    for rows in artifact.rows(*makers):
        for name, maker in makers.items():
            maker.add(numbers(rows.batch, name), rows)
    return [maker.result(name, [c for c in cuts if c.column == name]) for name, maker in makers.items()]


class _Maker:
    """Counts of one annotation."""

    def __init__(self, low: float, high: float, cuts: Sequence[Cut]) -> None:
        self._low, self._high, self._cuts = low, high, cuts
        self._logarithmic = low >= 0 and high >= _LOGARITHMIC_FROM
        self._counts = np.zeros((3, BINS), np.int64)
        self._missing = 0

    def add(self, values: Floats, rows: Rows) -> None:
        there = np.isfinite(values)
        self._missing += int(np.count_nonzero(~there))
        places = position(values[there], self._low, self._high, self._logarithmic)
        bins = np.clip((places * BINS).astype(np.int64), 0, BINS - 1)
        step = rows.step[there]
        cut = np.zeros(len(step), np.bool_)
        for each in self._cuts:  # a step may also drop for other reasons, such as a page's language
            beyond = _is_beyond(values[there], each)
            cut |= (step == each.step) & ~rows.rejected[there] & beyond
        for kind, mask in enumerate((rows.kept[there], cut, ~rows.kept[there] & ~cut)):
            self._counts[kind] += np.bincount(bins[mask], minlength=BINS)

    def result(self, name: str, cuts: Sequence[Cut]) -> Histogram:
        kept, cut, other = self._counts
        return Histogram(
            name=name,
            low=self._low,
            high=self._high,
            logarithmic=self._logarithmic,
            kept=kept,
            cut=cut,
            other=other,
            missing=self._missing,
            cuts=tuple(cuts),
        )


def _is_beyond(values: Floats, cut: Cut) -> npt.NDArray[np.bool_]:
    """Whether values are on the side of a cut on which documents are dropped."""
    if cut.decides_alone:
        return np.ones(len(values), np.bool_)
    below = np.zeros(len(values), np.bool_) if cut.low is None else values < cut.low
    return below if cut.high is None else below | (values > cut.high)


def position(values: Floats, low: float, high: float, logarithmic: bool) -> Floats:
    """Position of values between `low` (0) and `high` (1) on the axis."""
    if logarithmic:
        values, low, high = np.log1p(np.maximum(values, 0)), float(np.log1p(low)), float(np.log1p(high))
    if high <= low:
        return np.full(len(values), 0.5)
    return (values / 2 - low / 2) / (high / 2 - low / 2)  # halved first: the difference of huge values stays finite


def totals(histogram: Histogram) -> Mapping[str, int]:
    """Number of documents of each kind."""
    return {"kept": int(histogram.kept.sum()), "cut": int(histogram.cut.sum()), "other": int(histogram.other.sum())}
