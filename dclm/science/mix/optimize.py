"""The best mixture under constraints, its gain, the certainty of that gain, and the proxies that would decide it.

A mixture that was chosen because a fit prefers it looks better to that fit than it is. The gain is therefore measured
across halves: proxies are split in two at random, the best mixture is found with one half, and its gain over the
natural mix is predicted by the other half, which had no part in the choice.

No law is exactly right everywhere, and an error far from the best mixture moves it. The laws are therefore fitted again
with more emphasis on the proxies near the mixture that they prefer, as in local regression. The intervals contain the
best mixtures by both fits, and are wider by how much these differ.

Intervals of shares contain what two kinds of repetition give. A half's answer differs from that of all proxies about as
much as the latter from the truth (half-sampling), which shows what other mixtures would have given. Losses drawn anew
around the fit (a bootstrap of residuals, with the fit's own parameters subtracted from the degrees of freedom) show
what noise does at these mixtures, where halves have too few proxies per parameter and lean on the ridge. Resampling
proxies with replacement gave intervals of half the right width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy.stats import t as student

from dclm.core.errors import ConfigError
from dclm.science.mix.constraints import Feasible, into_bounds
from dclm.science.mix.minimum import local_optimum, minimize_loss, promising, total_loss
from dclm.science.mix.models import MIN_PROXIES, Law, choose_law, fit_law
from dclm.science.mix.table import Array, Proxies

Rows = npt.NDArray[np.int64]
SPLITS = 60
MIN_PROXIES_HALVED = 2 * MIN_PROXIES
_SEED = 20240702
_SUGGESTED = 5
CONFIDENCE = 0.99
"""Of the intervals of shares, for all sources at once. At 0.95, one answer in twenty would be outside, and a law of
second order has an error of its own, which so few proxies cannot show."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Share:
    """The result for one source."""

    source: str
    best: float
    low: float
    """Ends of the interval that contains the best shares by halves of the proxies and by losses drawn anew, 99 % for
    all sources at once (Bonferroni), widened by how much the local fit moved the share: the laws' own error, which
    neither can show."""
    high: float
    natural: float
    largest: float
    """The maximum that the constraints allow."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Best:
    """The result of the optimization."""

    shares: tuple[Share, ...]
    predicted: float
    """Weighted loss of the best mixture, by all proxies."""
    natural: float
    """The same for the natural mix, moved into the bounds."""
    gain: float
    """How much lower the best mixture's loss is, measured across halves."""
    gain_low: float
    """Ends of its 95 % interval."""
    gain_high: float
    decided: bool
    """Whether the interval of the gain is above zero. If not, the natural mix is an equally good answer."""
    divergence: float
    """Kullback-Leibler divergence from the natural mix, in nats."""
    leverage: float
    """Leverage of the best mixture in the proxies' design, relative to the largest of any proxy's. Above 1, the answer
    is beyond the proxies."""
    extrapolates: bool
    """Whether the answer is beyond the proxies."""
    distance: float
    """Total variation from the best mixture to the nearest proxy."""
    usual_distance: float
    """Median total variation from a proxy to its nearest neighbor."""
    add: tuple[dict[str, float], ...]
    """Mixtures of proxies to add: best mixtures by halves of the proxies, chosen as far apart as possible."""


def best_mixture(proxies: Proxies, importance: Sequence[float], allowed: Feasible, splits: int = SPLITS) -> Best:
    """Minimize the sum of the targets' predicted losses times `importance` [targets].

    splits: number of divisions into halves, and of sets of losses drawn anew.

    Raises: ConfigError for fewer than sixteen proxies, which halves need.
    """
    weights, losses = proxies.weights, proxies.losses
    if len(weights) < MIN_PROXIES_HALVED:
        what = f"found {len(weights)} proxies with losses, allowed: {MIN_PROXIES_HALVED} or more"
        raise ConfigError("dclm mix best", what, "train more: `dclm mix swarm`")
    laws = [fit_law(weights, column, choose_law(weights, column)) for column in losses.T]
    start = into_bounds(allowed.natural, allowed.low, allowed.high)
    first = minimize_loss(laws, importance, allowed, [start, *promising(laws, importance, allowed, weights)])
    best = local_optimum(proxies, importance, allowed, laws, [first, start])
    generator = np.random.default_rng(_SEED)
    halves = [
        half
        for _ in range(splits)
        for half in _halves(proxies, importance, allowed, generator.permutation(len(weights)), laws, first)
    ]
    optima = [optimum for half in halves for optimum in (half.globally, half.locally)]
    gains = [half.gain for half in halves]
    tail = (1 - CONFIDENCE) / 2 / len(proxies.sources)
    low, high = np.quantile(optima, [tail, 1 - tail], axis=0)
    reach = _reach(proxies, importance, allowed, laws, first, tail, splits)
    low, high = np.minimum(low, best - reach), np.maximum(high, best + reach)
    moved = np.abs(best - first)
    low, high = np.maximum(low - moved, allowed.low), np.minimum(high + moved, allowed.high)
    gain_low, gain_high = np.quantile(gains, [0.025, 0.975])
    inverse = np.linalg.pinv(weights.T @ weights)
    leverage = float(best @ inverse @ best / np.einsum("ij,jk,ik->i", weights, inverse, weights).max())
    apart = np.abs(weights[:, None] - weights[None]).sum(axis=2) / 2 + 2 * np.eye(len(weights))
    return Best(
        shares=tuple(
            Share(source=s, best=float(b), low=float(lo), high=float(hi), natural=float(n), largest=float(most))
            for s, b, lo, hi, n, most in zip(proxies.sources, best, low, high, start, allowed.high, strict=True)
        ),
        predicted=total_loss(laws, importance, best),
        natural=total_loss(laws, importance, start),
        gain=float(np.mean(gains)),
        gain_low=float(gain_low),
        gain_high=float(gain_high),
        decided=bool(gain_low > 0),
        divergence=allowed.divergence(best),
        leverage=leverage,
        extrapolates=leverage > 1,
        distance=float(np.abs(weights - best).sum(axis=1).min() / 2),
        usual_distance=float(np.median(apart.min(axis=1))),
        add=tuple(
            {s: float(x) for s, x in zip(proxies.sources, row, strict=True)} for row in _spread_out(optima, best)
        ),
    )


