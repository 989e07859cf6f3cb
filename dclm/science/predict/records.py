"""Finished runs with the properties that predictions need: corpus, size, training, and the score of every CORE task.

Runs come from the published tables of DCLM (`evals.csv` and `dclm_model_database.csv`) and from `result.json` files.
"""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from dclm.assets.sources import local_roots
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import open_input
from dclm.eval.aggregate import centred
from dclm.eval.suite import load_suite
from dclm.science.tables import read_rows

PUBLISHED = "results/evals.csv"
"""Path of the published evaluations below the folder of local files."""
_CORPUS, _TOKENS, _NAME = ("dataset_name", "Dataset"), ("train_tokens", "tokens"), ("eval_json", "_filename")
_HYPERPARAMETERS = re.compile(r"lr=(?P<lr>\d+(?:p\d+)?)-wd=(?P<wd>\d+(?:p\d+)?)")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Band:
    """A scale as a range of parameters and tokens, inclusive at both ends."""

    parameters: tuple[float, float]
    tokens: tuple[float, float] = (0.0, math.inf)


BANDS: Mapping[str, Band] = {
    "400m": Band(parameters=(350e6, 500e6)),
    "1b": Band(parameters=(1.2e9, 1.6e9)),
    "7b": Band(parameters=(6e9, 7.5e9), tokens=(1.3e11, 1.45e11)),
    "7b-2x": Band(parameters=(6e9, 7.5e9), tokens=(2.7e11, 2.8e11)),
}
"""Name → scale, cheapest first. DCLM's 7B-1x and 7B-2x are separate scales; for smaller models, the number of tokens is
part of how they were trained (see `TrainedRun.design`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Design:
    """How a run was trained: choices made before it starts. Null is unknown."""

    tokens: float
    """Rounded to three digits, so that two ways of counting the same budget agree."""
    learning_rate: float | None
    weight_decay: float | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainedRun:
    """One trained and evaluated model."""

    corpus: str
    parameters: float
    design: Design
    accuracies: Mapping[str, float]
    """Accuracy on every task of CORE."""

    @property
    def flops(self) -> float:
        """6 · parameters · tokens."""
        return 6 * self.parameters * self.design.tokens

    @property
    def scale(self) -> str | None:
        """The first of `BANDS` that contains the run; None for a run between them."""
        for name, band in BANDS.items():
            (low, high), (few, many) = band.parameters, band.tokens
            if low <= self.parameters <= high and few <= self.design.tokens <= many:
                return name
        return None

    @property
    def core(self) -> float:
        """CORE v2."""
        return float(np.mean(centered(self)))


def core_tasks() -> tuple[str, ...]:
    """Labels of the tasks in CORE."""
    return load_suite("core").labels


def centered(run: TrainedRun) -> list[float]:
    """The run's centered accuracies (baselines of v2), in the order of `core_tasks`."""
    return [centred(run.accuracies[t.task], t.metadata.baseline.v2) for t in load_suite("core").tasks]


def sampling_variances(runs: Sequence[TrainedRun]) -> np.ndarray:
    """Binomial variance of each task's centered accuracy in one run [tasks], at the mean accuracy of `runs`."""
    variances = []
    for task in load_suite("core").tasks:
        details = task.metadata
        mean = float(np.mean([run.accuracies[task.task] for run in runs]))
        mean = min(max(mean, 1 / details.data.rows), 1 - 1 / details.data.rows)  # no task is free of noise
        variances.append(mean * (1 - mean) / details.data.rows / (1 - details.baseline.v2) ** 2)
    return np.array(variances)


def find_published() -> Path:
    """The published evaluations below DCLM_ASSETS or DCLM_SHARED. Raises: ConfigError if they are missing."""
    for root in local_roots():
        if (root / PUBLISHED).is_file():
            return root / PUBLISHED
    hint = "set DCLM_SHARED to the folder that contains it, or name a table with --records FILE"
    raise ConfigError("published records", f"found no {PUBLISHED} in {', '.join(map(str, local_roots()))}", hint)


