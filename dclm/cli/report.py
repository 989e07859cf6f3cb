"""`dclm report`: one HTML page about a documents artifact."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.options import LOCAL_PATH, force_option, put, say


@click.command()
@click.argument("artifact", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, help="File to write. Default: report.html in ARTIFACT.")
@click.option(
    "--tokenizer",
    default="gpt-neox-20b",
    show_default=True,
    help="Tokenizer for the token estimate; none: no estimate.",
)
@force_option
def report(artifact: Path, out: Path | None, tokenizer: str, force: bool) -> None:
    """Write one HTML page about ARTIFACT, an output of `dclm curate`.

    Shows the waterfall of documents, characters and tokens, histograms of the annotations with their cuts, domains,
    languages, samples of what each step dropped, and alarms. The page has no script and loads nothing.
    """
    from dclm.core.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.report.build import build_report
    from dclm.report.page import render_report

    if out is not None:
        claim_file(out, force=force)
    found = build_report(artifact, None if tokenizer == "none" else tokenizer)
    target = out or artifact / "report.html"
    write_atomic(target, render_report(found).encode("utf-8", "replace"))
    for alarm in found.alarms:
        say(f"alarm: {alarm}")
    put(target)
