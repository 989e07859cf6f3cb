"""`dclm dedup`: indexes of documents, clusters of near-duplicates, and the choice of bands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.table import Table

from dclm.cli.documents.dedup_index import index
from dclm.cli.documents.dedup_items import items
from dclm.cli.documents.dedup_members import print_members
from dclm.cli.shared.options import (
    LOCAL_PATH,
    force_option,
    open_console,
    put,
    put_result,
)

if TYPE_CHECKING:
    from dclm.dedup.minhash.bands import Bands


_ARTIFACT = click.argument("artifact", type=LOCAL_PATH)
_STEP = click.option(
    "--step", type=click.IntRange(0), help="Index of the step in the pipeline, if several steps left clusters."
)


@click.group()
def dedup() -> None:
    """Index documents to deduplicate others against, inspect clusters of near-duplicates, and choose bands."""


dedup.add_command(index)
dedup.add_command(items)


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
@click.option(
    "--ratio",
    type=click.FloatRange(1),
    help="Also print how likely a page is found inside a document this many times as long, by the fraction of it "
    "contained there.",
)
def bands(threshold: float, permutations: int, recall_weight: float, ratio: float | None) -> None:
    """Print the bands and rows that datasketch chooses for this Jaccard THRESHOLD, as settings of `minhash`, and which
    pairs they find."""
    from dclm.dedup.minhash.bands import best_bands

    chosen = best_bands(threshold, permutations, recall_weight)
    used = chosen.bands * chosen.rows
    similarities = sorted({*(n / 20 for n in range(6, 20)), threshold})
    inside = {} if ratio is None else {value: chosen.found_contained(value, ratio) for value in similarities}
    values = {
        "bands": chosen.bands,
        "rows": chosen.rows,
        "permutations": used,
        "threshold": chosen.threshold,
        "pairs": [
            {"similarity": value, "found": chosen.found(value), "contained": inside.get(value)}
            for value in similarities
        ],
    }
    put_result(values, lambda: _print_bands(chosen, permutations, similarities, inside))


def _print_bands(
    chosen: Bands, permutations: int, similarities: Sequence[float], inside: Mapping[float, float]
) -> None:
    """inside: similarity → probability that a contained page is found; empty if not asked for."""
    used = chosen.bands * chosen.rows
    put(f"minhash: {{bands: {chosen.bands}, rows: {chosen.rows}}}  # {used:,} of {permutations:,} permutations")
    table = Table(box=SIMPLE, padding=(0, 1, 0, 0))
    table.add_column("Jaccard or containment" if inside else "Jaccard", justify="right")
    table.add_column("found", justify="right")
    if inside:
        table.add_column("contained", justify="right")
    for value in similarities:
        more = (f"{inside[value]:.2%}",) if inside else ()
        table.add_row(f"{value:.2f}", f"{chosen.found(value):.2%}", *more)
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
    found = largest_clusters(tables_of(artifact, step), limit)
    for cluster in found:
        table.add_row(str(cluster.number), f"{cluster.documents:,}", f"{cluster.kept:,}")
    put_result(found, table)


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

    found = members(artifact, tables_of(artifact, step), cluster, limit, list_files(pool) if pool else ())
    put_result(found, lambda: print_members(found))


@dedup.command()
@_ARTIFACT
@_STEP
@click.option(
    "--pool",
    multiple=True,
    metavar="PATH",
    help="Pool that the artifact was made from, to show diffs of dropped documents.",
)
@click.option(
    "--source",
    "sources",
    multiple=True,
    metavar="PATTERN",
    help="Sources of the overlap matrix, as in `prefer`. Default: the step's own, else folders.",
)
@click.option(
    "--clusters", "count", type=click.IntRange(0), default=10, show_default=True, help="Number of clusters to show."
)
@click.option("--out", type=LOCAL_PATH, help="File to write. Default: duplicates.html in ARTIFACT.")
@force_option
def report(
    artifact: Path,
    step: int | None,
    pool: tuple[str, ...],
    sources: tuple[str, ...],
    count: int,
    out: Path | None,
    force: bool,
) -> None:
    """Write one HTML page on the duplicates that a step of the documents ARTIFACT dropped.

    Shows cluster sizes, similarities at the cut, the effect of other thresholds (with `pairs_from`), overlaps of
    sources, domains that copy each other, and the largest clusters with diffs of their members.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.pool.files import list_files
    from dclm.report.duplicates import build_duplicate_report
    from dclm.report.duplicates_page import render_duplicates

    if out is not None:
        claim_file(out, force=force)
    found = build_duplicate_report(artifact, step, list_files(pool) if pool else (), sources, count)
    target = out or artifact / "duplicates.html"
    write_atomic(target, render_duplicates(found).encode("utf-8", "replace"))
    put_result({"page": target, **found.to_json()}, target)
