"""How much one recipe's score differs from another's, from one run of each or from several seeds of each.

The model. Runs and items are two crossed samples: the score of seed s on item i is the recipe's level, plus the
item's difficulty, plus the seed's luck, plus luck of that seed with that item. All runs are scored on the same items.
With S_A and S_B runs the variance of the difference of the two means is

    items + max(0, seeds - both) · (1/S_A + 1/S_B)

    items   of the difference of the two mean scores, over clusters of items (delta method)
    seeds   of a run's score among the runs of its recipe, pooled over both recipes
    both    the part of `seeds` that is luck of a seed with items, which `items` has counted already

Intervals take Student's t with the degrees of freedom of Welch and Satterthwaite; the whole of `seeds` counts there,
since how little is known of it does not shrink with what is subtracted. With one run of each recipe nothing is known of
seeds: then the interval is for these two models, not for their recipes.

Source: two-way clustering, Cameron, Gelbach and Miller 2011; seeds pooled since there are few of them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

from dclm.eval.statistics.stats import Score, variance

CONFIDENCE = 0.95
POWER = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """B minus A."""

    value: float
    standard_error: float
    low: float
    """Ends of the 95 % confidence interval."""
    high: float
    probability: float
    """That the true difference is above zero, without a prior."""
    detectable: float
    """The true difference that such a comparison finds, at 95 % confidence, four times in five."""
    item_error: float
    """Standard error from the choice of items alone."""
    seed_error: float | None
    """Standard error that the choice of seeds adds; None with one run of each."""


def difference(a: Sequence[Score], b: Sequence[Score]) -> Difference:
    """The mean of the scores `b` minus that of `a`. All are scores of the same clusters, in the same order."""
    value = math.fsum(s.value for s in b) / len(b) - math.fsum(s.value for s in a) / len(a)
    items = variance(_mean(b) - _mean(a))
    clusters = len(a[0].influence)
    freedom = len(a) + len(b) - 2
    share = 1.0 / len(a) + 1.0 / len(b)
    seeds = _seeds([a, b], freedom) if freedom else 0.0
    added = max(0.0, seeds - _both([a, b], freedom)) * share if freedom else 0.0
    total = items + added
    spread = items**2 / max(clusters - 1, 1) + ((seeds * share) ** 2 / freedom if freedom else 0.0)
    degrees = total**2 / spread if spread > 0.0 else math.inf
    return _interval(value, items, added if freedom else None, degrees)


def _interval(value: float, items: float, seeds: float | None, degrees: float) -> Difference:
    error = math.sqrt(items + (seeds or 0.0))
    reach = float(stdtrit(degrees, 0.5 + CONFIDENCE / 2))
    sure = 1.0 if value > 0.0 else 0.5 if value == 0.0 else 0.0
    return Difference(
        value=value,
        standard_error=error,
        low=value - reach * error,
        high=value + reach * error,
        probability=float(stdtr(degrees, value / error)) if error > 0.0 else sure,
        detectable=(reach + float(stdtrit(degrees, POWER))) * error,
        item_error=math.sqrt(items),
        seed_error=None if seeds is None else math.sqrt(seeds),
    )


def _mean(scores: Sequence[Score]) -> NDArray[np.float64]:
    total: NDArray[np.float64] = np.mean([score.influence for score in scores], axis=0)
    return total


def _seeds(groups: Sequence[Sequence[Score]], freedom: int) -> float:
    """Variance of one run's score, pooled over the recipes."""
    values = [np.array([score.value for score in group]) for group in groups]
    return math.fsum(float(((v - v.mean()) ** 2).sum()) for v in values) / freedom


def _both(groups: Sequence[Sequence[Score]], freedom: int) -> float:
    """The part of `_seeds` that comes from the luck of a seed with items."""
    return math.fsum(variance(s.influence - _mean(group)) for group in groups for s in group) / freedom
