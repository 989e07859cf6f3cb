"""The cuts of an artifact as text, for `dclm show --cuts`: what filters measured, and what other cuts would drop."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from dclm.documents.artifact import Artifact
from dclm.documents.cuts import NOTHING, Measured, is_wide, measured, spread

_BARS = 40
_BLOCKS = " ▁▂▃▄▅▆▇█"


def print_cuts(console: Console, artifact: Artifact) -> None:
    """Print every rule that compared a number with a cut."""
    rules = measured(artifact)
    if not rules:
        console.print(NOTHING, highlight=False)
    for rule in rules:
        title = f"\n[bold]{rule.index}. {escape(rule.name)}[/] {escape(rule.condition)}"
        fails = int(rule.fails.sum())
        numbers = f"{rule.num_documents:,} documents, {fails:,} fail, {rule.dropped:,} by this rule alone"
        numbers += f"; {rule.no_value:,} without a value" if rule.no_value else ""
        console.print(f"{title}  {numbers}", highlight=False)
        picture = _picture(rule)
        if picture:
            console.print(f"  {picture}", highlight=False)
        for other in rule.others():
            line = f"{other.dropped:>12,} dropped  {other.change:>+12,}"
            console.print(f"  if the cut were {other.cut:<9g}{line}", highlight=False)


def _picture(rule: Measured) -> str:
    """The distribution in one line, between its ends; the height of a bar is its share of the highest."""
    logarithmic = is_wide(rule)
    found = spread(rule, _BARS, logarithmic)
    if found is None:
        return ""
    counts = found.passes + found.fails
    most = max(float(counts.max()), 1e-9)
    top = len(_BLOCKS) - 1
    bars = "".join(_BLOCKS[max(round(count / most * top), 1) if count > 1e-9 else 0] for count in counts.tolist())
    return f"{found.low:g} {bars} {found.high:g}" + (" (logarithmic)" if logarithmic else "")
