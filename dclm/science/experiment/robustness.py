"""Whether the order of recipes survives other learning rates and weight decays.

A comparison at one fixed learning rate can turn at another (arXiv 2512.24503): a recipe whose text suits the rate
better wins without being better text.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

from dclm.science.experiment.run import Point
from dclm.science.experiment.statistics import Estimate, estimate


@dataclasses.dataclass(frozen=True, kw_only=True)
class Gain:
    """How much lower the second recipe is than the first under one learning rate and weight decay."""

    learning_rate: float
    """Multiple of the scale's own."""
    weight_decay: float
    """Multiple of the scale's own."""
    bits: Estimate
    """Bits a byte, seed by seed; above zero, the second is better."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Robustness:
    """Two recipes at one scale and budget, under every learning rate and weight decay."""

    worse: str
    better: str
    scale: str
    tokens: int
    gains: tuple[Gain, ...]

    @property
    def flips(self) -> tuple[Gain, ...]:
        """Gains of another sign than at the scale's own rates; at the first ones, where those were not run."""
        own = [g for g in self.gains if (g.learning_rate, g.weight_decay) == (1.0, 1.0)]
        reference = (own or list(self.gains))[0].bits.value
        return tuple(g for g in self.gains if g.bits.value * reference < 0)

    @property
    def verdict(self) -> str:
        """`survives`, or where the order flips and whether seeds decide that it does."""
        if not self.flips:
            return "survives"
        at = ", ".join(f"rate ×{g.learning_rate:g} decay ×{g.weight_decay:g}{_sure(g.bits)}" for g in self.flips)
        return f"flips at {at}"


def robustness(points: Sequence[Point]) -> list[Robustness]:
    """Every pair of recipes at each scale and budget; nothing where only one learning rate and decay were run."""
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


def _sure(bits: Estimate) -> str:
    if bits.low is None or bits.high is None or bits.low <= 0 <= bits.high:
        return " (not decided)"
    return ""
