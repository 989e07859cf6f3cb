"""How many items or seeds it takes to find a stated difference between two recipes.

A comparison finds a difference d, at 95 % confidence and four times in five, if d ≥ (t_.975 + t_.8) · error, and

    error² = items · (n now / n) + seeds · (1/S_A + 1/S_B)

with `items` and `seeds` as the comparison at hand estimates them (see `dclm.eval.statistics.difference`). Items of
other runs are taken to vary as these do, and more seeds to leave `items` as it is, though the luck of a seed with items
averages out: the number of seeds is then a little too large, never too small. Estimates from few runs are themselves
unsure: an answer from two seeds each may be off by a factor of several.
"""

from __future__ import annotations

import dataclasses
import math

from scipy.special import ndtri, stdtrit

from dclm.core.errors import ConfigError
from dclm.eval.statistics.difference import POWER, Difference
from dclm.eval.statistics.interval import UPPER

MAX_SEEDS = 10_000


@dataclasses.dataclass(frozen=True, kw_only=True)
class Needed:
    """What finding a difference takes."""

    difference: float
    """The one that is to be found, in either direction."""
    items: int | None
    """With the seeds at hand. None: no number of items is enough, or the errors are unknown."""
    seeds: int | None
    """Of each recipe, with the items at hand. None: no number of seeds is enough, or nothing is known of seeds."""
    reason: str | None
    """Why one of them is None."""


def needed(found: Difference, difference: float, *, num_items: int, num_runs: tuple[int, int]) -> Needed:
    """What it takes to find `difference` where `found` was measured on `num_items` items and so many runs.

    Raises: ConfigError if `difference` is not above zero.
    """
    if not difference > 0.0 or not math.isfinite(difference):
        raise ConfigError("power", f"found a difference of {difference}, allowed: a number above zero")
    if found.item_error is None:
        return Needed(difference=difference, items=None, seeds=None, reason="the items cannot tell their own error")
    items, added = found.item_error**2, (found.seed_error or 0.0) ** 2
    both = 1.0 / num_runs[0] + 1.0 / num_runs[1]
    allowed = (difference / float(ndtri(UPPER) + ndtri(POWER))) ** 2
    reasons = []
    many = math.ceil(num_items * items / (allowed - added)) if allowed > added else None
    if many is None:
        reasons.append("seeds alone vary by more than any number of items makes up for")
    seeds = None
    if found.seed_error is None:
        reasons.append("one run of each recipe tells nothing of seeds")
    else:
        seeds = _seeds(items, added / both, difference)
        if seeds is None:
            reasons.append("items alone vary by more than any number of seeds makes up for")
    return Needed(difference=difference, items=many, seeds=seeds, reason="; ".join(reasons) or None)


def _seeds(items: float, of_one: float, difference: float) -> int | None:
    """The fewest seeds of each recipe, two at least; with t for as many degrees of freedom as they have."""
    low, high = 1, MAX_SEEDS
    if not _finds(items, of_one, difference, high):
        return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if _finds(items, of_one, difference, middle) else (middle, high)
    return high


def _finds(items: float, of_one: float, difference: float, seeds: int) -> bool:
    freedom = 2 * seeds - 2
    by_seeds = 2.0 * of_one / seeds
    total = items + by_seeds
    degrees = math.inf if by_seeds == 0.0 else total**2 / (by_seeds**2 / freedom)
    reach = float(stdtrit(min(degrees, 1e9), UPPER) + stdtrit(min(degrees, 1e9), POWER))
    return reach * math.sqrt(total) <= difference
