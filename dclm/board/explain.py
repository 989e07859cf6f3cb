"""Why a result is not ranked, and why its CORE is not to be compared with others': in sentences."""

from __future__ import annotations

from collections.abc import Iterator

from dclm.board.entry import Entry
from dclm.board.known.checks import CUSTOM, known_scale

_SMALLEST_PUBLISHED = 4.0e8  # parameters: 411m_1x


def explain(entry: Entry) -> Iterator[str]:
    """One sentence for each reason; none for an entry that is ranked."""
    result = entry.result
    if entry.published:
        yield "A published result of DCLM, shown for reference: its items are not public, so nothing can be re-scored."
        if result.training.params is None:
            yield "DCLM's table does not state the model's size or tokens."
        return
    if result.imported is not None:
        yield "The numbers were imported: there is no chain from the data to the scores, and no items."
    if result.limited is not None:
        yield (
            f"Only {result.limited} items per task were scored, so CORE is a sketch: its error is several times that "
            "of a whole evaluation, and it is not comparable with the CORE of other rows."
        )
    if result.incomplete:
        yield f"Part of the data is missing ({len(result.incomplete)} parts), and the run was told to continue."
    for deviation in result.training.deviations:
        yield f"The run leaves the benchmark: {deviation}."
    if result.suite.name == CUSTOM:
        yield "The tasks were chosen by hand, so that the hash of the suite cannot be checked."
    if result.core_v2 is None:
        yield f"CORE is not given, because tasks have no score ({len(result.missing)} of EXTENDED)."
    if entry.rescored is None and result.imported is None:
        yield "The scores are a claim: no items were uploaded from which the board could compute them anew."
    params = result.training.params
    if entry.standing == "apart" and params is not None and params < _SMALLEST_PUBLISHED:
        scale = known_scale(result.training.scale)
        name = result.training.scale if scale is None else scale.name
        yield f"The scale {name} is smaller than any published one; compare it with runs of its own scale."
