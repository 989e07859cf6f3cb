"""Statistics of an experiment's points: means over seeds, differences of recipes, and a power law of size and tokens.

Intervals are 95 %, by Student's t. A seed changes initialization and data order together, and is the same for all
recipes, so recipes are compared seed by seed.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.special import stdtrit
from scipy.stats import spearmanr

from dclm.science.experiment.run import Point

CONFIDENCE = 0.95


@dataclasses.dataclass(frozen=True, kw_only=True)
class IntervalEstimate:
    """A number with its 95 % interval; the interval is None if it cannot be estimated."""

    value: float
    standard_error: float | None
    low: float | None
    high: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mean:
    """A recipe at one scale and budget, over its seeds."""

    recipe: str
    scale: str
    parameters: int
    tokens: int
    seeds: int
    bits: IntervalEstimate
    repeated: float
    """Fraction of the training text that the model had read before."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How much lower `better` is than `worse`, seed by seed, in bits per byte; above zero is as expected."""

    worse: str
    better: str
    scale: str
    tokens: int
    each: tuple[float, ...]
    bits: IntervalEstimate
    expected: bool = True
    """Whether `better` is expected to be better, or only compared with a baseline."""

    @property
    def verdict(self) -> str:
        """`as expected` and `the other way round`, or `better` and `worse` where nothing is expected; `not decided` if
        the interval contains zero or is unknown."""
        if self.bits.low is not None and self.bits.low > 0:
            return "as expected" if self.expected else "better"
        if self.bits.high is not None and self.bits.high < 0:
            return "the other way round" if self.expected else "worse"
        return "not decided"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PowerLaw:
    """ln L = constant - size · ln N - data · ln D, with L bits per byte, N parameters, D tokens.

    The plane has three unknowns. The usual L = E + A/N^a + B/D^b has five, and two budgets cannot distinguish E, B and
    b; so the exponents here are slopes inside the grid, without any claim about values far outside it.
    """

    recipe: str
    constant: float
    size: IntervalEstimate
    data: IntervalEstimate
    residual: float
    """Standard deviation of ln L about the plane."""
    largest_measured: float
    """L of the cell with the largest N · D, averaged over its seeds."""
    largest_predicted: float | None
    """The same, predicted by the plane through all other cells; None if there are too few or they are on one line."""

    def predict(self, parameters: float, tokens: float) -> float:
        """L in bits per byte."""
        return math.exp(self.constant - self.size.value * math.log(parameters) - self.data.value * math.log(tokens))


def estimate(values: Sequence[float]) -> IntervalEstimate:
    """The mean of independent values."""
    mean, count = math.fsum(values) / len(values), len(values)
    if count < 2:
        return IntervalEstimate(value=mean, standard_error=None, low=None, high=None)
    variance = math.fsum((v - mean) ** 2 for v in values) / (count - 1)
    return _interval(mean, math.sqrt(variance / count), count - 1)


def _interval(value: float, error: float, freedom: int) -> IntervalEstimate:
    reach = float(stdtrit(freedom, 0.5 + CONFIDENCE / 2)) * error
    return IntervalEstimate(value=value, standard_error=error, low=value - reach, high=value + reach)


def means(points: Sequence[Point]) -> list[Mean]:
    """One per recipe, scale and budget, in the order of the points."""
    groups: dict[tuple[str, str, int], list[Point]] = {}
    for point in points:
        groups.setdefault((point.recipe, point.scale, point.tokens), []).append(point)
    return [
        Mean(
            recipe=recipe,
            scale=scale,
            tokens=tokens,
            parameters=group[0].parameters,
            seeds=len(group),
            bits=estimate([p.bits_per_byte for p in group]),
            repeated=math.fsum(p.repeated for p in group) / len(group),
        )
        for (recipe, scale, tokens), group in groups.items()
    ]


def differences(points: Sequence[Point], baseline: str | None = None) -> list[Difference]:
    """The comparison of each two neighbors in the order of the recipes, or of the baseline with every other recipe, at
    each scale and budget."""
    recipes = list(dict.fromkeys(p.recipe for p in points))
    pairs = list(itertools.pairwise(recipes))
    if baseline is not None:
        pairs = [(baseline, recipe) for recipe in recipes if recipe != baseline]
    bits = {(p.recipe, p.scale, p.tokens, p.seed): p.bits_per_byte for p in points}
    seeds = list(dict.fromkeys(p.seed for p in points))
    found = []
    for scale, tokens in dict.fromkeys((p.scale, p.tokens) for p in points):
        for worse, better in pairs:
            each = tuple(bits[worse, scale, tokens, s] - bits[better, scale, tokens, s] for s in seeds)
            difference = Difference(
                worse=worse,
                better=better,
                scale=scale,
                tokens=tokens,
                each=each,
                bits=estimate(each),
                expected=baseline is None,
            )
            found.append(difference)
    return found


def agreement(cells: Sequence[Mean], published: Mapping[str, float]) -> float | None:
    """Rank correlation of the means, lower bits first, with published results, higher ones first; None for fewer than
    three recipes or equal results."""
    known = [cell for cell in cells if cell.recipe in published]
    bits, theirs = [-cell.bits.value for cell in known], [published[cell.recipe] for cell in known]
    if len(known) < 3 or len(set(bits)) == 1 or len(set(theirs)) == 1:
        return None
    return float(spearmanr(bits, theirs).statistic)


def fit_power_law(cells: Sequence[Mean]) -> PowerLaw | None:
    """Least squares over the cells of one recipe; None if it has too few sizes, budgets or cells."""
    if len({c.parameters for c in cells}) < 2 or len({c.tokens for c in cells}) < 2 or len(cells) < 4:
        return None
    design = np.array([[1.0, -math.log(c.parameters), -math.log(c.tokens)] for c in cells])
    logs = np.array([math.log(c.bits.value) for c in cells])
    solution = np.linalg.lstsq(design, logs)[0]
    freedom = len(cells) - 3
    variance = float(((logs - design @ solution) ** 2).sum()) / freedom
    errors = np.sqrt(variance * np.diag(np.linalg.inv(design.T @ design)))
    largest = max(range(len(cells)), key=lambda i: cells[i].parameters * cells[i].tokens)
    others = [i for i in range(len(cells)) if i != largest]
    predicted = None
    if np.linalg.matrix_rank(design[others]) == 3:
        predicted = math.exp(float(design[largest] @ np.linalg.lstsq(design[others], logs[others])[0]))
    return PowerLaw(
        recipe=cells[0].recipe,
        constant=float(solution[0]),
        size=_interval(float(solution[1]), float(errors[1]), freedom),
        data=_interval(float(solution[2]), float(errors[2]), freedom),
        residual=math.sqrt(variance),
        largest_measured=cells[largest].bits.value,
        largest_predicted=predicted,
    )
