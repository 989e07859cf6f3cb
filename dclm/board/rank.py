"""The order of results on a board, and the colors of their scales."""

from __future__ import annotations

from collections.abc import Sequence

from dclm.board.entry import STANDINGS, Entry
from dclm.board.result import Result

NUM_TONES = 10


def rank(results: Sequence[Result]) -> list[Result]:
    """Best CORE (v2) first; entries without CORE follow, best validation loss first; then by name."""
    return sorted(results, key=_key)


def rank_entries(entries: Sequence[Entry]) -> list[Entry]:
    """Ranked entries, then unranked ones, then published ones; each in the order of `rank`."""
    return sorted(entries, key=lambda entry: (STANDINGS.index(entry.standing), *_key(entry.result)))


def tones(results: Sequence[Result]) -> dict[str, int]:
    """Scale → number of its color, for the scales present, cheapest first."""
    cost: dict[str, float] = {}
    for result in results:
        scale = result.training.scale
        cost[scale] = min(cost.get(scale, float("inf")), result.training.flops or float("inf"))
    ordered = sorted(cost, key=lambda scale: (cost[scale], scale))
    return {scale: i % NUM_TONES for i, scale in enumerate(ordered)}


def _key(result: Result) -> tuple[bool, float, float, str, str]:
    loss = result.training.validation_loss
    core = result.core_v2
    return (core is None, -(core or 0.0), float("inf") if loss is None else loss, result.name, result.id)
