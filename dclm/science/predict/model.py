"""The regression from task scores at a small scale to CORE at a large one.

    score(large) = level + a · CORE(small) + Σ w_t · z_t(small) + noise

z_t is the centered accuracy on task t divided by its spread between corpora and multiplied by the square root of its
reliability (the fraction of that spread that is not sampling noise). The weights w_t have a common normal prior
centered at zero, so that the model falls back to a line through CORE if the data support nothing more. The strength of
the tasks relative to CORE, and the size of the noise, are integrated over a grid by their marginal likelihood; the
scale of the scores is integrated in closed form. A prediction is therefore a mixture of Student-t distributions, and it
is as wide as a handful of corpora warrants.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

Array = npt.NDArray[np.float64]
RATIOS = (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)
"""Prior variance explained by the single tasks, relative to that explained by CORE."""
NOISES = tuple(float(x) for x in np.geomspace(0.02, 20.0, 16))
"""Variance of the noise, relative to what the features explain."""
_BISECTIONS = 60


@dataclasses.dataclass(frozen=True)
class Mixture:
    """A mixture of Student-t distributions with the same degrees of freedom."""

    weights: Array
    """[k], of sum 1."""
    means: Array
    """[k]"""
    scales: Array
    """[k]"""
    freedom: int

    def above(self, value: float) -> float:
        """Probability of more than `value`."""
        return float(self.weights @ stdtr(self.freedom, (self.means - value) / self.scales))

    @property
    def mean(self) -> float:
        return float(self.weights @ self.means)

    @property
    def deviation(self) -> float:
        """Standard deviation; the t distribution's own if it has one (three degrees of freedom or more)."""
        wider = self.freedom / max(self.freedom - 2, 1)
        variance = self.weights @ (self.scales**2 * wider + (self.means - self.mean) ** 2)
        return float(np.sqrt(variance))

    def quantile(self, share: float) -> float:
        """The value below which a fraction `share` of the probability lies."""
        reach = 1e3 * float(self.scales.max())
        low, high = float(self.means.min()) - reach, float(self.means.max()) + reach
        for _ in range(_BISECTIONS):
            middle = (low + high) / 2
            if 1 - self.above(middle) < share:
                low = middle
            else:
                high = middle
        return (low + high) / 2


@dataclasses.dataclass(frozen=True)
class Prediction:
    """The joint prediction for several corpora: a mixture of multivariate t distributions."""

    weights: Array
    """[k]"""
    means: Array
    """[k, corpora]"""
    covariances: Array
    """[k, corpora, corpora] covariance of the scores to be measured, including noise."""
    noise: Array
    """[k] variance of the noise, which is independent for every score."""
    freedom: int

    def one(self, index: int) -> Mixture:
        """The score of a corpus."""
        scales = np.sqrt(self.covariances[:, index, index])
        return Mixture(self.weights, self.means[:, index], scales, self.freedom)

    def difference(self, first: int, second: int) -> Mixture:
        """The score of the first corpus minus that of the second."""
        variances = (
            self.covariances[:, first, first]
            + self.covariances[:, second, second]
            - 2 * self.covariances[:, first, second]
        )
        return Mixture(self.weights, self.means[:, first] - self.means[:, second], np.sqrt(variances), self.freedom)


def fit_and_predict(
    train: Array, scores: Array, noise: Array, new: Array, shifts: Sequence[float] | None = None
) -> Prediction:
    """Fit on `train` [n, tasks] with `scores` [n] at the large scale; predict for `new` [m, tasks].

    `noise` [tasks] is the sampling variance of each task; `shifts` [m] is added to the predicted scores. n is 3 or
    more. Everything that is learned, including the tasks' spread, is learned from `train`.
    """
    n = len(train)
    features = np.concatenate([train, new])
    spread = np.maximum(train.std(axis=0, ddof=1), 1e-9)
    reliability = np.maximum(spread**2 - noise, 0.0) / spread**2
    core = features.mean(axis=1)
    core = (core - core[:n].mean()) / max(core[:n].std(ddof=1), 1e-9)
    tasks = (features - train.mean(axis=0)) / spread * np.sqrt(reliability)
    tasks /= max(float(np.sqrt((tasks[:n] ** 2).sum() / (n - 1))), 1e-9)
    by_core, by_task = np.outer(core, core), tasks @ tasks.T
    evidence, means, covariances, noises = [], [], [], []
    for ratio in RATIOS:
        kernel = (by_core + ratio * by_task) / (1 + ratio)
        values, vectors = np.linalg.eigh(kernel[:n, :n])
        for level in NOISES:
            inverse = (vectors / (values + level)) @ vectors.T
            ones = inverse.sum(axis=1)
            mean = float(ones @ scores / ones.sum())
            rest = scores - mean
            variance = float(rest @ inverse @ rest) / (n - 1)
            log_determinant = np.log(values + level).sum() + np.log(ones.sum())
            evidence.append(-0.5 * (log_determinant + (n - 1) * np.log(variance)))
            cross = kernel[n:, :n]
            left = 1 - cross @ ones
            covariance = kernel[n:, n:] - cross @ inverse @ cross.T + np.outer(left, left) / ones.sum()
            means.append(mean + cross @ inverse @ rest)
            covariances.append(variance * (covariance + level * np.eye(len(new))))
            noises.append(variance * level)
    weights = np.exp(np.array(evidence) - max(evidence))
    moved = np.array(means) + (0.0 if shifts is None else np.array(shifts))
    return Prediction(weights / weights.sum(), moved, np.array(covariances), np.array(noises), n - 1)
