"""The leaderboard as a table for a terminal of 80 columns."""

from __future__ import annotations

from collections import Counter

from rich.markup import escape
from rich.table import Table

from dclm.board.entry import NUMBERED, Entry
from dclm.board.known.published import published_entries
from dclm.board.rank import rank_entries
from dclm.cli.shared.options import plain


def result_table(entries: list[Entry]) -> Table:
    """Best first within ranked, unranked and published entries; fits 80 columns."""
    table = Table(title="Leaderboard", title_justify="left", padding=(0, 1), pad_edge=False, box=None)
    table.add_column("#", justify="right", no_wrap=True)
    table.add_column("Name", overflow="fold", ratio=1, min_width=16)
    table.add_column("Scale", no_wrap=True, overflow="ellipsis", max_width=10)
    table.add_column("CORE", justify="right", no_wrap=True)
    table.add_column("EXT.", justify="right", no_wrap=True)
    table.add_column("FLOPs", justify="right", no_wrap=True)
    table.add_column("Notes", overflow="fold", max_width=22)
    numbers: Counter[str] = Counter()
    for entry in rank_entries(entries):
        result, training = entry.result, entry.result.training
        numbers[entry.standing] += 1
        table.add_row(
            str(numbers[entry.standing]) if entry.standing in NUMBERED else "",
            escape(plain(entry.shown)),
            escape(plain(training.scale)),
            percent(result.core_v2, result.core_v2_stderr),
            percent(result.extended_v2),
            "—" if training.flops is None else f"{training.flops:.1e}",
            escape(", ".join(entry.reasons)),
        )
    return table


def some_published(number: int, scale: str | None) -> list[Entry]:
    """`count` published results (of one scale), evenly spread from the worst to the best CORE."""
    entries = [e for e in published_entries() if scale is None or e.result.training.scale == scale]
    ordered = rank_entries([e for e in entries if e.result.core_v2 is not None])
    if number >= len(ordered):
        return ordered
    return [ordered[round(i * (len(ordered) - 1) / max(number - 1, 1))] for i in range(number)]


def percent(value: float | None, stderr: float | None = None) -> str:
    """A centered mean in percent, with its standard error."""
    return "—" if value is None else f"{100 * value:.2f}" + (f" ± {100 * stderr:.2f}" if stderr else "")