def read_table(path: Path) -> list[TrainedRun]:
    """The runs in a CSV table with the columns of `evals.csv` or of `dclm_model_database.csv`.

    Rows without a corpus, a size, or the score of a CORE task are left out. Raises: DataError if a column is missing,
    or a value is not a number.
    """
    header, *lines = read_rows(path) or [[]]
    rows, columns = [dict(zip(header, line, strict=False)) for line in lines], set(header)
    corpus, tokens, name = (_column(path, columns, names) for names in (_CORPUS, _TOKENS, _NAME))
    absent = sorted({"params", *core_tasks()} - columns)
    if absent:
        raise DataError(str(path), f"found no column {', '.join(absent)}", "use a table with the columns of evals.csv")
    wanted = ("params", tokens, *core_tasks())
    runs = []
    for number, row in enumerate(rows, 2):
        if not row.get(corpus) or not all(row.get(key) for key in wanted):
            continue
        values = {key: _number(row[key], f"{path}, line {number}, column {key}") for key in wanted}
        found = _HYPERPARAMETERS.search(row.get(name) or "")
        runs.append(
            TrainedRun(
                corpus=row[corpus],
                parameters=values["params"],
                design=Design(
                    tokens=_rounded(values[tokens]),
                    learning_rate=_from_name(found, "lr"),
                    weight_decay=_from_name(found, "wd"),
                ),
                accuracies={task: values[task] for task in core_tasks()},
            )
        )
    return runs


def read_result(path: Path) -> TrainedRun:
    """The run in a `result.json`. Its corpus is named after the result.

    Raises: DataError if the file is not a result, or lacks its size, its tokens or a task of CORE.
    """
    from dclm.board.result import parse_result

    with open_input(path) as handle:
        result = parse_result(handle.read(), str(path))
    training = result.training
    lacking = [t for t in core_tasks() if t not in result.scores]
    lacking += [name for name in ("params", "tokens") if getattr(training, name) is None]
    if lacking:
        raise DataError(str(path), f"found no {', '.join(lacking)}", "evaluate the whole suite `core`")
    if result.limited is not None:
        raise DataError(str(path), f"found at most {result.limited} rows per task, allowed: whole tasks")
    assert training.params is not None
    assert training.tokens is not None
    return TrainedRun(
        corpus=result.name,
        parameters=training.params,
        design=Design(tokens=_rounded(training.tokens), learning_rate=None, weight_decay=None),
        accuracies={task: result.scores[task].score for task in core_tasks()},
    )


def distinct(runs: Iterable[TrainedRun]) -> list[TrainedRun]:
    """`runs` without those that another table also contains: equal in corpus, size, and every score to six digits.

    Among such runs, the first one with a known learning rate is kept.
    """
    found: dict[tuple[object, ...], TrainedRun] = {}
    for run in runs:
        scores = (round(x, 6) for x in run.accuracies.values())
        key = (run.corpus, run.parameters, run.design.tokens, *scores)
        if key not in found or (found[key].design.learning_rate is None and run.design.learning_rate is not None):
            found[key] = run
    return list(found.values())


def at_scale(runs: Iterable[TrainedRun], scale: str) -> list[TrainedRun]:
    """Those of `runs` at the scale with that name."""
    return [run for run in runs if run.scale == scale]


def _column(path: Path, columns: set[str], names: Sequence[str]) -> str:
    for name in names:
        if name in columns:
            return name
    hint = "use a table with the columns of evals.csv"
    raise DataError(str(path), f"found no column {' or '.join(names)}", hint)


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        raise DataError(where, f"found {json.dumps(text)}, allowed: a number") from None
    if not math.isfinite(value):
        raise DataError(where, f"found {text}, allowed: a finite number")
    return value


def _rounded(tokens: float) -> float:
    return float(f"{tokens:.3g}")


def _from_name(found: re.Match[str] | None, group: str) -> float | None:
    return None if found is None else float(found[group].replace("p", "."))
