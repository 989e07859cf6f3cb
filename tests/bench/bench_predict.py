"""How the regression of `dclm predict` was chosen: half of CORE from the other half, without any backtested corpus.

    python tests/bench/bench_predict.py [SHARED]

In each of 200 random splits, half of the CORE tasks are the features and the mean of the others is the target; 9 or 13
corpora are learned from, and the pairs of ten others are predicted. No run at 400M or 7B is used.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from unittest import mock

import numpy as np

from dclm.science.predict import model
from dclm.science.predict.records import TrainedRun, at_scale, centered, read_table, sampling_variances

SPLITS, NEW = 200, 10


def corpora(shared: Path) -> tuple[np.ndarray, np.ndarray]:
    """Mean task scores [corpora, tasks] and sampling variances [tasks]."""
    published = read_table(shared / "results" / "evals.csv")
    tested = {run.corpus for scale in ("400m", "7b") for run in at_scale(published, scale)}
    groups: dict[str, list[TrainedRun]] = {}
    for run in at_scale(read_table(shared / "results" / "dclm_model_database.csv"), "1b"):
        if run.corpus not in tested and run.design.tokens < 3e10:
            groups.setdefault(run.corpus, []).append(run)
    scores = np.array([np.mean([centered(run) for run in group], axis=0) for group in groups.values()])
    return scores, sampling_variances([run for group in groups.values() for run in group])


def main() -> None:
    shared = Path(sys.argv[1] if len(sys.argv) > 1 else os.environ.get("DCLM_SHARED", "../shared"))
    scores, noise = corpora(shared)
    print(f"{len(scores)} corpora")
    for learned in (9, 13):
        for name, ratios in (("line through CORE", (0.0,)), ("ridge", model.RATIOS)):
            rng = np.random.default_rng(0)
            right, brier = [], []
            for _ in range(SPLITS):
                tasks, rows = rng.permutation(scores.shape[1]), rng.permutation(len(scores))
                half = len(tasks) // 2
                target = scores[:, tasks[half:]].mean(axis=1)
                train, new = rows[:learned], rows[learned : learned + NEW]
                features = scores[:, tasks[:half]]
                with mock.patch.object(model, "RATIOS", ratios):
                    said = model.fit_and_predict(features[train], target[train], noise[tasks[:half]], features[new])
                for i in range(NEW):
                    for j in range(i):
                        p, true = said.difference(i, j).above(0.0), target[new[i]] > target[new[j]]
                        right.append((p > 0.5) == true)
                        brier.append((p - true) ** 2)
            print(f"{name} from {learned} corpora: {np.mean(right):.3f} of pairs right, Brier {np.mean(brier):.3f}")


if __name__ == "__main__":
    main()
