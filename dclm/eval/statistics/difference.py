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

from dclm.eval.statistics.interval import UPPER, mean_interval
from dclm.eval.statistics.stats import Score, root, variance

POWER = 0.8


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """B minus A."""

    value: float
    standard_error: float | None
    """None, as all that follows from it, where the items cannot tell: a single cluster, or none that differs."""
    low: float | None
    """Ends of the 95 % confidence interval."""
    high: float | None
    probability: float | None
    """That the true difference is above zero, without a prior."""
    detectable: float | None
    """The true difference that such a comparison finds, at 95 % confidence, four times in five."""
    item_error: float | None
    """Standard error from the choice of items alone."""
    seed_error: float | None
    """Standard error that the choice of seeds adds; None with one run of each."""


def difference(a: Sequence[Score], b: Sequence[Score], most: float = math.inf) -> Difference:
    """The mean of the scores `b` minus that of `a`. All are scores of the same clusters, in the same order.

    most: the largest difference, in either direction, that is possible; intervals do not go beyond it.
    """
    value = math.fsum(s.value for s in b) / len(b) - math.fsum(s.value for s in a) / len(a)
    items = variance(_mean(b) - _mean(a), a[0].strata)
    clusters = len(a[0].influence)
    freedom = len(a) + len(b) - 2
    share = 1.0 / len(a) + 1.0 / len(b)
    seeds = _seeds([a, b], freedom) if freedom else 0.0
    added = max(0.0, seeds - _both([a, b], freedom)) * share if freedom else 0.0
    if items is None:
        return _unknown(value, added if freedom else None)
    total = items + added
    spread = items**2 / (clusters - a[0].strata) + ((seeds * share) ** 2 / freedom if freedom else 0.0)
    return _interval(value, items, added if freedom else None, total**2 / spread, most)


def _unknown(value: float, seeds: float | None) -> Difference:
    return Difference(
        value=value,
        standard_error=None,
        low=None,
        high=None,
        probability=None,
        detectable=None,
        item_error=None,
        seed_error=root(seeds),
    )


def _interval(value: float, items: float, seeds: float | None, degrees: float, most: float) -> Difference:
    error = math.sqrt(items + (seeds or 0.0))
    interval = mean_interval(value, error, freedom=degrees, least=-most, most=most)
    return Difference(
        value=value,
        standard_error=error,
        low=interval.low,
        high=interval.high,
        probability=float(stdtr(degrees, value / error)),
        detectable=float(stdtrit(degrees, UPPER) + stdtrit(degrees, POWER)) * error,
        item_error=math.sqrt(items),
        seed_error=root(seeds),
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
    parts = (variance(s.influence - _mean(group), s.strata) for group in groups for s in group)
    return math.fsum(part or 0.0 for part in parts) / freedom
