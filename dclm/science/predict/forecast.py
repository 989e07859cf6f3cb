"""The ranking of corpora at a large scale, how certain it is, and which run would be most informative per FLOP."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Literal

import numpy as np
from scipy.special import ndtr, xlogy

from dclm.core.errors import ConfigError
from dclm.science.predict.design import group_runs, usual_design
from dclm.science.predict.model import Array, Prediction
from dclm.science.predict.records import BANDS, TrainedRun, at_scale, sampling_variances
from dclm.science.predict.transfer import MIN_OTHERS, predict, transfer_noise, transfer_slope

CONFIDENCE = 0.95
_DRAWS = 20_000
_SEED = 20240617
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(24)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Standing:
    """One corpus at the large scale."""

    corpus: str
    core: float
    """Predicted CORE of one run in the usual design."""
    low: float
    """Ends of the 95 % interval."""
    high: float
    p_best: float
    """Probability that it is the best of all corpora in the forecast."""
    runs: int
    """Number of runs at the small scale on which the prediction is based."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """Two corpora at the large scale."""

    a: str
    b: str
    p_a_better: float
    difference: float
    """CORE of A minus that of B."""
    low: float
    high: float
    verdict: Literal["a", "b", "too close to say"]
    """Too close to say: the 95 % interval contains zero."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NextRun:
    """A possible run, and its expected information."""

    corpus: str
    scale: str
    seed: int
    """Number of this run among those of the corpus at that scale, in its usual design."""
    flops: float
    bits: float
    """Expected decrease of the entropy of all pairwise orders."""
    bits_per_exaflop: float


@dataclasses.dataclass(frozen=True, kw_only=True)
class Forecast:
    """The forecast for the corpora at the large scale."""

    small: str
    large: str
    order: tuple[Standing, ...]
    """Best first."""
    pairs: tuple[Call, ...]
    next_runs: tuple[NextRun, ...]
    """By expected information per FLOP, best first; empty if there is nothing to decide."""


def forecast(runs: Sequence[TrainedRun], small: str, large: str, corpora: Sequence[str]) -> Forecast:
    """Predict `corpora` at the scale `large` from their runs at `small` and from all runs of other corpora.

    Raises: ConfigError if the records do not suffice (see `predict`), or for fewer than two corpora.
    """
    if len(set(corpora)) < 2:
        raise ConfigError("dclm predict", f"found {len(set(corpora))} corpus to rank, allowed: two or more")
    names = list(dict.fromkeys(corpora))
    # the question is which corpus is better, so all of them are predicted for the same, usual design
    visible = [r for r in runs if r.corpus not in set(names) or r.scale != large]
    said = predict(visible, small, large, names)
    best = _probability_best(said)
    used = group_runs(at_scale(runs, small), "equal")
    order = [
        Standing(
            corpus=name,
            core=said.one(i).mean,
            low=said.one(i).quantile(0.5 - CONFIDENCE / 2),
            high=said.one(i).quantile(0.5 + CONFIDENCE / 2),
            p_best=float(best[i]),
            runs=len(used[name]),
        )
        for i, name in enumerate(names)
    ]
    pairs = [_call(said, names, i, j) for i, j in itertools.combinations(range(len(names)), 2)]
    return Forecast(
        small=small,
        large=large,
        order=tuple(sorted(order, key=lambda s: -s.core)),
        pairs=tuple(pairs),
        next_runs=tuple(_next_runs(runs, small, large, names, said)),
    )


def run_spread(runs: Sequence[TrainedRun]) -> float:
    """Standard deviation of CORE between runs that differ in nothing known, pooled over corpora.

    If no corpus was run twice in one design, only the sampling error of the items: then it is too small.
    """
    groups: dict[tuple[object, ...], list[float]] = {}
    for run in runs:
        groups.setdefault((run.corpus, run.design), []).append(run.core)
    repeated = [group for group in groups.values() if len(group) > 1]
    if not repeated:
        return float(np.sqrt(sampling_variances(runs).mean() / len(sampling_variances(runs))))
    squares = sum(float(((np.array(g) - np.mean(g)) ** 2).sum()) for g in repeated)
    return float(np.sqrt(squares / sum(len(g) - 1 for g in repeated)))


def _call(said: Prediction, names: Sequence[str], i: int, j: int) -> Call:
    difference = said.difference(i, j)
    low, high = difference.quantile(0.5 - CONFIDENCE / 2), difference.quantile(0.5 + CONFIDENCE / 2)
    return Call(
        a=names[i],
        b=names[j],
        p_a_better=difference.above(0.0),
        difference=difference.mean,
        low=low,
        high=high,
        verdict="a" if low > 0 else "b" if high < 0 else "too close to say",
    )


