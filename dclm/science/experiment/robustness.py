"""Whether the order of recipes stays the same at other learning rates and weight decays.

A comparison at one fixed learning rate can be reversed at another (arXiv 2512.24503): a recipe whose text suits the
rate better wins without being better text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from dclm.science.experiment.run import Point
from dclm.science.experiment.statistics import IntervalEstimate, estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """How much lower the second recipe is than the first at one learning rate and weight decay."""

    learning_rate: float
    """Multiple of the scale's own learning rate."""
    weight_decay: float
    """Multiple of the scale's own weight decay."""
    bits: IntervalEstimate
    """Difference in bits per byte, seed by seed; above zero, the second is better."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Robustness:
    """Two recipes at one scale and budget, at every learning rate and weight decay."""

    worse: str
    better: str
    scale: str
    tokens: int
    gains: tuple[Gain, ...]

    @property
    def flips(self) -> tuple[Gain, ...]:
        """Gains whose sign differs from that at the scale's own rates, or at the first rates, if those were not run."""
        own = [g for g in self.gains if (g.learning_rate, g.weight_decay) == (1.0, 1.0)]
        reference = (own or list(self.gains))[0].bits.value
        return tuple(g for g in self.gains if g.bits.value * reference < 0)

    @property
    def verdict(self) -> str:
        """`survives`, or where the order flips and whether the seeds are enough to decide that it does."""
        if not self.flips:
            return "survives"
        at = ", ".join(f"rate ×{g.learning_rate:g} decay ×{g.weight_decay:g}{_sure(g.bits)}" for g in self.flips)
        return f"flips at {at}"


def robustness(points: Sequence[Point]) -> list[Robustness]:
    """Every pair of recipes at each scale and budget; nothing if only one learning rate and weight decay were run."""
    settings = list(dict.fromkeys((p.learning_rate, p.weight_decay) for p in points))
    if len(settings) < 2:
        return []
    bits = {(p.recipe, p.scale, p.tokens, p.learning_rate, p.weight_decay, p.seed): p.bits_per_byte for p in points}
    recipes = list(dict.fromkeys(p.recipe for p in points))
    seeds = list(dict.fromkeys(p.seed for p in points))
    found = []
    for scale, tokens in dict.fromkeys((p.scale, p.tokens) for p in points):
        for worse, better in itertools.combinations(recipes, 2):
            gains = [
                Gain(
                    learning_rate=rate,
                    weight_decay=decay,
                    bits=estimate(
                        [
                            bits[worse, scale, tokens, rate, decay, s] - bits[better, scale, tokens, rate, decay, s]
                            for s in seeds
                        ]
                    ),
                )
                for rate, decay in settings
            ]
            found.append(Robustness(worse=worse, better=better, scale=scale, tokens=tokens, gains=tuple(gains)))
    return found


def _sure(bits: IntervalEstimate) -> str:
    if bits.low is None or bits.high is None or bits.low <= 0 <= bits.high:
        return " (not decided)"
    return ""
