"""Sentences that explain why a result is not ranked, and why its CORE must not be compared with that of others."""

from __future__ import annotations

from collections.abc import Iterator

from dclm.board.entry import Entry
from dclm.board.known.checks import CUSTOM, known_scale

_SMALLEST_PUBLISHED = 4.0e8  # parameters: 411m_1x


def explain(entry: Entry) -> Iterator[str]:
    """One sentence per reason; none for an entry that is ranked."""
    result = entry.result
    if entry.published:
        yield "A published result of DCLM, shown for reference: its items are not public, so it cannot be re-scored."
        if result.training.params is None:
            yield "DCLM's table does not state the model's size or tokens."
        return
    if result.imported is not None:
        yield "The numbers were imported, without a chain from the data to the scores and without items."
    if result.evaluation_only:
        yield "Only the evaluation is known: the result says nothing about how the model was trained, or on which data."
    if result.limited is not None:
        yield (
            f"Only {result.limited} items per task were scored, so CORE is only a rough estimate: its error is several "
            "times that of a full evaluation, and it is not comparable with the CORE of other rows."
        )
    if result.incomplete:
        yield f"Part of the data is missing ({len(result.incomplete)} parts), and the run was allowed to continue."
    for deviation in result.training.deviations:
        yield f"The run deviates from the benchmark: {deviation}."
    if result.suite.name == CUSTOM:
        yield "The tasks were chosen by hand, so the hash of the suite cannot be checked."
    if result.core_v2 is None:
        yield f"CORE is missing because some tasks have no score ({len(result.missing)} of EXTENDED)."
    if entry.rescored is None and result.imported is None:
        yield "The scores are unverified: no items were uploaded from which the board could recompute them."
    params = result.training.params
    if entry.standing == "apart" and params is not None and params < _SMALLEST_PUBLISHED:
        scale = known_scale(result.training.scale)
        name = result.training.scale if scale is None else scale.name
        yield f"The scale {name} is smaller than any published one; compare it with runs of the same scale."
