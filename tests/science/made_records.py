"""Made-up tables of published runs, with the columns of evals.csv."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dclm.eval.suite import load_suite

SIZES = {"400m": (411e6, 8.2e9), "1b": (1.44e9, 28.8e9), "7b": (6.9e9, 137.8e9)}
LEVELS = {"400m": 0.15, "1b": 0.25, "7b": 0.36}


@dataclasses.dataclass(frozen=True, kw_only=True)
class MadeRun:
    """A row of the table; its quality is added to the centered accuracy on each task."""

    corpus: str
    scale: str
    quality: float
    rate: str = "0p003"
    tokens: float | None = None


def write_table(path: Path, runs: Sequence[MadeRun], noise: float = 0.0, seed: int = 0) -> Path:
    """Write the runs in the form of evals.csv; `noise` is the spread of each task's centered accuracy."""
    generator = np.random.default_rng(seed)
    tasks = load_suite("core").tasks
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle)
        writer.writerow(["eval_json", "dataset_name", "params", "train_tokens", *(t.task for t in tasks)])
        for run in runs:
            parameters, tokens = SIZES[run.scale]
            row = []
            for task in tasks:
                centered = LEVELS[run.scale] + run.quality + noise * generator.normal()
                baseline = task.metadata.baseline.v2
                row.append(min(max(baseline + (1 - baseline) * centered, 0.0), 1.0))
            name = f"evals/{run.corpus}-lr={run.rate}-wd=0p033.json"
            writer.writerow([name, run.corpus, parameters, run.tokens or tokens, *row])
    return path


def grid(qualities: Sequence[float], scales: Sequence[str] = ("1b", "7b")) -> list[MadeRun]:
    """One run of each corpus at each scale; corpora are called c0, c1, …"""
    return [MadeRun(corpus=f"c{i}", scale=s, quality=q) for s in scales for i, q in enumerate(qualities)]
