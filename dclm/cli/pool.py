"""`dclm pool sample | list | commoncrawl | check`: make a crawl, see what a pool holds and whether it is sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from dclm.cli.options import LOCAL_PATH, plain, put, say
from dclm.core.errors import ConfigError, DataError
from dclm.pool.files import InputFile


@click.group()
def pool() -> None:
    """Crawls and corpora that documents are read from."""


@pool.command("sample")
@click.option("--out", required=True, type=LOCAL_PATH, help="Directory of the pool artifact.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed, the same bytes.")
@click.option("--documents", default=2000, show_default=True, type=click.IntRange(1), help="Pages to generate.")
@click.option("--files", default=4, show_default=True, type=click.IntRange(1), help="WARC files to spread them over.")
def sample(out: Path, seed: int, documents: int, files: int) -> None:
    """Generate a crawl in real WARC files, with a table that says what is true of each page."""
    from dclm.pool.sample.crawl import make_sample

    put(make_sample(out, seed, documents, files))


@pool.command("list")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
def list_(paths: tuple[str, ...]) -> None:
    """Print the files that PATH… (files, directories, globs, artifacts) stand for: kind, bytes, name, path."""
    from dclm.pool.files import list_files

    _print(list_files(paths))


@pool.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
def check(paths: tuple[str, ...]) -> None:
    """Read the archives that PATH… stand for twice, with FastWARC and with warcio, and say where the two disagree.

    Compared are the types, ids, lengths and contents of all records, and contents with their digests. Exit code 3 if
    anything differs or is damaged.
    """
    from dclm.pool.check import check_archive
    from dclm.pool.files import list_files

    bad = 0
    files = [file for file in list_files(paths) if file.kind == "warc"]
    if not files:
        raise DataError(paths[0], "holds no archive, allowed: WARC, WET, WAT and ARC files", "check the path")
    for file in files:
        found = check_archive(file)
        bad += bool(found.problems)
        word = "agree" if not found.problems else f"{len(found.problems)} problems"
        say(f"{found.name}\t{found.records} records\t{found.digests} digests\t{word}")
        for problem in found.problems:
            say(f"  {plain(problem)}")
    if bad:
        raise DataError(f"{bad} of {len(files)} archives", "are damaged, or the two readers disagree about them")


@pool.command("commoncrawl")
@click.argument("crawl", metavar="CRAWL")
@click.argument("urls", nargs=-1, metavar="[PATTERN]…")
@click.option("--warcs", type=click.IntRange(1), help="So many WARC files, drawn by seed.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Which WARC files are drawn.")
@click.option("--limit", type=click.IntRange(1), help="Captures at most for each PATTERN.")
@click.option("--base-url", default="https://data.commoncrawl.org/", show_default=True, help="Server or mirror.")
def commoncrawl(
    crawl: str, urls: tuple[str, ...], warcs: int | None, seed: int, limit: int | None, base_url: str
) -> None:
    """Print the files of a selection of CRAWL (such as CC-MAIN-2022-05): --warcs N, or PATTERN… as *.example.com."""
    from dclm.pool.commoncrawl import CommonCrawl

    try:
        chosen = CommonCrawl(crawl=crawl, warcs=warcs, urls=urls, limit=limit, seed=seed, base_url=base_url)
    except ValueError as error:
        raise ConfigError("dclm pool commoncrawl", str(error)) from None
    _print(chosen.files())


def _print(files: Sequence[InputFile]) -> None:
    for file in files:
        parts = f"\t{len(file.ranges)} records" if file.ranges else ""
        put(f"{file.kind}\t{file.size}\t{file.name}\t{file.path}{parts}")
