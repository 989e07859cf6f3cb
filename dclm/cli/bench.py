"""`dclm bench`: measurements that help you choose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, put, put_result, say

if TYPE_CHECKING:
    from dclm.extract.quality import Quality
    from dclm.extract.wheels import EarlierVersion

GENERATED = 300
"""Number of pages in the generated crawl."""


EARLIER = click.Choice(["0.14.5", "0.15.2"])


@click.group()
def bench() -> None:
    """Run measurements that help you choose."""


@bench.command()
@click.option(
    "--gold", multiple=True, type=LOCAL_PATH, metavar="FILE...", help="Annotated pages. Default: generated pages."
)
@click.option("--pages", type=click.IntRange(1), help="Use about this many of the pages, evenly spread.")
@click.option(
    "--resiliparse",
    "versions",
    multiple=True,
    type=click.Choice(["0.14.5", "0.15.2"]),
    help="Also compare this earlier version of Resiliparse.",
)
def extract(gold: tuple[Path, ...], pages: int | None, versions: tuple[EarlierVersion, ...]) -> None:
    """Compare quality and speed of every extractor, in this process on one core.

    FILE is gzip JSONL of annotated pages: `url`, `warc` (a crawl file next to FILE), `text`, and `with` and `without`,
    snippets that must and must not be extracted. Without --gold, pages with known text are generated. Columns: token
    precision, recall and F1, fractions of snippets correctly present and correctly absent, pages and MB of HTML per CPU
    second.
    """
    from dclm.report.extraction import compare_extractors, generated_pages, marked_pages, thinned

    known = [page for file in gold for page in marked_pages(file)] or generated_pages(GENERATED)
    found = compare_extractors(thinned(known, pages), lambda name: say(f"… {name}"), versions)
    put_result(found, lambda: print_qualities(found))


def print_qualities(rows: list[Quality]) -> None:
    """The table of `dclm bench extract`."""
    put("extractor            pages     F1  precision  recall    with  without  pages/s   MB/s")
    for q in rows:
        snippets = "".join("       –" if f is None else f"{f:8.3f}" for f in (q.present_fraction, q.absent_fraction))
        speed = f"{q.pages_per_second:9.1f}{q.megabytes_per_second:7.1f}"
        put(f"{q.extractor:<20}{q.pages:>6}{q.f1:7.3f}{q.precision:11.3f}{q.recall:8.3f}{snippets} {speed}")
