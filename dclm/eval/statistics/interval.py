"""Confidence intervals of scores: valid for few clusters, and within the possible range.

A fraction has Korn and Graubard's interval: Clopper and Pearson's, for the number of independent items that would give
the observed standard error, reduced if few clusters make that error uncertain. If every item is right, or every one
wrong, nothing varies and the standard error is undefined; then each cluster counts as one item. Any other score has
Student's interval, cut to its range.

Source: Korn and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scipy.special import betaincinv, stdtrit

CONFIDENCE = 0.95
UPPER = 0.5 + CONFIDENCE / 2


class Interval(NamedTuple):
    """Ends of a 95 % confidence interval; None if it cannot be estimated from the items."""

    low: float | None
    high: float | None


UNKNOWN = Interval(None, None)


def fraction_interval(value: float, standard_error: float | None, *, n: int, clusters: int, strata: int) -> Interval:
    """Interval of a fraction of `n` items in `clusters` clusters and `strata` categories."""
    freedom = clusters - strata
    if freedom < 1:
        return UNKNOWN
    if standard_error is None:
        size = float(clusters)
    else:
        known = float(stdtrit(max(n - 1, 1), UPPER)) / float(stdtrit(freedom, UPPER))
        size = min(value * (1.0 - value) / standard_error**2 * known**2, float(n))
    right, wrong = size * value, size * (1.0 - value)
    low = 0.0 if right <= 0.0 else float(betaincinv(right, wrong + 1.0, 1.0 - UPPER))
    high = 1.0 if wrong <= 0.0 else float(betaincinv(right + 1.0, wrong, UPPER))
    return Interval(low, high)


def mean_interval(
    value: float, standard_error: float | None, *, freedom: float, least: float = -math.inf, most: float = math.inf
) -> Interval:
    """Interval of a mean whose error is known with `freedom` degrees of freedom and whose possible range is [least,
    most]."""
    if standard_error is None or freedom < 1:
        return UNKNOWN
    reach = float(stdtrit(freedom, UPPER)) * standard_error
    return Interval(max(least, value - reach), min(most, value + reach))
