"""To and from the JSON in which DCLM's own leaderboard keeps an evaluation.

Source: exp_data/evals/*.json of DCLM: `eval_metrics.icl` holds the task accuracies, `Core` and `Extended` are v2 (in
files without `Core_v2`, older ones, they are v1). Means over missing tasks are text there ("N/A …"), null here.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from dclm.board.result import DataSummary, Result, SuiteIdentity, TaskScore, TrainingSummary, make_result
from dclm.core.errors import DataError
from dclm.eval.aggregate import aggregate, centred
from dclm.eval.suite import load_suite


def from_dclm(value: object, name: str) -> Result:
    """The result in an evaluation file of DCLM, with the means computed anew.

    Such a file has no chain, no item counts and no standard errors: the result says that it was imported. Tasks outside
    EXTENDED (early files have some) are left out. Raises: DataError if there are no task accuracies, or one is no
    number in [0, 1].
    """
    metrics = value.get("eval_metrics") if isinstance(value, Mapping) else None
    scores = metrics.get("icl") if isinstance(metrics, Mapping) else None
    if not isinstance(value, Mapping) or not isinstance(scores, Mapping) or not scores:
        raise DataError(name, "no eval_metrics.icl: not an evaluation file of DCLM")
    suite = load_suite("extended")
    return make_result(
        name=str(value.get("name") or name)[:200],
        scores={task: TaskScore(score=scores[task]) for task in suite.labels if task in scores},
        suite=SuiteIdentity(name="extended", version=suite.version),
        training=TrainingSummary(scale="unknown"),
        data=DataSummary(),
        records=(),
        imported=f"DCLM evaluation {value.get('uuid') or name}",
    )


def to_dclm(result: Result) -> dict[str, object]:
    """The result as an evaluation file of DCLM (eval_version v2)."""
    accuracies = {task: score.score for task, score in result.scores.items()}
    means = aggregate(accuracies)
    extended = load_suite("extended")
    baselines = {task.task: task.metadata.baseline for task in extended.tasks}
    absent = f"N/A due to missing tasks: {list(means.extended.missing)}"
    core_absent = f"N/A due to missing tasks: {list(means.core.missing)}"
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
    }
