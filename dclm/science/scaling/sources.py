"""Runs for scaling fits: from tables of published runs, and from the points of an experiment."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import open_input
from dclm.science.predict.design import usual_design
from dclm.science.predict.records import TrainedRun, centered, core_tasks
from dclm.science.scaling.fit import Observation

CORE = "core"


def from_records(runs: Sequence[TrainedRun], metric: str = CORE, corpora: Sequence[str] = ()) -> list[Observation]:
    """CORE, or the centered accuracy on one of its tasks, of every run in the usual design of its size.

    Runs whose learning rate or weight decay differs from most of their size and tokens are left out: they would count
    as noise. No `corpora`: all that were run at three or more amounts of compute. Raises: ConfigError for an unknown
    metric.
    """
    if metric != CORE and metric not in core_tasks():
        raise ConfigError(f"--metric {metric}", f"allowed: {CORE}, {', '.join(core_tasks())}")
    sizes: dict[tuple[str | None, float, float], list[TrainedRun]] = {}
    for run in runs:
        sizes.setdefault((run.scale, float(f"{run.parameters:.2g}"), float(f"{run.design.tokens:.2g}")), []).append(run)
    kept = []
    for group in sizes.values():
        usual = usual_design(group)
        rates = {(usual.learning_rate, usual.weight_decay), (None, None)}
        kept += [run for run in group if (run.design.learning_rate, run.design.weight_decay) in rates]
    compute: dict[str, set[float]] = {}
    for run in kept:
        compute.setdefault(run.corpus, set()).add(run.flops)
    chosen = set(corpora) or {corpus for corpus, flops in compute.items() if len(flops) >= 3}
    place = None if metric == CORE else core_tasks().index(metric)
    return [
        Observation(corpus=run.corpus, flops=run.flops, value=run.core if place is None else centered(run)[place])
        for run in kept
        if run.corpus in chosen
    ]


def from_points(path: Path) -> list[Observation]:
    """log10 of the bits per byte of every point in an experiment's points.json, at the scale's own rates.

    Raises: DataError if it is not such a file.
    """
    with open_input(path) as handle:
        data = handle.read()
    try:
        loaded = json.loads(data)
    except ValueError as error:
        raise DataError(str(path), f"not JSON: {error}") from None
    points = loaded.get("points") if isinstance(loaded, Mapping) else None
    if not isinstance(points, list) or not points:
        raise DataError(str(path), "found no points", "name the points.json that `dclm experiment` wrote")
    fields = ("recipe", "parameters", "tokens", "bits_per_byte", "seed")
    found = []
    for number, point in enumerate(points):
        if not isinstance(point, Mapping) or not all(name in point for name in fields):
            raise DataError(f"{path}, point {number}", f"allowed: an object with {', '.join(fields)}")
        if (point.get("learning_rate", 1.0), point.get("weight_decay", 1.0)) != (1.0, 1.0):
            continue
        found.append(
            Observation(
                corpus=str(point["recipe"]),
                flops=6.0 * point["parameters"] * point["tokens"],
                value=math.log10(point["bits_per_byte"]),
                seed=int(point["seed"]),
            )
        )
    return found
