"""`dclm ablate`: what each step of a pipeline is worth."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.markup import escape
from rich.table import Table

from dclm.cli.options import LOCAL_PATH, ConsoleProgress, force_option, named_models, open_console, put

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
    help="Records to read, the first of some files.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of random steps, such as sampling.")
@click.option("--model", "models", multiple=True, metavar="NAME=PATH", help="A file that a step asks for by NAME.")
@click.option("--json", "json_file", type=LOCAL_PATH, help="Write all numbers, overlaps too, here.")
@click.option("--html", "html_file", type=LOCAL_PATH, help="Write a page with a picture here.")
@click.option("--trust", is_flag=True, help="Let the pipeline name its own steps (module:Class), which imports code.")
@click.option("--workers", type=click.IntRange(1), help="Pipelines at once on this machine. Default: one a core.")
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
    """Drop one step of PIPELINE at a time, on a sample of --pool, and show what each one changes.

    Every step also runs alone, which shows how much of its work others would do, and what the order is worth.
    """
    from dclm.core.ownership import claim_file
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
    _print(found)


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
        "drops: in the whole pipeline · alone: as the only step · shared: of alone, what others would drop alone too\n"
        "only here: come out without the step · later: dropped by it, without it by a later one · lost: come out only\n"
        "with it · kept without, characters: change of what is kept when the step is left out"
    )
