"""Two corpora at a compute beyond the available runs: the difference, the probability of its sign, and whether it held.

Differences are taken between runs of the same seed and compute, which share their noise; they follow a line in
log10(FLOPs).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import stdtr, stdtrit

from dclm.science.scaling.fit import CONFIDENCE, Array, Observation

MIN_DIFFERENCES = 3
"""A line through two points has no error."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Projection:
    """Two corpora at one compute."""

    a: str
    b: str
    at_flops: float
    difference: float
    """The values, A minus B."""
    low: float
    """Ends of the 95 % interval."""
    high: float
    p_a_above: float
    extrapolated: bool
    """Whether no run that it is based on has that much compute."""
    measured: float | None = None
    """A minus B as measured, if it was held out."""

    @property
    def verdict(self) -> Literal["a above", "b above", "too close to say"]:
        """Too close to say: the interval contains zero."""
        return "a above" if self.low > 0 else "b above" if self.high < 0 else "too close to say"

    @property
    def held(self) -> bool | None:
        """Whether the more likely order is the measured one; None if nothing was measured."""
        return None if self.measured is None else (self.p_a_above > 0.5) == (self.measured > 0)


def project(observations: Sequence[Observation], flops: float) -> list[Projection]:
    """The difference that a single run of each pair of corpora would show at `flops`.

    Pairs need two amounts of compute and three differences between runs of the same seed; others are left out.
    """
    found = []
    for a, b, cells in _pairs(observations):
        projection = _project(a, b, cells, flops, runs=1)
        if projection is not None:
            found.append(projection)
    return found


def hold_out_largest(observations: Sequence[Observation]) -> list[Projection]:
    """Predict the mean difference of each pair at the largest compute from all smaller ones, and compare it with the
    measured one."""
    largest = max(o.flops for o in observations)
    found = []
    for a, b, cells in _pairs(observations):
        after = [difference for at, difference in cells if at == largest]
        before = [(at, difference) for at, difference in cells if at < largest]
        projection = _project(a, b, before, largest, runs=len(after)) if after else None
        if projection is not None:
            found.append(dataclasses.replace(projection, measured=float(np.mean(after))))
    return found


def _pairs(observations: Sequence[Observation]) -> list[tuple[str, str, list[tuple[float, float]]]]:
    """Each pair of corpora with its (FLOPs, difference), one for each seed and compute that both have."""
    values = {(o.corpus, o.flops, o.seed): o.value for o in observations}
    corpora = list(dict.fromkeys(o.corpus for o in observations))
    return [
        (a, b, [(f, v - values[b, f, s]) for (c, f, s), v in values.items() if c == a and (b, f, s) in values])
        for a, b in itertools.combinations(corpora, 2)
    ]


def _project(a: str, b: str, cells: Sequence[tuple[float, float]], flops: float, runs: int) -> Projection | None:
    if len(cells) < MIN_DIFFERENCES or len({at for at, _ in cells}) < 2:
        return None
    decades: Array = np.array([math.log10(at) for at, _ in cells])
    differences = np.array([difference for _, difference in cells])
    design = np.column_stack([np.ones(len(cells)), decades])
    solution = np.linalg.lstsq(design, differences)[0]
    rest = differences - design @ solution
    freedom = len(cells) - 2
    at = np.array([1.0, math.log10(flops)])
    leverage = float(at @ np.linalg.inv(design.T @ design) @ at)
    error = math.sqrt(float(rest @ rest) / freedom * (leverage + 1 / runs))
    said = float(at @ solution)
    reach = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return Projection(
        a=a,
        b=b,
        at_flops=flops,
        difference=said,
        low=said - reach,
        high=said + reach,
        p_a_above=float(stdtr(freedom, said / max(error, 1e-300))),
        extrapolated=not min(f for f, _ in cells) / 1.001 <= flops <= max(f for f, _ in cells) * 1.001,
    )
