"""Loss as a function of the mixture: two laws, and boosted trees as a check on them.

    log-linear:    loss = c + exp(k + a · w)                     (RegMix, data mixing laws, Olmix)
    log-quadratic: loss = c + exp(k + a · w + Σ b_ij w_i w_j)    over pairs of sources

A law has one number per source (or pair of sources), so it can extrapolate beyond the proxies; trees cannot. The
log-linear law only depends on one direction of the mixture. It cannot express that two sources complement each other,
and then states a wrong best mixture with a narrow interval; the log-quadratic one can. The uncertainty of each model
comes from refitting it on resampled proxies.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, Protocol

import numpy as np
from scipy.optimize import minimize

from dclm.core.errors import ConfigError
from dclm.science.mix.table import Array

LawName = Literal["log-linear", "log-quadratic"]
ModelName = Literal["log-linear", "log-quadratic", "trees"]
LAWS: tuple[LawName, ...] = ("log-linear", "log-quadratic")
MIN_PROXIES = 8
_RIDGE = 3e-4
"""Weight of mean a² in the objective; losses are in standard deviations. It matters only for effects that the proxies
cannot determine."""
_PAIR_RIDGE = 3e-4
"""The same for the sum of b² over the pairs."""
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


class Law:
    """loss = mean + scale · (c + exp(k + a · w + b · pairs)); c, k, a and b are in `theta`."""

    def __init__(self, name: LawName, mean: float, scale: float, theta: Array) -> None:
        self.name, self.mean, self.scale, self.theta = name, mean, scale, theta

    def predict(self, weights: Array) -> Array:
        """See `Model.predict`."""
        loss: Array = self.mean + self.scale * (self.theta[0] + self._exponential(weights))
        return loss

    def gradient(self, weights: Array) -> Array:
        """Derivative of the loss with respect to each share [sources], at one mixture [sources]."""
        count = len(weights)
        slopes = self.theta[2 : 2 + count].copy()
        if self.name == "log-quadratic":
            first, second = np.triu_indices(count, 1)
            np.add.at(slopes, first, self.theta[2 + count :] * weights[second])
            np.add.at(slopes, second, self.theta[2 + count :] * weights[first])
        gradient: Array = self.scale * self._exponential(weights[None])[0] * slopes
        return gradient

    def _exponential(self, weights: Array) -> Array:
        exponent = self.theta[1] + design(self.name, weights) @ self.theta[2:]
        exponential: Array = np.exp(np.minimum(exponent, _MAX_EXPONENT))
        return exponential


def design(name: LawName, weights: Array) -> Array:
    """What the exponent is linear in: the shares, and for `log-quadratic` also their products by pairs [n, terms]."""
    if name == "log-linear":
        return weights
    first, second = np.triu_indices(weights.shape[1], 1)
    return np.concatenate([weights, weights[:, first] * weights[:, second]], axis=1)


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


def fit_law(
    weights: Array,
    losses: Array,
    name: LawName = "log-linear",
    start: Law | None = None,
    emphasis: Array | None = None,
) -> Law:
    """The law with the smallest Huber loss over the proxies, from several starting points, or only from `start`.

    emphasis: how much each proxy counts [n]; None: all the same. Raises: ConfigError for fewer than eight proxies.
    """
    _check(weights)
    mean = float(np.median(losses))
    scale = float(np.median(np.abs(losses - mean))) * _NORMAL or float(losses.std()) or 1.0
    if start is not None:
        mean, scale = start.mean, start.scale
    targets = (losses - mean) / scale
    counts = np.full(len(losses), 1 / len(losses)) if emphasis is None else emphasis / emphasis.sum()
    terms = design(name, weights)
    ridge = np.full(terms.shape[1], _PAIR_RIDGE)
    ridge[: weights.shape[1]] = _RIDGE / weights.shape[1]
    none = np.zeros(terms.shape[1] - weights.shape[1])
    starts = (
        [start.theta]
        if start is not None
        else [np.concatenate([_start(weights, targets, floor), none]) for floor in _FLOORS]
    )
    options = {"maxiter": 500 if start is None else 100}
    found = [
        minimize(_objective, theta, args=(terms, targets, counts, ridge), jac=True, method="L-BFGS-B", options=options)
        for theta in starts
    ]
    return Law(name, mean, scale, np.asarray(min(found, key=lambda f: f.fun).x))


def fit(name: ModelName, weights: Array, losses: Array, start: Model | None = None, seed: int = _SEED) -> Model:
    """Fit the model named `name`; see `fit_law`."""
    _check(weights)
    if name == "trees":
        return Trees(weights, losses, seed)
    return fit_law(weights, losses, name, start if isinstance(start, Law) else None)


def choose_law(weights: Array, losses: Array) -> LawName:
    """The log-quadratic law, unless the log-linear one predicts proxies that were left out clearly better.

    A law with too many terms makes intervals wide, which they state; one with too few moves the best mixture, which no
    interval shows. So the simpler one must be better by more than one standard error of the difference.
    """
    simple, full = (np.abs(cross_validated(name, weights, losses) - losses) for name in LAWS)
    better = full - simple
    return "log-linear" if better.mean() > better.std(ddof=1) / len(better) ** 0.5 else "log-quadratic"


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


def _objective(theta: Array, terms: Array, targets: Array, counts: Array, ridge: Array) -> tuple[float, Array]:
    exponential = np.exp(np.clip(theta[1] + terms @ theta[2:], -30.0, _MAX_EXPONENT))
    rest = theta[0] + exponential - targets
    size = np.abs(rest)
    losses = np.where(size <= _HUBER, rest**2 / 2, _HUBER * (size - _HUBER / 2))
    value = float(counts @ losses + (ridge * theta[2:]) @ theta[2:] / 2)
    by_loss = np.clip(rest, -_HUBER, _HUBER) * counts
    by_exponent = by_loss * exponential
    by_term = terms.T @ by_exponent + ridge * theta[2:]
    return value, np.concatenate([[by_loss.sum(), by_exponent.sum()], by_term])
