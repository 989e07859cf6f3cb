"""The mixture with the smallest loss by fitted laws, under constraints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import minimize

from dclm.science.mix.constraints import Feasible, into_bounds
from dclm.science.mix.models import Law, fit_law
from dclm.science.mix.table import Array, Proxies

_LOCAL_FITS = 2
_NOTHING = 1e-6
"""Shares below this are rounding errors of the solver."""


def total_loss(laws: Sequence[Law], importance: Sequence[float], weights: Array) -> float:
    """The weighted sum of the targets' losses at one mixture [sources]."""
    return float(sum(i * law.predict(weights[None])[0] for i, law in zip(importance, laws, strict=True)))


def minimize_loss(
    laws: Sequence[Law], importance: Sequence[float], allowed: Feasible, starts: Sequence[Array]
) -> Array:
    """The mixture with the smallest `total_loss` that is reached from `starts`.

    With log-linear laws, and no negative importance, the problem is convex and one start is enough.
    """
    scale = sum(abs(i) * law.scale for i, law in zip(importance, laws, strict=True)) or 1.0

    def loss(weights: Array) -> float:
        return total_loss(laws, importance, weights) / scale

    def gradient(weights: Array) -> Array:
        parts = [i * law.gradient(weights) for i, law in zip(importance, laws, strict=True)]
        total: Array = np.sum(parts, axis=0) / scale
        return total

    rules: list[dict[str, object]] = [
        {"type": "eq", "fun": lambda w: w.sum() - 1, "jac": lambda w: np.ones_like(w)},
    ]
    if allowed.max_divergence is not None:
        limit, natural = allowed.max_divergence, allowed.natural
        rules.append(
            {
                "type": "ineq",
                "fun": lambda w: limit - float((np.maximum(w, 1e-12) * np.log(np.maximum(w, 1e-12) / natural)).sum()),
                "jac": lambda w: -(np.log(np.maximum(w, 1e-12) / natural) + 1),
            }
        )
    found = []
    for start in starts:
        result = minimize(
            loss,
            start,
            jac=gradient,
            method="SLSQP",
            bounds=list(zip(allowed.low, allowed.high, strict=True)),
            constraints=rules,
            options={"maxiter": 200, "ftol": 1e-9},
        )
        rounded = np.where(result.x < _NOTHING, 0.0, result.x)
        weights = into_bounds(np.clip(rounded, allowed.low, allowed.high), allowed.low, allowed.high)
        if allowed.max_divergence is None or allowed.divergence(weights) <= allowed.max_divergence + 1e-3:
            found.append(weights)
    return min(found or [starts[0]], key=loss)


def local_optimum(
    proxies: Proxies, importance: Sequence[float], allowed: Feasible, laws: Sequence[Law], starts: Sequence[Array]
) -> Array:
    """The best mixture by laws that are fitted again with emphasis on the proxies near `starts[0]`.

    Half of the proxies are nearer than the distance (total variation) at which the emphasis has fallen to 1/e.
    """
    found = starts[0]
    for _ in range(_LOCAL_FITS):
        distances = np.abs(proxies.weights - found).sum(axis=1)
        emphasis = np.exp(-((distances / max(float(np.median(distances)), _NOTHING)) ** 2))
        near = [
            fit_law(proxies.weights, column, law.name, law, emphasis)
            for column, law in zip(proxies.losses.T, laws, strict=True)
        ]
        found = minimize_loss(near, importance, allowed, [found, *starts])
    return found


def promising(laws: Sequence[Law], importance: Sequence[float], allowed: Feasible, weights: Array) -> list[Array]:
    """The proxy that the laws prefer, moved into the bounds, as another starting point."""
    losses = [total_loss(laws, importance, row) for row in weights]
    return [into_bounds(weights[int(np.argmin(losses))], allowed.low, allowed.high)]
