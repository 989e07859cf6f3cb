"""`dclm publish documents`: an artifact in the form that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.options import LOCAL_PATH, put, say


@click.group()
def publish() -> None:
    """Write an artifact in the form that other tools read."""


@publish.command("documents")
@click.argument("artifact", type=str)
@click.option("--as", "form", required=True, type=click.Choice(["warc"]), help="warc: conversion records, as in WET.")
@click.option("--to", "out", required=True, type=LOCAL_PATH, help="Directory to write.")
@click.option("--allow-incomplete", is_flag=True, help="Publish although files of the pool were damaged.")
def documents(artifact: str, form: str, out: Path, allow_incomplete: bool) -> None:
    """Write the kept documents of ARTIFACT as WARC: the text of each page, which WARC-Refers-To names.

    The same artifact gives the same bytes. The directory is a pool: `dclm curate --pool` reads it.
    """
    from dclm.documents.warc import publish_warc

    found = publish_warc(artifact, out, allow_missing=allow_incomplete)
    say(f"{found.records:,} records in {found.files} files")
    if found.without_page:
        say(f"{found.without_page:,} of them refer to no page: their documents do not come from WARC files")
    put(out)