def _reach(
    proxies: Proxies,
    importance: Sequence[float],
    allowed: Feasible,
    laws: Sequence[Law],
    first: Array,
    tail: float,
    draws: int,
) -> Array:
    """How far the best share of each source may be from the truth because of noise [sources].

    The same proxies get new losses: the laws' own, and residuals of proxies drawn with replacement, the same for all
    targets, because what goes wrong in one run moves all of its losses. Student's t times the root mean square of how
    far this moves the laws' best mixture, `first`.
    """
    weights, count = proxies.weights, len(proxies.weights)
    fitted = np.column_stack([law.predict(weights) for law in laws])
    residuals = proxies.losses - fitted
    parameters = np.array([min(len(law.theta), count // 2) for law in laws])
    residuals = (residuals - residuals.mean(axis=0)) * np.sqrt(count / (count - parameters))
    generator = np.random.default_rng((_SEED, 1))
    found = []
    for _ in range(draws):
        losses = fitted + residuals[generator.integers(count, size=count)]
        again = [fit_law(weights, column, law.name, law) for column, law in zip(losses.T, laws, strict=True)]
        start = minimize_loss(again, importance, allowed, [first])
        drawn = dataclasses.replace(proxies, losses=losses)
        found.append(local_optimum(drawn, importance, allowed, again, [start]))
    freedom = count - int(parameters.max())
    spread: Array = np.sqrt(((np.array(found) - first) ** 2).mean(axis=0))
    return spread * float(student.ppf(1 - tail, freedom))


class _Half(NamedTuple):
    """The finding of one half of the proxies, judged by the other half."""

    globally: Array
    """The best mixture by its laws."""
    locally: Array
    """The best mixture after the local fits."""
    gain: float
    """The gain of the former over the natural mix, as the other half predicts it."""


def _halves(
    proxies: Proxies,
    importance: Sequence[float],
    allowed: Feasible,
    order: Rows,
    laws: Sequence[Law],
    first: Array,
) -> Iterator[_Half]:
    """Both halves of the proxies in this order."""
    start = into_bounds(allowed.natural, allowed.low, allowed.high)
    parts = [
        dataclasses.replace(proxies, weights=proxies.weights[rows], losses=proxies.losses[rows])
        for rows in np.array_split(order, 2)
    ]
    fits = [
        [fit_law(part.weights, c, law.name, law) for c, law in zip(part.losses.T, laws, strict=True)] for part in parts
    ]
    for part, own, other in zip(parts, fits, reversed(fits), strict=True):
        globally = minimize_loss(own, importance, allowed, [start, first])
        yield _Half(
            globally=globally,
            locally=local_optimum(part, importance, allowed, own, [globally, first]),
            gain=total_loss(other, importance, start) - total_loss(other, importance, globally),
        )


def _spread_out(optima: Sequence[Array], best: Array) -> list[Array]:
    """Up to five of the optima, each as far as possible from the best mixture and those chosen before it."""
    chosen: list[Array] = [best]
    for _ in range(min(_SUGGESTED, len(optima))):
        distances = [min(float(np.abs(o - c).sum()) for c in chosen) for o in optima]
        if max(distances) < 1e-3:
            break
        chosen.append(optima[int(np.argmax(distances))])
    return chosen[1:] or [best]