def _probability_best(said: Prediction) -> Array:
    """[corpora], by sampling from the joint prediction with a fixed seed."""
    generator = np.random.default_rng(_SEED)
    size = said.means.shape[1]
    wins = np.zeros(size)
    for k, count in enumerate(generator.multinomial(_DRAWS, said.weights)):
        if count:
            normal = generator.multivariate_normal(np.zeros(size), said.covariances[k], size=count, method="eigh")
            stretched = normal * np.sqrt(said.freedom / generator.chisquare(said.freedom, size=count))[:, None]
            wins += np.bincount((said.means[k] + stretched).argmax(axis=1), minlength=size)
    return wins / _DRAWS


def _next_runs(
    runs: Sequence[TrainedRun], small: str, large: str, names: Sequence[str], said: Prediction
) -> list[NextRun]:
    """Every run of one more seed at the small scale, at the large one, and at the scales in between."""
    mean, covariance = _moments(said)
    scales = list(BANDS)
    found = []
    for scale in scales[scales.index(small) : scales.index(large) + 1]:
        here = at_scale(runs, scale)
        if not here:
            continue
        usual = usual_design(here)
        flops = float(np.median([run.flops for run in here if run.design == usual]))
        for index, name in enumerate(names):
            made = sum(run.corpus == name and run.design == usual for run in here)
            if scale not in (small, large) and any(run.corpus == name for run in here):
                continue  # that run exists: predict from its scale instead
            noise = _observation_noise(runs, (small, scale, large), names, float(covariance[index, index]), made)
            if noise is None:
                continue
            bits = _information(mean, covariance, index, noise)
            found.append(
                NextRun(
                    corpus=name,
                    scale=scale,
                    seed=made + 1,
                    flops=flops,
                    bits=bits,
                    bits_per_exaflop=bits / (flops / 1e18),
                )
            )
    return sorted((run for run in found if run.bits > 0), key=lambda run: -run.bits_per_exaflop)


def _observation_noise(
    runs: Sequence[TrainedRun], scales: tuple[str, str, str], names: Sequence[str], variance: float, made: int
) -> float | None:
    """Variance with which one more run at the middle scale observes the score at the large one; None: it does not."""
    small, scale, large = scales
    spread = run_spread(at_scale(runs, scale))
    if scale == large:
        return spread**2
    others = [run for run in runs if run.corpus not in set(names)]
    if scale == small:  # it only makes the mean of this scale's runs more precise
        count = max(made, 1)
        gained = (transfer_slope(others, small, large) * spread) ** 2 * (1 / count - 1 / (count + 1))
        return None if gained <= 0 or gained >= variance else variance**2 / gained - variance
    both = {r.corpus for r in at_scale(others, scale)} & {r.corpus for r in at_scale(others, large)}
    return transfer_noise(others, scale, large) if len(both) >= MIN_OTHERS else None


def _moments(said: Prediction) -> tuple[Array, Array]:
    """Mean [corpora] and covariance [corpora, corpora] of the mixture."""
    mean = said.weights @ said.means
    wider = said.freedom / max(said.freedom - 2, 1)
    apart = said.means - mean
    covariance = np.einsum("k,kij->ij", said.weights, said.covariances * wider)
    return mean, covariance + np.einsum("k,ki,kj->ij", said.weights, apart, apart)


def _information(mean: Array, covariance: Array, observed: int, noise: float) -> float:
    """Expected decrease, in bits, of the summed entropies of all pairwise orders after observing one corpus."""
    total = 0.0
    for i, j in itertools.combinations(range(len(mean)), 2):
        gap = float(mean[i] - mean[j])
        variance = float(covariance[i, i] + covariance[j, j] - 2 * covariance[i, j])
        learned = float(covariance[i, observed] - covariance[j, observed]) ** 2
        learned = min(learned / (float(covariance[observed, observed]) + noise), variance * (1 - 1e-9))
        after = (gap + np.sqrt(learned) * _NODES) / np.sqrt(variance - learned)
        expected = float(_WEIGHTS @ _entropy(ndtr(after))) / float(_WEIGHTS.sum())
        total += float(_entropy(ndtr(np.array([gap / np.sqrt(variance)])))[0]) - expected
    return total


def _entropy(probability: Array) -> Array:
    entropy: Array = -(xlogy(probability, probability) + xlogy(1 - probability, 1 - probability)) / np.log(2)
    return entropy
