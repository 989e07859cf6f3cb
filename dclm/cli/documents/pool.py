"""`dclm pool sample | list | commoncrawl | check`: generate a crawl, list what a pool contains and check that it is
sound."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dclm.cli.shared.options import LOCAL_PATH, plain, put_artifact, put_result, replace_option, say
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import read_record
from dclm.pool.files import InputFile

if TYPE_CHECKING:
    from dclm.pool.check import Check


@click.group()
def pool() -> None:
    """Inspect, check and generate the crawls and corpora from which documents are read."""


@pool.command("sample")
@click.option("--out", required=True, type=LOCAL_PATH, help="Directory for the pool artifact.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="The same seed gives the same bytes."
)
@click.option(
    "--documents", default=2000, show_default=True, type=click.IntRange(1), help="Number of pages to generate."
)
@click.option(
    "--files", default=4, show_default=True, type=click.IntRange(1), help="Number of WARC files to spread them over."
)
@replace_option
def sample(out: Path, seed: int, documents: int, files: int, force: bool) -> None:
    """Generate a crawl in real WARC files, with a table of the true properties of each page."""
    from dclm.pool.sample.crawl import make_sample

    made = make_sample(out, seed, documents, files, force=force)
    put_artifact(made, read_record(made), made)


@pool.command("list")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
def list_(paths: tuple[str, ...]) -> None:
    """List the files that PATH… (files, directories, globs, artifacts) expands to: kind, bytes, name, path."""
    from dclm.pool.files import list_files

    _print(list_files(paths))


@pool.command("check")
@click.argument("paths", nargs=-1, required=True, metavar="PATH…")
def check(paths: tuple[str, ...]) -> None:
    """Read the archives in PATH… twice, with FastWARC and with warcio, and report where the two disagree.

    Compares the types, ids, lengths and contents of all records, and contents with their digests. Exit code 3 if
    anything differs or is damaged.
    """
    from dclm.pool.check import check_archive
    from dclm.pool.files import list_files

    found: list[Check] = []
    files = [file for file in list_files(paths) if file.kind == "warc"]
    if not files:
        raise DataError(paths[0], "found no archive, allowed: WARC, WET, WAT and ARC files", "check the path")
    for file in files:
        checked = check_archive(file)
        found.append(checked)
        word = "agree" if not checked.problems else f"{len(checked.problems)} problems"
        say(f"{checked.name}\t{checked.records} records\t{checked.digests} digests\t{word}")
        for problem in checked.problems:
            say(f"  {plain(problem)}")
    put_result(found, None)
    bad = sum(bool(each.problems) for each in found)
    if bad:
        raise DataError(f"{bad} of {len(files)} archives", "are damaged, or the two readers disagree about them")


@pool.command("commoncrawl")
@click.argument("crawl", metavar="CRAWL")
@click.argument("urls", nargs=-1, metavar="[PATTERN]…")
@click.option("--warcs", type=click.IntRange(1), help="Number of files, drawn at random by seed.")
@click.option(
    "--format",
    "form",
    default="warc",
    show_default=True,
    type=click.Choice(["warc", "wet"]),
    help="With --warcs: pages (WARC) or Common Crawl's own text of them (WET).",
)
@click.option(
    "--where",
    multiple=True,
    metavar="COLUMN=VALUE",
    help="Captures with this value in a column of the"
    " columnar index, such as url_host_tld=de. May be repeated: values of one column are alternatives.",
)
@click.option("--index", multiple=True, metavar="PATH", help="Parquet files of a columnar index; default: the crawl's.")
@click.option("--parts", type=click.IntRange(1), help="Files of the crawl's columnar index to read, drawn by seed.")
@click.option(
    "--seed", default=0, show_default=True, type=click.IntRange(0), help="Seed that decides which WARC files are drawn."
)
@click.option("--limit", type=click.IntRange(1), help="Maximum number of captures per PATTERN, or by --where.")
@click.option(
    "--base-url", default="https://data.commoncrawl.org/", show_default=True, help="Server or mirror to download from."
)
def commoncrawl(
    crawl: str,
    urls: tuple[str, ...],
    warcs: int | None,
    form: Literal["warc", "wet"],
    where: tuple[str, ...],
    index: tuple[str, ...],
    parts: int | None,
    seed: int,
    limit: int | None,
    base_url: str,
) -> None:
    """List the files of a selection of CRAWL (such as CC-MAIN-2022-05): --warcs N, PATTERN… such as *.example.com, or
    --where COLUMN=VALUE."""
    from dclm.pool.commoncrawl import CommonCrawl

    conditions: dict[str, tuple[str | int, ...]] = {}
    for text in where:
        column, equals, value = text.partition("=")
        if not equals:
            raise ConfigError("--where", f"found {text}, allowed: COLUMN=VALUE")
        conditions[column] = (*conditions.get(column, ()), value)
    try:
        chosen = CommonCrawl(
            crawl=crawl,
            warcs=warcs,
            urls=urls,
            format=form,
            where=conditions,
            index=index,
            parts=parts,
            limit=limit,
            seed=seed,
            base_url=base_url,
        )
    except ValueError as error:
        raise ConfigError("dclm pool commoncrawl", str(error)) from None
    _print(chosen.files())


def _print(files: Sequence[InputFile]) -> None:
    values = [
        {
            "kind": file.kind,
            "bytes": file.size,
            "name": file.name,
            "path": file.path,
            "records": len(file.ranges) or None,
        }
        for file in files
    ]
    put_result(values, lambda: "\n".join(map(_line, files)))


def _line(file: InputFile) -> str:
    parts = f"\t{len(file.ranges)} records" if file.ranges else ""
    return f"{file.kind}\t{file.size}\t{file.name}\t{file.path}{parts}"
