"""Loss as a function of the mixture: a log-linear law, and boosted trees as a check on it.

    log-linear: loss = c + exp(k + a · w)         (RegMix, data mixing laws, Olmix)

The law has one number per source, so it can extrapolate beyond the proxies; trees cannot. The uncertainty of either
comes from refitting it on resampled proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import minimize

from dclm.core.errors import ConfigError
from dclm.science.mix.table import Array

ModelName = Literal["log-linear", "trees"]
MIN_PROXIES = 8
_RIDGE = 3e-4
"""Weight of mean a² in the objective; losses are in standard deviations. It matters only where the proxies do not
decide."""
_HUBER = 1.0
"""Residual, in standard deviations of the losses, beyond which a proxy counts linearly: runs that failed."""
_NORMAL = 1.4826
"""Standard deviation of a normal distribution per median absolute deviation, which failed runs do not affect."""
_FLOORS = (0.1, 0.5, 1.0, 2.0)
"""Initial values of c, in standard deviations below the smallest loss. The objective is not convex in c."""
_MAX_EXPONENT = 8.0
_TREES = 300
_LEARNING_RATE = 0.05
_SEED = 20240701


class Model(Protocol):
    """A fitted function of the mixture."""

    def predict(self, weights: Array) -> Array:
        """Loss [n] of the mixtures [n, sources]."""


class LogLinear:
    """loss = mean + scale · (c + exp(k + a · w)); c, k and a are in `theta`."""

    def __init__(self, mean: float, scale: float, theta: Array) -> None:
        self.mean, self.scale, self.theta = mean, scale, theta

    def predict(self, weights: Array) -> Array:
        """See `Model.predict`."""
        loss: Array = self.mean + self.scale * (self.theta[0] + self._exponential(weights))
        return loss

    def gradient(self, weights: Array) -> Array:
        """Derivative of the loss with respect to each share [sources], at one mixture [sources]."""
        gradient: Array = self.scale * self._exponential(weights[None])[0] * self.theta[2:]
        return gradient

    def _exponential(self, weights: Array) -> Array:
        exponential: Array = np.exp(np.minimum(self.theta[1] + weights @ self.theta[2:], _MAX_EXPONENT))
        return exponential


class Trees:
    """Gradient-boosted trees by scikit-learn."""

    def __init__(self, weights: Array, losses: Array, seed: int) -> None:
        from sklearn.ensemble import HistGradientBoostingRegressor

        self._model = HistGradientBoostingRegressor(
            max_iter=_TREES,
            learning_rate=_LEARNING_RATE,
            max_leaf_nodes=8,
            min_samples_leaf=min(10, max(2, len(losses) // 10)),
            early_stopping=False,
            random_state=seed,
        )
        self._model.fit(weights, losses)

    def predict(self, weights: Array) -> Array:
        """See `Model.predict`."""
        return np.asarray(self._model.predict(weights), dtype=np.float64)


def fit_log_linear(weights: Array, losses: Array, start: LogLinear | None = None) -> LogLinear:
    """The law with the smallest Huber loss over the proxies, from several starting points, or only from `start`.

    Raises: ConfigError for fewer than eight proxies.
    """
    _check(weights)
    mean = float(np.median(losses))
    scale = float(np.median(np.abs(losses - mean))) * _NORMAL or float(losses.std()) or 1.0
    targets = (losses - mean) / scale
    starts = [start.theta] if start is not None else [_start(weights, targets, floor) for floor in _FLOORS]
    options = {"maxiter": 500 if start is None else 100}
    found = [
        minimize(_objective, theta, args=(weights, targets), jac=True, method="L-BFGS-B", options=options)
        for theta in starts
    ]
    return LogLinear(mean, scale, np.asarray(min(found, key=lambda f: f.fun).x))


def fit(name: ModelName, weights: Array, losses: Array, start: Model | None = None, seed: int = _SEED) -> Model:
    """Fit the model named `name`; see `fit_log_linear`."""
    _check(weights)
    if name == "trees":
        return Trees(weights, losses, seed)
    return fit_log_linear(weights, losses, start if isinstance(start, LogLinear) else None)


def resampled(name: ModelName, weights: Array, losses: Array, count: int, first: Model) -> list[Model]:
    """Refits on proxies drawn with replacement, with the same draws for the same number of proxies."""
    draws = (np.random.default_rng((_SEED, i)).integers(len(losses), size=len(losses)) for i in range(count))
    return [fit(name, weights[rows], losses[rows], first, _SEED + i) for i, rows in enumerate(draws)]


def cross_validated(name: ModelName, weights: Array, losses: Array, folds: int = 5) -> Array:
    """The loss of each proxy [n], predicted without it and the rest of its fold."""
    order = np.random.default_rng(_SEED).permutation(len(losses))
    predicted = np.empty(len(losses))
    for rows in np.array_split(order, folds):
        others = np.setdiff1d(order, rows)
        predicted[rows] = fit(name, weights[others], losses[others]).predict(weights[rows])
    return predicted


def spearman(first: Array, second: Array) -> float:
    """Spearman's rank correlation."""
    from scipy.stats import spearmanr

    return float(spearmanr(first, second)[0])


def pairs_right(predicted: Array, true: Array) -> float:
    """Fraction of the pairs in the right order."""
    i, j = np.triu_indices(len(true), 1)
    return float(((predicted[i] > predicted[j]) == (true[i] > true[j])).mean())


def interval(members: Sequence[Model], at: Array, of: Callable[[Array], Array] = lambda x: x) -> tuple[Array, Array]:
    """2.5 and 97.5 % of the members' predictions, [n] each."""
    low, high = np.quantile([of(member.predict(at)) for member in members], [0.025, 0.975], axis=0)
    return low, high


def _check(weights: Array) -> None:
    if len(weights) < MIN_PROXIES:
        raise ConfigError("mixtures", f"found {len(weights)} proxies with losses, allowed: {MIN_PROXIES} or more")


def _start(weights: Array, targets: Array, floor: float) -> Array:
    """A ridge regression of log(loss - c) on the mixture, with c below the smallest loss by `floor`."""
    c = float(targets.min()) - floor
    design = np.column_stack([np.ones(len(weights)), weights])
    penalty = np.diag([1e-9] + [1e-4 * len(weights)] * weights.shape[1])
    logs = np.log(np.maximum(targets - c, 0.02))
    return np.concatenate([[c], np.linalg.solve(design.T @ design + penalty, design.T @ logs)])


def _objective(theta: Array, weights: Array, targets: Array) -> tuple[float, Array]:
    count, sources = weights.shape
    exponential = np.exp(np.clip(theta[1] + weights @ theta[2:], -30.0, _MAX_EXPONENT))
    rest = theta[0] + exponential - targets
    size = np.abs(rest)
    losses = np.where(size <= _HUBER, rest**2 / 2, _HUBER * (size - _HUBER / 2))
    value = float(losses.mean() + _RIDGE * (theta[2:] @ theta[2:]) / sources / 2)
    by_loss = np.clip(rest, -_HUBER, _HUBER) / count
    by_exponent = by_loss * exponential
    by_source = weights.T @ by_exponent + _RIDGE * theta[2:] / sources
    return value, np.concatenate([[by_loss.sum(), by_exponent.sum()], by_source])
