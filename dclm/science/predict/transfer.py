"""Predicts scores of new corpora from the runs of others at two scales: the choice of runs for learning."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from dclm.core.errors import ConfigError
from dclm.science.predict.design import Designs, design_effects, group_runs, mean_effect
from dclm.science.predict.model import Array, Prediction, fit_and_predict
from dclm.science.predict.records import TrainedRun, at_scale, centered, sampling_variances

MIN_OTHERS = 3


def predict(
    runs: Sequence[TrainedRun], small: str, large: str, corpora: Sequence[str], designs: Designs = "used"
) -> Prediction:
    """CORE of `corpora` at the scale `large`, from their runs at `small` and from all runs of other corpora.

    Of their own runs at `large`, only how they were trained is used: number of tokens and learning rate. Corpora
    without such runs are predicted for the usual design. Raises: ConfigError if fewer than three other corpora were run
    at both scales, or if one of `corpora` has no run at `small`.
    """
    wanted = set(corpora)
    sources, targets = at_scale(runs, small), at_scale(runs, large)
    features = group_runs(sources, "equal" if designs == "used" else designs)
    results = group_runs([r for r in targets if r.corpus not in wanted], "equal" if designs == "equal" else "ignored")
    train = sorted((features.keys() & results.keys()) - wanted)
    if len(train) < MIN_OTHERS:
        where = f"from {small} to {large}"
        raise ConfigError(
            where, f"found {len(train)} other corpora with runs at both scales, allowed: {MIN_OTHERS} or more"
        )
    for corpus in corpora:
        if corpus not in features:
            raise ConfigError(f"corpus {corpus}", f"found no run at {small}", "name a scale at which it was trained")
    effects = design_effects([r for r in targets if r.corpus not in wanted]) if designs == "used" else {}
    scores = [float(np.mean([r.core for r in results[c]])) - mean_effect(results[c], effects) for c in train]
    planned = {c: [r for r in targets if r.corpus == c] for c in corpora}
    return fit_and_predict(
        np.array([_profile(features[c]) for c in train]),
        np.array(scores),
        sampling_variances([run for c in train for run in features[c]]),
        np.array([_profile(features[c]) for c in corpora]),
        [mean_effect(planned[c], effects) if planned[c] else 0.0 for c in corpora],
    )


def _profile(runs: Sequence[TrainedRun]) -> list[float]:
    """The mean centered accuracy on each task [tasks]."""
    return [float(x) for x in np.mean([centered(run) for run in runs], axis=0)]


def transfer_slope(runs: Sequence[TrainedRun], small: str, large: str) -> float:
    """CORE points at `large` per CORE point at `small`: the slope of a line through all corpora that have both."""
    before, after = _both(runs, small, large)
    return float(np.polyfit(before, after, 1)[0])


def transfer_noise(runs: Sequence[TrainedRun], small: str, large: str) -> float:
    """Variance of CORE at `large` around that line."""
    before, after = _both(runs, small, large)
    rest = after - np.polyval(np.polyfit(before, after, 1), before)
    return float(rest @ rest) / max(len(rest) - 2, 1)


def _both(runs: Sequence[TrainedRun], small: str, large: str) -> tuple[Array, Array]:
    """CORE of each corpus at both scales, [corpora] twice."""
    first, second = (group_runs(at_scale(runs, scale), "equal") for scale in (small, large))
    corpora = sorted(first.keys() & second.keys())
    before, after = (np.array([np.mean([r.core for r in group[c]]) for c in corpora]) for group in (first, second))
    return before, after
