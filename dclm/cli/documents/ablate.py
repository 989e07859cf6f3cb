"""`dclm ablate`: the effect of each step of a pipeline."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from dclm.cli.shared.options import (
    LOCAL_PATH,
    ConsoleProgress,
    force_option,
    named_models,
    open_console,
    put,
    put_result,
    trust_option,
)

if TYPE_CHECKING:
    from dclm.report.ablation.run import Ablation


@click.command()
@click.argument("pipeline", type=LOCAL_PATH)
@click.argument("more", nargs=-1, metavar="")
@click.option("--pool", multiple=True, required=True, metavar="PATH...", help="Files, directories, globs or URLs.")
@click.option(
    "--sample",
    type=click.IntRange(1),
    default=2000,
    show_default=True,
    help="Number of records to read, from the start of several files.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for random steps, such as sampling.")
@click.option(
    "--model", "models", multiple=True, metavar="NAME=PATH", help="File for a step that refers to it as NAME."
)
@click.option("--numbers", "json_file", type=LOCAL_PATH, help="Write all numbers, including overlaps, to this file.")
@click.option("--html", "html_file", type=LOCAL_PATH, help="Write an HTML page with a chart to this file.")
@trust_option
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Number of pipelines to run at once on this machine. Default: one per core.",
)
@force_option
def ablate(
    pipeline: Path,
    more: tuple[str, ...],
    pool: tuple[str, ...],
    sample: int,
    seed: int,
    models: tuple[str, ...],
    json_file: Path | None,
    html_file: Path | None,
    trust: bool,
    workers: int | None,
    force: bool,
) -> None:
    """Leave out each step of PIPELINE in turn, on a sample of --pool, and show what changes.

    Each step is also run alone, which shows how much of its work the other steps would do, and whether the order
    matters.
    """
    from dclm.core.stages.ownership import claim_file
    from dclm.core.storage import write_atomic
    from dclm.curate.pipeline import bind, load_pipeline
    from dclm.engine import open_engine
    from dclm.pool.files import list_files
    from dclm.report.ablation.page import render_ablation
    from dclm.report.ablation.run import ablate as run

    bound = bind(load_pipeline(pipeline, trust), named_models(models))
    files = list_files((*pool, *more))
    for path in filter(None, (json_file, html_file)):
        claim_file(path, [pipeline, *(file.path for file in files)], force=force)
    with open_engine(workers=workers) as engine:
        found = run(bound, files, sample, seed, engine, ConsoleProgress())
    if json_file is not None:
        write_atomic(json_file, (json.dumps(dataclasses.asdict(found), indent=1) + "\n").encode())
    if html_file is not None:
        write_atomic(html_file, render_ablation(found).encode())
    put_result(found, lambda: _print(found))


def _print(found: Ablation) -> None:
    title = f"{escape(found.pipeline)}: {found.kept:,} of {found.documents:,} documents kept, "
    title += f"{found.characters:,} characters"
    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name in ("", "step", "drops", "alone", "shared", "only here", "later", "lost", "kept without", "characters"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for effect in found.steps:
        change = (effect.characters_without - found.characters) / max(1, found.characters)
        with_it = f" (with {', '.join(map(str, effect.gone_with))})" if effect.gone_with else ""
        counts = (
            effect.dropped, effect.dropped_alone, effect.also_dropped_by_others, effect.only_here, effect.caught_later,
            effect.lost_without,
        )  # fmt: skip
        cells = [f"{n:,}" if n else "" for n in counts]
        table.add_row(
            str(effect.index),
            escape(effect.step) + with_it,
            *cells,
            f"{effect.kept_without - found.kept:+,}",
            f"{change:+.2%}",
        )
    console = open_console()
    console.width = console.width if console.is_terminal else 140
    console.print(table)
    put(
        "drops: in the whole pipeline · alone: as the only step · shared: those of alone that other steps alone also "
        "drop\n"
        "only here: kept if the step is left out · later: dropped by a later step instead · lost: kept only\n"
        "with the step · kept without, characters: change in the output when the step is left out"
    )
