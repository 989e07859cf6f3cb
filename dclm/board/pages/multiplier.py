"""Compute multipliers: the factor of a run's FLOPs that a baseline corpus needs for the same CORE, from the published
runs.

The published runs in the usual design of their size (learning rate and weight decay), of every corpus with three
amounts of compute, follow lines with a common slope (see docs/predict.md):

  CORE = a_corpus + b · log10(FLOPs)

A run's multiplier is 10^x / its FLOPs, where x is the point at which the baseline's line reaches the run's CORE. The 95
% interval is the set of x that the line and the scatter of single runs around it do not rule out (Fieller); it is for
this run, not for its recipe. A line says nothing beyond its runs: values there are marked as extrapolated.
"""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from scipy.special import stdtrit

from dclm.board.entry import Entry
from dclm.board.known.published import SETTING, published_entries
from dclm.board.result import Result

DEFAULT = "RefinedWeb"
"""The baseline of tables without a choice."""
_LEAST = 3
"""Amounts of compute at which a baseline was run."""
_CONFIDENCE = 0.95
_TRAINED = ("lr", "wd")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Baseline:
    """A published corpus, and its line."""

    name: str
    center: float
    """Mean of log10(FLOPs) over its runs."""
    level: float
    """CORE at that point."""
    runs: int
    low: float
    """log10(FLOPs) of its smallest run."""
    high: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lines:
    """The parameters that all baselines share, and each of them."""

    slope: float
    """CORE per tenfold FLOPs."""
    variance: float
    """Standard deviation of one run around its line."""
    spread: float
    """Σ (log10(FLOPs) - mean of its corpus)², from which the slope was estimated."""
    reach: float
    """Quantile of Student's t for the interval."""
    baselines: Mapping[str, Baseline]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Multiplier:
    """The multiplier of one run over one baseline."""

    baseline: str
    value: float
    """The factor of the run's FLOPs that the baseline needs for the same CORE."""
    low: float | None
    """Ends of the 95 % interval; null if it has no bounds."""
    high: float | None
    extrapolated: bool
    """Whether the baseline was not run with that many, or that few, FLOPs."""


@cache
def lines() -> Lines:
    """Fitted to the published runs that ship with the board."""
    return fit_lines(published_entries())


def fit_lines(entries: Sequence[Entry]) -> Lines:
    """One slope and a level per corpus, by least squares."""
    groups: dict[str, list[tuple[float, float]]] = {}
    names: dict[str, str] = {}
    for entry in _usual(entries):
        result = entry.result
        (corpus,) = result.data.pools
        names[corpus] = entry.shown.partition(", " + result.training.scale)[0]
        groups.setdefault(corpus, []).append((math.log10(result.training.flops or 1.0), result.core_v2 or 0.0))
    kept = {corpus: np.array(runs) for corpus, runs in groups.items() if len({x for x, _ in runs}) >= _LEAST}
    centered = {corpus: runs - runs.mean(axis=0) for corpus, runs in kept.items()}
    both = np.concatenate(list(centered.values()))
    spread = float((both[:, 0] ** 2).sum())
    slope = float((both[:, 0] * both[:, 1]).sum()) / spread
    freedom = len(both) - len(kept) - 1
    rest = both[:, 1] - slope * both[:, 0]
    return Lines(
        slope=slope,
        variance=float(rest @ rest) / freedom,
        spread=spread,
        reach=float(stdtrit(freedom, 0.5 + _CONFIDENCE / 2)),
        baselines={
            names[corpus]: Baseline(
                name=names[corpus],
                center=float(runs[:, 0].mean()),
                level=float(runs[:, 1].mean()),
                runs=len(runs),
                low=float(runs[:, 0].min()),
                high=float(runs[:, 0].max()),
            )
            for corpus, runs in sorted(kept.items(), key=lambda item: names[item[0]])
        },
    )


def multiplier(result: Result, baseline: str = DEFAULT, fitted: Lines | None = None) -> Multiplier | None:
    """Multiplier of a run over `baseline`; None if its CORE or FLOPs are unknown, or its CORE is based on a part of the
    items."""
    fitted = fitted or lines()
    line, flops = fitted.baselines[baseline], result.training.flops
    if result.core_v2 is None or flops is None or result.limited is not None:
        return None
    gap = result.core_v2 - line.level
    needed = line.center + gap / fitted.slope
    own = math.log10(flops)
    ends = _bounds(fitted, line, gap)
    low, high = (None, None) if ends is None else (10 ** (line.center + end - own) for end in ends)
    return Multiplier(
        baseline=baseline,
        value=10 ** (needed - own),
        low=low,
        high=high,
        extrapolated=not line.low - 1e-3 <= needed <= line.high + 1e-3,
    )


def _bounds(fitted: Lines, line: Baseline, gap: float) -> tuple[float, float] | None:
    """Ends of the d with (gap - slope · d)² ≤ t² · s² · (1 + 1/n + d²/spread); None if they are not finite."""
    noise = fitted.reach**2 * fitted.variance
    square = fitted.slope**2 - noise / fitted.spread
    if square <= 0.0:
        return None
    middle = fitted.slope * gap / square
    inside = middle**2 - (gap**2 - noise * (1.0 + 1.0 / line.runs)) / square
    half = math.sqrt(max(inside, 0.0))
    return middle - half, middle + half


def _usual(entries: Sequence[Entry]) -> list[Entry]:
    """Runs of a known corpus with the rates that most runs of their scale have, or with unknown rates."""
    known = [
        entry
        for entry in entries
        if entry.result.training.flops is not None and entry.result.core_v2 is not None and entry.result.data.pools
    ]
    rates = {entry.id: _rates(entry.result) for entry in known}
    most: dict[str, tuple[str, ...]] = {}
    for scale in {entry.result.training.scale for entry in known}:
        counts = Counter(rates[e.id] for e in known if e.result.training.scale == scale and rates[e.id])
        most[scale] = max(counts, key=lambda rate: (counts[rate], rate), default=())
    return [entry for entry in known if rates[entry.id] in ((), most[entry.result.training.scale])]


def _rates(result: Result) -> tuple[str, ...]:
    """Learning rate and weight decay, as stated in the name of the run's file."""
    file = (result.imported or "").rpartition(": ")[2].removesuffix(".json")
    stated = dict(SETTING.findall(file))
    return tuple(f"{name} {float(stated[name].replace('p', '.')):g}" for name in _TRAINED if name in stated)
