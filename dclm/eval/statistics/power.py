"""The number of items or seeds needed to detect a given difference between two recipes.

A comparison detects a difference d, at 95 % confidence and four times out of five, if d ≥ (t_.975 + t_.8) · error, and

  error² = items · (n now / n) + seeds · (1/S_A + 1/S_B)

with `items` and `seeds` as estimated by the given comparison (see `dclm.eval.statistics.difference`). Further items are
assumed to vary as these do, and more seeds to leave `items` unchanged, although the interaction of seeds with items
averages out: the number of seeds is then slightly too large, never too small. Estimates from few runs are themselves
uncertain: an answer from two seeds each may be off by a factor of several.
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
    """What is needed to detect a difference."""

    difference: float
    """The difference to detect, in either direction."""
    items: int | None
    """Number of items, with the given seeds. None: no number of items is enough, or the errors are unknown."""
    seeds: int | None
    """Number of seeds of each recipe, with the given items. None: no number of seeds is enough, or nothing is known
    about seeds."""
    reason: str | None
    """Why one of them is None."""


def needed(found: Difference, difference: float, *, num_items: int, num_runs: tuple[int, int]) -> Needed:
    """What is needed to detect `difference`, given that `found` was measured on `num_items` items with that many runs.

    Raises: ConfigError if `difference` is not above zero.
    """
    if not difference > 0.0 or not math.isfinite(difference):
        raise ConfigError("power", f"found a difference of {difference}, allowed: a number above zero")
    if found.item_error is None:
        return Needed(
            difference=difference, items=None, seeds=None, reason="the error of the items cannot be estimated"
        )
    items, added = found.item_error**2, (found.seed_error or 0.0) ** 2
    both = 1.0 / num_runs[0] + 1.0 / num_runs[1]
    allowed = (difference / float(ndtri(UPPER) + ndtri(POWER))) ** 2
    reasons = []
    many = math.ceil(num_items * items / (allowed - added)) if allowed > added else None
    if many is None:
        reasons.append("seeds alone vary by more than any number of items can compensate")
    seeds = None
    if found.seed_error is None:
        reasons.append("one run of each recipe says nothing about seeds")
    else:
        seeds = _seeds(items, added / both, difference)
        if seeds is None:
            reasons.append("items alone vary by more than any number of seeds can compensate")
    return Needed(difference=difference, items=many, seeds=seeds, reason="; ".join(reasons) or None)


def _seeds(items: float, of_one: float, difference: float) -> int | None:
    """The minimum number of seeds of each recipe, at least two; with t for the corresponding degrees of freedom."""
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
