"""How much one recipe's score differs from another's, given one run or several seeds of each.

The model. Runs and items are two crossed samples: the score of seed s on item i is the recipe's level, plus the item's
difficulty, plus an effect of the seed, plus an interaction of that seed with that item. All runs are scored on the same
items. With S_A and S_B runs the variance of the difference of the two means is

  items + max(0, seeds - both) · (1/S_A + 1/S_B)

  items   of the difference of the two mean scores, over clusters of items (delta method)
  seeds   of a run's score among the runs of its recipe, pooled over both recipes
  both    the part of `seeds` due to the interaction with items, which `items` already includes

Intervals use Student's t with the degrees of freedom of Welch and Satterthwaite, which are based on all of `seeds`,
because subtracting a part does not make the rest more certain. With one run of each recipe nothing is known about
seeds: then the interval is for these two models, not for their recipes.

Source: two-way clustering, Cameron, Gelbach and Miller 2011; seeds are pooled because there are few of them.
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
    """None, like everything derived from it, if it cannot be estimated: there is a single cluster, or no variation."""
    low: float | None
    """Ends of the 95 % confidence interval."""
    high: float | None
    probability: float | None
    """Probability that the true difference is above zero, without a prior."""
    detectable: float | None
    """The true difference that such a comparison detects, at 95 % confidence, four times out of five."""
    item_error: float | None
    """Standard error due to the choice of items alone."""
    seed_error: float | None
    """Standard error added by the choice of seeds; None with one run of each."""


def difference(a: Sequence[Score], b: Sequence[Score], most: float = math.inf) -> Difference:
    """The mean of the scores `b` minus that of `a`. All are scores of the same clusters, in the same order.

    most: the largest possible difference in either direction; intervals do not extend beyond it.
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
    """The part of `_seeds` that is due to the interaction of a seed with items."""
    parts = (variance(s.influence - _mean(group), s.strata) for group in groups for s in group)
    return math.fsum(part or 0.0 for part in parts) / freedom
