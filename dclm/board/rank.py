"""The order of results on a board, and the colours of their scales."""

from __future__ import annotations

from collections.abc import Sequence

from dclm.board.result import Result

NUM_TONES = 8


def rank(results: Sequence[Result]) -> list[Result]:
    """Best CORE (v2) first; those without CORE follow, best validation loss first; then by name."""

    def key(result: Result) -> tuple[bool, float, float, str, str]:
        loss = result.training.validation_loss
        core = result.core_v2
        return (core is None, -(core or 0.0), float("inf") if loss is None else loss, result.name, result.id)

    return sorted(results, key=key)


def tones(results: Sequence[Result]) -> dict[str, int]:
    """Scale → number of its colour, for the scales present, cheapest first."""
    cost: dict[str, float] = {}
    for result in results:
        scale = result.training.scale
        cost[scale] = min(cost.get(scale, float("inf")), result.training.flops or float("inf"))
    ordered = sorted(cost, key=lambda scale: (cost[scale], scale))
    return {scale: i % NUM_TONES for i, scale in enumerate(ordered)}
