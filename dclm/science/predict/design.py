"""Like with like: a corpus's score at a scale, adjusted for how its runs were trained.

Published corpora were trained with different token budgets and learning rates at the same scale, and the choice changes
CORE as much as a better corpus does. The design of a run is known before it starts, so it may be used everywhere; the
effect of a design is measured only between runs of the same corpus, so that good corpora do not flatter their designs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from dclm.science.predict.records import Design, TrainedRun

Designs = Literal["used", "equal", "ignored"]
"""How designs are treated: `used`, scores are predicted for the designs that were run; `equal`, only runs in each
scale's usual design take part, if a corpus has any; `ignored`, all runs of a corpus are averaged."""
_PRIOR_RUNS = 0.1
"""Strength of the prior that a design makes no difference, in runs: it matters if no corpus has both designs."""


def usual_design(runs: Sequence[TrainedRun]) -> Design:
    """The design of most runs; the first of them in a tie. Unknown designs only count among themselves."""
    known = [run.design for run in runs if run.design.learning_rate is not None]
    return Counter(known or [run.design for run in runs]).most_common(1)[0][0]


def group_runs(runs: Sequence[TrainedRun], designs: Designs) -> dict[str, list[TrainedRun]]:
    """Corpus → the runs that describe it at a scale."""
    groups: dict[str, list[TrainedRun]] = {}
    for run in runs:
        groups.setdefault(run.corpus, []).append(run)
    if designs == "ignored" or not runs:
        return groups
    usual = usual_design(runs)
    return {corpus: [r for r in group if r.design == usual] or group for corpus, group in groups.items()}


def design_effects(runs: Sequence[TrainedRun]) -> dict[Design, float]:
    """How much CORE in each design differs from the usual one (0), by least squares with an effect per corpus."""
    usual = usual_design(runs)
    corpora = sorted({run.corpus for run in runs})
    others = [design for design in dict.fromkeys(run.design for run in runs) if design != usual]
    columns: list[list[float]] = [[float(run.corpus == corpus) for run in runs] for corpus in corpora]
    columns += [[float(run.design == design) for run in runs] for design in others]
    design_matrix = np.array(columns).T
    penalty = np.diag([1e-9] * len(corpora) + [_PRIOR_RUNS] * len(others))
    scores = np.array([run.core for run in runs])
    solution = np.linalg.solve(design_matrix.T @ design_matrix + penalty, design_matrix.T @ scores)
    return {usual: 0.0, **dict(zip(others, map(float, solution[len(corpora) :]), strict=True))}


def mean_effect(runs: Sequence[TrainedRun], effects: Mapping[Design, float]) -> float:
    """The contribution of the designs of `runs` to their mean CORE; an unseen design contributes nothing."""
    return float(np.mean([effects.get(run.design, 0.0) for run in runs]))
