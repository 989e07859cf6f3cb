"""`dclm dedup`: clusters of near-duplicates that a curation found, and the bands that find them."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

from dclm.cli.options import LOCAL_PATH, open_console, put

if TYPE_CHECKING:
    from dclm.documents.duplicates import Member

MAX_WORDS = 2000
"""Number of words of each text to compare: the time grows quadratically."""
CONTEXT_WORDS = 8

_ARTIFACT = click.argument("artifact", type=LOCAL_PATH)
_STEP = click.option(
    "--step", type=click.IntRange(0), help="Index of the step in the pipeline, if several steps left clusters."
)


@click.group()
def dedup() -> None:
    """Inspect clusters of near-duplicates, and choose the bands that find them."""


@dedup.command()
@click.argument("threshold", type=float)
@click.option(
    "--permutations", default=1395, show_default=True, help="Maximum number of hashes per document: bands × rows."
)
@click.option(
    "--recall-weight",
    default=0.5,
    show_default=True,
    help="Weight of missing a pair above THRESHOLD; 1 minus it is the weight of finding one below.",
)
def bands(threshold: float, permutations: int, recall_weight: float) -> None:
    """Print the bands and rows that datasketch chooses for this Jaccard THRESHOLD, in the form `minhash` takes, and
    what they find."""
    from dclm.dedup.minhash.bands import best_bands

    chosen = best_bands(threshold, permutations, recall_weight)
    used = chosen.bands * chosen.rows
    put(f"minhash: {{bands: {chosen.bands}, rows: {chosen.rows}}}  # {used:,} of {permutations:,} permutations")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("Jaccard", justify="right")
    table.add_column("found", justify="right")
    for jaccard in sorted({*(n / 20 for n in range(6, 20)), threshold}):
        table.add_row(f"{jaccard:.2f}", f"{chosen.found(jaccard):.2%}")
    open_console().print(table)
    put(f"half of the pairs are found at {chosen.threshold:.3f}")


@dedup.command()
@_ARTIFACT
@_STEP
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Number of clusters to list.")
def clusters(artifact: Path, step: int | None, limit: int) -> None:
    """List the largest clusters of the documents ARTIFACT."""
    from dclm.documents.duplicates import largest_clusters, tables_of

    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    for name in ("cluster", "documents", "kept"):
        table.add_column(name, justify="right")
    for cluster in largest_clusters(tables_of(artifact, step), limit):
        table.add_row(str(cluster.number), f"{cluster.documents:,}", f"{cluster.kept:,}")
    open_console().print(table)


@dedup.command()
@_ARTIFACT
@click.argument("cluster", type=click.IntRange(0))
@_STEP
@click.option(
    "--limit", type=click.IntRange(1), default=10, show_default=True, help="Maximum number of members to show."
)
@click.option(
    "--pool",
    multiple=True,
    metavar="PATH",
    help="Pool that the artifact was made from, to read the texts of documents that are not in it.",
)
def show(artifact: Path, cluster: int, step: int | None, limit: int, pool: tuple[str, ...]) -> None:
    """Show the members of CLUSTER in the documents ARTIFACT, and how each differs from the first one with a text.

    Dropped documents are not in the artifact: with --pool, their texts are read from the pool, before any step.
    """
    from dclm.documents.duplicates import members, tables_of
    from dclm.pool.files import list_files

    console = open_console()
    found = members(artifact, tables_of(artifact, step), cluster, limit, list_files(pool) if pool else ())
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
