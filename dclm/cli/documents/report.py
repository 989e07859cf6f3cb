"""`dclm report`: one HTML page about a documents artifact."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import LOCAL_PATH, force_option, put_result, say
from dclm.core.errors import ConfigError


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
    """Write one HTML page about ARTIFACT, an output of `dclm curate`, or about each source of a run.

    Shows the waterfall of documents, characters and tokens, histograms of the annotations with their cuts, domains,
    languages, samples of what each step dropped, and alarms. The page has no script and loads nothing.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.recipe.layout import documents_in

    if out is not None:
        claim_file(out, force=force)
    places = documents_in(str(artifact))
    if len(places) > 1 and out is not None:
        hint = f"name one of them, such as {places[0]}"
        raise ConfigError(str(artifact), f"--out is one page, and this run has {len(places)} sources", hint)
    pages = [_report(place, out, tokenizer) for place in map(Path, places)]
    put_result(pages, lambda: "\n".join(str(page["page"]) for page in pages))


def _report(artifact: Path, out: Path | None, tokenizer: str) -> dict[str, object]:
    from dclm.core.storage import write_atomic
    from dclm.report.build import build_report
    from dclm.report.page import render_report

    found = build_report(artifact, None if tokenizer == "none" else tokenizer)
    target = out or artifact / "report.html"
    write_atomic(target, render_report(found).encode("utf-8", "replace"))
    for alarm in found.alarms:
        say(f"alarm: {alarm}")
    return {"artifact": artifact, "page": target, "alarms": found.alarms}
