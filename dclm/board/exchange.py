"""Conversion to and from the JSON in which DCLM's own leaderboard stores an evaluation.

Source: exp_data/evals/*.json of DCLM: `eval_metrics.icl` holds the task accuracies; `Core` and `Extended` are v2 (v1 in
older files without `Core_v2`). Means over missing tasks are text there ("N/A …"), null here. Fields that the format
lacks are stored under `dclm`, which its readers ignore.
"""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Mapping

from dclm.board.conform import shorten
from dclm.board.known.published import UNKNOWN, published_like
from dclm.board.result import DataSummary, Result, SuiteIdentity, TaskScore, TrainingSummary, make_result
from dclm.core.config import Source, build
from dclm.core.errors import ConfigError, DataError
from dclm.eval.aggregate import aggregate, centred
from dclm.eval.suite import load_suite

_NO_TRAINING = TrainingSummary(scale=UNKNOWN)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Extra:
    """The fields stored under `dclm`."""

    training: TrainingSummary = _NO_TRAINING
    limited: int | None = None
    core_v2_stderr: float | None = None
    extended_v2_stderr: float | None = None
    n: Mapping[str, int] = dataclasses.field(default_factory=dict)
    stderr: Mapping[str, float] = dataclasses.field(default_factory=dict)


def from_dclm(value: object, name: str) -> Result:
    """The result in an evaluation file of DCLM, with recomputed means.

    Such a file has no chain: the result says that it was imported. Scale, parameters, tokens and FLOPs are those in the
    file (if it was written here), or those of the published evaluation with the same scores, or null. Tasks outside
    EXTENDED (some early files have them) are left out. Raises: DataError without task accuracies, or if one is not a
    number in [0, 1].
    """
    metrics = value.get("eval_metrics") if isinstance(value, Mapping) else None
    scores = metrics.get("icl") if isinstance(metrics, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(scores, Mapping) or not scores:
        raise DataError(name, "no eval_metrics.icl: not an evaluation file of DCLM")
    extra = _extra(value.get("dclm"), name)
    suite = load_suite("extended")
    result = make_result(
        name=shorten(str(value.get("name") or name)),
        scores={
            task: TaskScore(score=scores[task], n=extra.n.get(task), stderr=extra.stderr.get(task))
            for task in suite.labels
            if task in scores
        },
        suite=SuiteIdentity(name="extended", version=suite.version),
        training=extra.training,
        data=DataSummary(),
        records=(),
        limited=extra.limited,
        core_v2_stderr=extra.core_v2_stderr,
        extended_v2_stderr=extra.extended_v2_stderr,
        imported=f"DCLM evaluation {shorten(str(value.get('uuid') or name))}",
    )
    published = published_like(result)
    if published is not None and result.training == _NO_TRAINING:
        return dataclasses.replace(result, training=published.result.training)
    return result


def _extra(value: object, name: str) -> _Extra:
    if value is None:
        return _Extra()
    try:
        return build(_Extra, Source(f"{name}: dclm", value, {}))
    except ConfigError as error:
        raise DataError(*error.problems[0], others=error.problems[1:]) from None


def to_dclm(result: Result) -> dict[str, object]:
    """The result as an evaluation file of DCLM (eval_version v2)."""
    accuracies = {task: score.score for task, score in result.scores.items()}
    means = aggregate(accuracies)
    extended = load_suite("extended")
    baselines = {task.task: task.metadata.baseline for task in extended.tasks}
    absent = f"N/A due to missing tasks: {list(means.extended.missing)}"
    core_absent = f"N/A due to missing tasks: {list(means.core.missing)}"
    extra = _Extra(
        training=result.training,
        limited=result.limited,
        core_v2_stderr=result.core_v2_stderr,
        extended_v2_stderr=result.extended_v2_stderr,
        n={task: score.n for task, score in result.scores.items() if score.n is not None},
        stderr={task: score.stderr for task, score in result.scores.items() if score.stderr is not None},
    )
    return {
        "name": result.name,
        "uuid": str(uuid.uuid5(uuid.NAMESPACE_URL, result.id)),
        "model": result.training.scale,
        "eval_metrics": {"icl": accuracies},
        "missing tasks": str(list(means.extended.missing)),
        "aggregated_task_categories_centered": {
            group: value.v2 for group, value in means.groups.items() if value.v2 is not None
        },
        "aggregated_centered_results": {
            task: centred(value, baselines[task].v2) for task, value in accuracies.items() if task in baselines
        },
        "Core": core_absent if means.core.v2 is None else means.core.v2,
        "Extended": absent if means.extended.v2 is None else means.extended.v2,
        "Core_v1": core_absent if means.core.v1 is None else means.core.v1,
        "Extended_v1": absent if means.extended.v1 is None else means.extended.v1,
        "Core_v2": core_absent if means.core.v2 is None else means.core.v2,
        "Extended_v2": absent if means.extended.v2 is None else means.extended.v2,
        "eval_version": "v2",
        "dclm": json.loads(json.dumps(dataclasses.asdict(extra))),
    }
