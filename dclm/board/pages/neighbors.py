"""The published runs with which a result is best compared."""

from __future__ import annotations

import math
from typing import NamedTuple

from dclm.board.entry import Entry
from dclm.board.known.published import published_entries

NEAREST = 5


class Neighbors(NamedTuple):
    """Published runs, and the criterion by which they are close."""

    entries: list[Entry]
    why: str


def neighbors(entry: Entry) -> Neighbors:
    """The published runs of the same scale with the closest CORE; if the scale has none, those closest in FLOPs."""
    training, core = entry.result.training, entry.result.core_v2
    others = [e for e in published_entries() if e.id != entry.id and e.result.core_v2 is not None]
    same = [e for e in others if e.result.training.scale == training.scale]
    if same and training.flops is not None:
        ordered = sorted(same, key=lambda e: abs((e.result.core_v2 or 0.0) - (core or 0.0)))
        what = "highest" if core is None else "nearest"
        if core is None:
            ordered = sorted(same, key=lambda e: -(e.result.core_v2 or 0.0))
        return Neighbors(ordered[:NEAREST], f"the published runs of scale {training.scale} with the {what} CORE")
    if training.flops is not None:
        power = math.log10(training.flops)
        known = [e for e in others if e.result.training.flops is not None]
        ordered = sorted(known, key=lambda e: abs(math.log10(e.result.training.flops or 1.0) - power))
        return Neighbors(ordered[:NEAREST], "no published run has this scale; these are closest in training FLOPs")
    ordered = sorted(others, key=lambda e: abs((e.result.core_v2 or 0.0) - (core or 0.0)))
    return Neighbors(ordered[:NEAREST], "the training FLOPs are unknown; these published results are closest in CORE")
