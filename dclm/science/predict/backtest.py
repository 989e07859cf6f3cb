"""The test of predictions on published runs: every pair of corpora, with both left out of the fit that predicts
them."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence

import numpy as np

from dclm.core.errors import ConfigError
from dclm.science.predict.design import Designs, group_runs
from dclm.science.predict.records import TrainedRun, at_scale
from dclm.science.predict.transfer import MIN_OTHERS, predict

MIN_CORPORA = MIN_OTHERS + 2
BINS = (0.5, 0.6, 0.75, 0.9, 1.0)
"""Edges of the bins in which stated probabilities are compared with outcomes."""
RESAMPLES = 2000
_SEED = 20240617


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two corpora, and the prediction for them without having seen either."""

    a: str
    b: str
    p_a_better: float
    a_better: bool
    """Whether the mean of A's runs at the large scale is above that of B's."""
    low: float
    """Ends of the 95 % interval of the difference A - B."""
    high: float

    @property
    def said(self) -> float:
        """The probability of the more likely order."""
        return max(self.p_a_better, 1 - self.p_a_better)

    @property
    def right(self) -> bool:
        """Whether the more likely order is the true one."""
        return (self.p_a_better > 0.5) == self.a_better


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bin:
    """Pairs with about the same stated probability."""

    low: float
    high: float
    pairs: int
    said: float | None
    """Mean stated probability; null without any pair."""
    right: float | None
    """Fraction of the pairs that came true."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backtest:
    """The result over all pairs."""

    pairs: tuple[Pair, ...]
    corpora: int
    accuracy: float
    brier: float
    accuracy_interval: tuple[float, float]
    """95 %, by resampling corpora: 105 pairs of 15 corpora are not 105 independent trials."""
    brier_interval: tuple[float, float]
    bins: tuple[Bin, ...]

    def to_json(self) -> dict[str, object]:
        """The form that `dclm predict --backtest --json` prints."""
        plain = dataclasses.asdict(self)
        return {"pairs": list(plain.pop("pairs")), **plain}


def backtest(runs: Sequence[TrainedRun], small: str, large: str, designs: Designs = "used") -> Backtest:
    """Predict each pair of the corpora that have runs at both scales from all other corpora.

    Raises: ConfigError if there are fewer than five such corpora.
    """
    corpora = sorted({r.corpus for r in at_scale(runs, small)} & {r.corpus for r in at_scale(runs, large)})
    if len(corpora) < MIN_CORPORA:
        where = f"--from {small} --to {large}"
        raise ConfigError(
            where, f"found {len(corpora)} corpora with runs at both scales, allowed: {MIN_CORPORA} or more"
        )
    measured = group_runs(at_scale(runs, large), "equal" if designs == "equal" else "ignored")
    truth = {c: float(np.mean([r.core for r in measured[c]])) for c in corpora}
    pairs = []
    for a, b in itertools.combinations(corpora, 2):
        difference = predict(runs, small, large, (a, b), designs).difference(0, 1)
        pairs.append(
            Pair(
                a=a,
                b=b,
                p_a_better=difference.above(0.0),
                a_better=truth[a] > truth[b],
                low=difference.quantile(0.025),
                high=difference.quantile(0.975),
            )
        )
    return Backtest(
        pairs=tuple(pairs),
        corpora=len(corpora),
        accuracy=_accuracy(pairs),
        brier=_brier(pairs),
        accuracy_interval=_interval(pairs, corpora, _accuracy),
        brier_interval=_interval(pairs, corpora, _brier),
        bins=calibration(pairs),
    )


def calibration(pairs: Sequence[Pair]) -> tuple[Bin, ...]:
    """Stated probabilities compared with outcomes, in the bins of `BINS`."""
    found = []
    for low, high in itertools.pairwise(BINS):
        inside = [p for p in pairs if low <= p.said and (p.said < high or high == BINS[-1])]
        said = float(np.mean([p.said for p in inside])) if inside else None
        right = float(np.mean([p.right for p in inside])) if inside else None
        found.append(Bin(low=low, high=high, pairs=len(inside), said=said, right=right))
    return tuple(found)


def _accuracy(pairs: Sequence[Pair], weights: Sequence[float] | None = None) -> float:
    return float(np.average([p.right for p in pairs], weights=weights))


def _brier(pairs: Sequence[Pair], weights: Sequence[float] | None = None) -> float:
    return float(np.average([(p.p_a_better - p.a_better) ** 2 for p in pairs], weights=weights))


def _interval(
    pairs: Sequence[Pair], corpora: Sequence[str], measure: Callable[[Sequence[Pair], Sequence[float]], float]
) -> tuple[float, float]:
    """The weight of a pair is the product of the numbers of times that its two corpora were drawn."""
    generator = np.random.default_rng(_SEED)
    place = {corpus: i for i, corpus in enumerate(corpora)}
    values = []
    for _ in range(RESAMPLES):
        times = np.bincount(generator.integers(len(corpora), size=len(corpora)), minlength=len(corpora))
        weights = [float(times[place[p.a]] * times[place[p.b]]) for p in pairs]
        if sum(weights):
            values.append(measure(pairs, weights))
    low, high = np.quantile(values, [0.025, 0.975])
    return float(low), float(high)
