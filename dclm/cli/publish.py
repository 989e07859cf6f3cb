"""`dclm publish`: write artifacts in formats that other tools read."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import ADDRESS, put_result, say
from dclm.core.errors import ConfigError

_TO = click.option(
    "--to", required=True, metavar="DIR|hf://ORG/NAME", help="New folder, or a repository on the Hugging Face Hub."
)
_LICENSE = click.option(
    "--license", "license_", default="other", show_default=True, help="License for the card, by the Hub's name for it."
)
_INCOMPLETE = click.option("--allow-incomplete", is_flag=True, help="Publish an artifact that lacks parts.")


@click.group()
def publish() -> None:
    """Write artifacts in formats that other tools read."""


@publish.command()
@click.argument("artifact", type=ADDRESS)
@click.option(
    "--as",
    "form",
    type=click.Choice(["parquet", "warc"]),
    default="parquet",
    show_default=True,
    help="parquet: a data set of the Hub. warc: conversion records, as in WET.",
)
@_TO
@_LICENSE
@click.option("--url", help="Page of the data set. Default: its page on the Hub, or its fingerprint.")
@_INCOMPLETE
def documents(artifact: str, form: str, to: str, license_: str, url: str | None, allow_incomplete: bool) -> None:
    """Publish the kept documents of ARTIFACT: Parquet that `load_dataset` opens, with a data card and Croissant.

    With --as warc, the records hold the text of the pages that WARC-Refers-To names, and the folder is a pool that
    `dclm curate --pool` reads. The same artifact gives the same bytes.
    """
    if form == "warc":
        rows = _warc(artifact, to, allow_incomplete)
    else:
        from dclm.publish.documents import publish_documents

        rows = publish_documents(artifact, to, license_=license_, url=url, allow_missing=allow_incomplete)
        say(f"{rows:,} documents")
    put_result({"to": to, "as": form, "documents": rows}, to)


def _warc(artifact: str, to: str, allow_incomplete: bool) -> int:
    from dclm.documents.warc import publish_warc

    if "://" in to:
        raise ConfigError(f"--to {to}", "found a URL, allowed with --as warc: a local folder")
    found = publish_warc(artifact, Path(to), allow_missing=allow_incomplete)
    say(f"{found.records:,} records in {found.files} files")
    if found.without_page:
        say(
            f"{found.without_page:,} of them do not refer to a page, because their documents do not come from WARC "
            "files"
        )
    return found.records


@publish.command()
@click.argument("artifact", type=ADDRESS)
@_TO
@_LICENSE
@_INCOMPLETE
def tokens(artifact: str, to: str, license_: str, allow_incomplete: bool) -> None:
    """Publish the tokens ARTIFACT, as `dclm train` reads it."""
    from dclm.publish.others import publish_tokens

    publish_tokens(artifact, to, license_=license_, allow_missing=allow_incomplete)
    put_result({"to": to}, to)


@publish.command()
@click.argument("checkpoint", type=ADDRESS)
@_TO
@_LICENSE
def model(checkpoint: str, to: str, license_: str) -> None:
    """Publish CHECKPOINT (the --out of `dclm train`, or a run) as a model of `transformers`, with a model card."""
    from dclm.publish.others import publish_model

    publish_model(checkpoint, to, license_=license_)
    put_result({"to": to}, to)


@publish.command()
@click.argument("path", metavar="RESULT", type=ADDRESS)
@_TO
@click.option("--license", "license_", default="cc0-1.0", show_default=True, help="License for the card.")
def result(path: str, to: str, license_: str) -> None:
    """Publish RESULT (a result.json, or the directory of a run) with its items and a card."""
    from dclm.publish.others import publish_result

    publish_result(path, to, license_=license_)
    put_result({"to": to}, to)
