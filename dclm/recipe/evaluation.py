"""result.json of an evaluation by itself: a model of which nothing is known but its scores."""

from __future__ import annotations

import time

from dclm.board.result import UNKNOWN, DataSummary, Result, TrainingSummary, make_result, read_result, write_result
from dclm.core.record import provenance, read_record
from dclm.core.stores.store import exists, join
from dclm.recipe.result_scores import number, read_scores, suite_identity, task_scores, text_scores

RESULT_FILE = "result.json"


def evaluation_result(scores: str, name: str, model: str) -> Result | None:
    """The result of the scores artifact at the address `scores`; None if it scored no task of ours.

    name: shown on boards. model: what was evaluated, as the user named it. Raises: DataError if a file of the artifact
    was changed.
    """
    content, record = read_scores(scores), read_record(scores)
    if not content["tasks"]:
        return None
    return make_result(
        name=name,
        scores=task_scores(content, {}),
        perplexity=text_scores(content),
        suite=suite_identity(content),
        training=TrainingSummary(scale=UNKNOWN),
        data=DataSummary(),
        records=[record],
        limited=content["limited"],
        evaluation_only=True,
        core_v2_stderr=number(content["core_v2_standard_error"]),
        extended_v2_stderr=number(content["extended_v2_standard_error"]),
        core_bpb_stderr=number(content["core_bpb_standard_error"]),
        provenance={**provenance(time.time()), "model": model},
    )


def write_evaluation(scores: str, name: str, model: str) -> str | None:
    """Write that result next to the scores. Returns its address; None if no task of ours was scored."""
    result = evaluation_result(scores, name, model)
    if result is None:
        return None
    address = join(scores, RESULT_FILE)
    if not exists(address) or read_result(address).id != result.id:
        write_result(address, result)
    return address
