"""The members of a cluster of duplicates as text, and how their texts differ: what `dclm dedup show` prints."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from dclm.cli.shared.options import open_console

if TYPE_CHECKING:
    from dclm.documents.duplicates import Member

MAX_WORDS = 2000
"""Number of words of each text to compare: the time grows quadratically."""
CONTEXT_WORDS = 8


def print_members(found: Sequence[Member]) -> None:
    """Print one line per member, and the first text next to each other one."""
    console = open_console()
    for number, member in enumerate(found):
        console.print(_headline(number, member))
    readable = [m for m in found if m.text is not None]
    if len(readable) < len(found):
        console.print(
            f"\n{len(found) - len(readable)} texts are not in the artifact: pass --pool to read them from the pool"
        )
    for other in readable[1:]:
        console.print(_difference(readable[0], other))


def _headline(number: int, member: Member) -> Text:
    line = Text(f"{number:>3} ")
    line.append("kept   " if member.kept else "dropped", style="green" if member.kept else "red")
    if member.kept and member.left_at is not None:
        line.append(f" (left at {member.left_at})")
    line.append(f"  jaccard {member.jaccard:.3f}" if member.jaccard is not None else "")
    line.append(f"  {member.id}  {member.url or member.source}", style="cyan")
    return line


def _difference(first: Member, second: Member) -> Table:
    """The two texts side by side; common parts are shortened to a few words."""
    a, b = ((member.text or "").split()[:MAX_WORDS] for member in (first, second))
    title = f"{first.id} ({first.text_from}) and {second.id} ({second.text_from})"
    table = Table(box=SIMPLE, title=title, title_justify="left", expand=True)
    table.add_column(first.url or first.id, ratio=1)
    table.add_column(second.url or second.id, ratio=1)
    for kind, i, j, k, m in difflib.SequenceMatcher(None, a, b, autojunk=False).get_opcodes():
        if kind == "equal":
            table.add_row(_shortened(a[i:j]), _shortened(b[k:m]), style="dim")
        else:
            table.add_row(Text(" ".join(a[i:j]), style="red"), Text(" ".join(b[k:m]), style="green"))
    return table


def _shortened(words: list[str]) -> Text:
    if len(words) <= 3 * CONTEXT_WORDS:
        return Text(" ".join(words))
    hidden = len(words) - 2 * CONTEXT_WORDS
    ends = (" ".join(words[:CONTEXT_WORDS]), " ".join(words[-CONTEXT_WORDS:]))
    return Text(f"{ends[0]} … {hidden:,} words … {ends[1]}")
