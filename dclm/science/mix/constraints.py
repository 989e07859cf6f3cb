"""Constraints on a mixture: bounds, available tokens with a limit on repeats, and a distance to the natural mix."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dclm.core.config import Fraction, NonNegative, Positive, build, load_yaml, suggest
from dclm.core.errors import ConfigError
from dclm.science.mix.table import Array


@dataclasses.dataclass(frozen=True, kw_only=True)
class SourceLimits:
    """One source."""

    tokens: Positive | None = None
    """Number of available tokens; null: unknown, and no limit."""
    max_repeats: NonNegative = 4.0
    """Maximum number of times that its tokens are read: beyond four, repeats are worth much less than new text
    (Muennighoff et al. 2023)."""
    min: Fraction = 0.0
    """Minimum share."""
    max: Fraction = 1.0
    """Maximum share."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Constraints:
    """A file of constraints. The natural mix is in proportion to the sources' tokens, and uniform if any of these is
    unknown."""

    budget: Positive | None = None
    """Training tokens of the run that the mixture is for; null: sources do not run out."""
    max_divergence: NonNegative | None = None
    """Maximum Kullback-Leibler divergence of the mixture from the natural one, in nats; null: no limit."""
    sources: Mapping[str, SourceLimits] = dataclasses.field(default_factory=dict)
    """Source → its limits. Sources of the proxies that are not named have none."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Feasible:
    """Constraints on the shares of sources in a fixed order."""

    low: Array
    high: Array
    natural: Array
    """The natural mix; sums to 1."""
    max_divergence: float | None

    def divergence(self, weights: Array) -> float:
        """Kullback-Leibler divergence from the natural mix, in nats; infinite outside its support."""
        used = weights > 1e-12
        with np.errstate(divide="ignore"):
            return float((weights[used] * np.log(weights[used] / self.natural[used])).sum())


def load_constraints(path: Path | None) -> Constraints:
    """Read a file of constraints; without a file, nothing is constrained. Raises: ConfigError with its errors."""
    return Constraints() if path is None else build(Constraints, load_yaml(path))


def feasible(constraints: Constraints, sources: Sequence[str]) -> Feasible:
    """The constraints on `sources`. Raises: ConfigError if a source is unknown, or no mixture meets them."""
    for name in constraints.sources:
        if name not in sources:
            what = f"no proxy has read it, allowed: {', '.join(sources)}"
            raise ConfigError(f"sources.{name}", what, suggest(name, sources))
    limits = [constraints.sources.get(name, SourceLimits()) for name in sources]
    high = np.array([min(limit.max, _reach(limit, constraints.budget)) for limit in limits])
    low = np.array([limit.min for limit in limits])
    for name, least, most in zip(sources, low, high, strict=True):
        if least > most:
            hint = "lower `min` or `budget`, or raise `max_repeats`"
            raise ConfigError(
                f"sources.{name}", f"found a share from {least:g} to {most:.3g}, which is impossible", hint
            )
    if low.sum() > 1 + 1e-9 or high.sum() < 1 - 1e-9:
        what = (
            f"the shares sum to at least {low.sum():.3g} and at most {high.sum():.3g}, allowed: a range that contains 1"
        )
        raise ConfigError("constraints", what, "lower `min` or `budget`, or raise `max_repeats`")
    known = [limit.tokens for limit in limits]
    tokens = np.array([float(t) for t in known if t is not None]) if None not in known else np.ones(len(limits))
    natural = tokens / tokens.sum()
    found = Feasible(low=low, high=high, natural=natural, max_divergence=constraints.max_divergence)
    nearest = into_bounds(natural, low, high)
    if constraints.max_divergence is not None and found.divergence(nearest) > constraints.max_divergence + 1e-9:
        what = f"the bounds need a divergence of about {found.divergence(nearest):.3g} from the natural mix"
        raise ConfigError("max_divergence", what, "raise it, or widen the bounds")
    return found


def into_bounds(weights: Array, low: Array, high: Array) -> Array:
    """Shares within bounds that sum to 1, near `weights` [sources]: all are scaled by the same factor, then clipped."""
    small, large = 0.0, 1.0
    while np.clip(weights * large, low, high).sum() < 1 and large < 1e12:
        large *= 2
    for _ in range(100):
        middle = (small + large) / 2
        small, large = (small, middle) if np.clip(weights * middle, low, high).sum() > 1 else (middle, large)
    inside = np.clip(weights * small, low, high)
    room = np.where(inside < high, high - inside, 0.0)
    if room.sum() > 0:  # sources without a share cannot be scaled
        inside = inside + room * max(0.0, 1 - inside.sum()) / room.sum()
    return inside


def _reach(limit: SourceLimits, budget: int | None) -> float:
    """The largest share for which a source has enough tokens."""
    if limit.tokens is None or budget is None:
        return 1.0
    return limit.tokens * limit.max_repeats / budget
