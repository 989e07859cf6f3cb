"""How hard to filter: the best share of the documents to keep, as a function of compute and repeats.

A smaller share is better text that is read more often. The fit is a plane in size and tokens, as in `fit_power_law`,
with a parabola over the share whose lowest point moves with compute and with passes over the pool:

    ln L = constant - size · ln N - data · ln D + x · (slope + compute · ln C + passes · ln R) + curve · x²

x: ln of the share, N: parameters, D: training tokens, C = 6 · N · D, R: passes over the whole pool, D / (its tokens).
Passes over what was kept are R / share. The best share is exp(-(slope + compute · ln C + passes · ln R) / (2 · curve)),
at most 1. Intervals are 95 %, from refits on the fit's values with its residuals in other places (residual bootstrap).
They contain both the noise of the seeds and the error of the fit.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from dclm.science.experiment.run import Point

RESAMPLES = 400
_SEED = 20240703
_TERMS = 7
Array = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BestShare:
    """One scale and budget."""

    scale: str
    parameters: int
    tokens: int
    passes: float
    """Passes over the whole pool."""
    measured: float
    """The share whose runs have the lowest mean loss."""
    fitted: float | None
    """The best share by the fit, within the range of those that were run; None if the fit has no lowest point."""
    low: float | None
    """Ends of its interval; None if most refits have no lowest point."""
    high: float | None

    @property
    def compute(self) -> float:
        """FLOPs: 6 · parameters · tokens."""
        return 6.0 * self.parameters * self.tokens


@dataclasses.dataclass(frozen=True, kw_only=True)
class ShareFit:
    """The fit for one recipe."""

    recipe: str
    theta: tuple[float, ...]
    """constant, size, data, slope, compute, passes, curve."""
    residual: float
    """Standard deviation of ln L about the fit."""
    by_compute: tuple[float, float, float] | None
    """How much the ln of the best share grows per unit of ln C at the same passes, with the ends of its interval; None
    if the fit has no lowest point."""
    by_passes: tuple[float, float, float] | None
    """The same per unit of ln R at the same compute."""
    cells: tuple[BestShare, ...]
    shares: tuple[float, ...]
    """The shares that were run, in rising order."""

    def predict(self, cell: BestShare, share: float) -> float:
        """Bits per byte."""
        row = _row(cell.parameters, cell.tokens, share, cell.passes)
        return math.exp(float(np.dot(row, self.theta)))


def fit_share(points: Sequence[Point]) -> list[ShareFit]:
    """One per recipe whose share was varied; none if it has fewer than three shares or too few runs or axes.

    The sizes and the budgets must both vary, since compute and passes cannot be told apart otherwise.
    """
    found = []
    varied = [p for p in points if p.share_kept is not None]
    for recipe in dict.fromkeys(base_name(p) for p in varied):
        chosen = [p for p in varied if base_name(p) == recipe]
        axes = ({p.share_kept for p in chosen}, {p.parameters for p in chosen}, {p.tokens for p in chosen})
        if len(axes[0]) >= 3 and min(map(len, axes[1:])) >= 2 and len(chosen) > _TERMS:
            found.append(_fit(recipe, chosen))
    return found


def base_name(point: Point) -> str:
    """The recipe's name in the experiment file."""
    return point.recipe if point.share_kept is None else point.recipe.removesuffix(f"-keep-{point.share_kept:g}")


def _fit(recipe: str, points: Sequence[Point]) -> ShareFit:
    shares = sorted({float(p.share_kept or 0) for p in points})
    pool = _pool_passes(points)
    rows = np.array([_row(p.parameters, p.tokens, float(p.share_kept or 0), pool[p.tokens]) for p in points])
    logs = np.log([p.bits_per_byte for p in points])
    theta = np.linalg.lstsq(rows, logs)[0]
    refits = _refits(rows, logs, theta)
    rest = logs - rows @ theta
    cells = []
    for scale, parameters, tokens in dict.fromkeys((p.scale, p.parameters, p.tokens) for p in points):
        here = [p for p in points if (p.scale, p.tokens) == (scale, tokens)]
        means = {s: float(np.mean([p.bits_per_byte for p in here if p.share_kept == s])) for s in shares}
        best = [_best(t, parameters, tokens, pool[tokens], shares) for t in (theta, *refits)]
        known = [share for share in best[1:] if share is not None]
        low, high = np.quantile(known, [0.025, 0.975]) if 2 * len(known) > len(refits) else (None, None)
        cells.append(
            BestShare(
                scale=scale,
                parameters=parameters,
                tokens=tokens,
                passes=pool[tokens],
                measured=min(means, key=means.__getitem__),
                fitted=best[0],
                low=None if low is None else float(low),
                high=None if high is None else float(high),
            )
        )
    return ShareFit(
        recipe=recipe,
        theta=tuple(map(float, theta)),
        residual=math.sqrt(float(rest @ rest) / max(1, len(points) - _TERMS)),
        by_compute=_exponent(theta, refits, 4),
        by_passes=_exponent(theta, refits, 5),
        cells=tuple(sorted(cells, key=lambda c: c.compute)),
        shares=tuple(shares),
    )


def _pool_passes(points: Sequence[Point]) -> dict[int, float]:
    """Budget → passes over the whole pool, whose size is estimated from the runs with the largest share."""
    largest = max(p.share_kept or 0.0 for p in points)
    size = float(np.mean([p.tokens / (p.passes or 1.0) / largest for p in points if p.share_kept == largest]))
    return {p.tokens: p.tokens / size for p in points}


def _row(parameters: float, tokens: float, share: float, passes: float) -> Array:
    x, compute = math.log(share), math.log(6 * parameters * tokens)
    return np.array(
        [1.0, -math.log(parameters), -math.log(tokens), x, x * compute, x * math.log(passes), x * x], dtype=np.float64
    )


def _best(theta: Array, parameters: int, tokens: int, passes: float, shares: Sequence[float]) -> float | None:
    """The lowest point of the parabola, within the shares that were run; None if it opens downwards."""
    _, _, _, slope, compute, by_passes, curve = map(float, theta)
    if curve <= 0:
        return None
    x = -(slope + compute * math.log(6 * parameters * tokens) + by_passes * math.log(passes)) / (2 * curve)
    return math.exp(min(max(x, math.log(shares[0])), math.log(shares[-1])))


def _exponent(theta: Array, refits: Sequence[Array], term: int) -> tuple[float, float, float] | None:
    if theta[6] <= 0:
        return None
    low, high = np.quantile([-t[term] / (2 * t[6]) for t in refits if t[6] > 0], [0.025, 0.975])
    return float(-theta[term] / (2 * theta[6])), float(low), float(high)


def _refits(rows: Array, logs: Array, theta: Array) -> list[Array]:
    fitted = rows @ theta
    rest = (logs - fitted) * math.sqrt(len(logs) / max(1, len(logs) - _TERMS))
    generator = np.random.default_rng(_SEED)
    return [np.linalg.lstsq(rows, fitted + generator.choice(rest, size=len(rest)))[0] for _ in range(RESAMPLES)]
