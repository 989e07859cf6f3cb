"""`dclm run`: run every stage of a recipe."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.answers import artifact_value
from dclm.cli.shared.options import (
    ADDRESS,
    LOCAL_PATH,
    ConsoleProgress,
    cache_option,
    engine_options,
    env_option,
    put_result,
    replace_option,
    say,
    trust_option,
    wait_option,
)

if TYPE_CHECKING:
    from dclm.recipe.layout import StageName
    from dclm.train.distributed.ranks import Device


@click.command()
@click.argument("recipe", type=LOCAL_PATH)
@click.option("--out", type=ADDRESS, required=True, help="Directory for the run.")
@click.option("--limit", type=click.IntRange(1), help="Maximum number of records to read from each source.")
@click.option(
    "--until",
    type=click.Choice(["pool", "curate", "tokenize", "train", "evaluate"]),
    default="evaluate",
    show_default=True,
    help="Last stage to run.",
)
@click.option(
    "--nproc",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of training processes (one per GPU); with --on ray: workers of the cluster.",
)
@click.option(
    "--min-nproc",
    type=click.IntRange(1),
    help="On Ray: minimum number of workers to train with while no more are available.",
)
@click.option(
    "--device",
    type=click.Choice(["auto", "cpu", "cuda"]),
    default="auto",
    show_default=True,
    help="Where to train and evaluate; auto uses a GPU if the machine that does the work has one.",
)
@env_option
@trust_option
@cache_option
@engine_options
@replace_option
@wait_option
def run(
    recipe: Path,
    out: str,
    limit: int | None,
    until: str,
    nproc: int,
    min_nproc: int | None,
    device: Device,
    variables: tuple[str, ...],
    trust: bool,
    cache: str | None,
    on: str,
    workers: int | None,
    force: bool,
    wait: bool,
) -> None:
    """Run RECIPE from pool to OUT/result.json. Finished stages are reused.

    If the recipe has changed, --force replaces the artifacts of the affected stages."""
    from dclm.engine import open_engine
    from dclm.recipe.layout import STAGES
    from dclm.recipe.recipe import load_recipe
    from dclm.recipe.run import Run, RunOptions

    stage = next(s for s in STAGES if s == until)
    options = RunOptions(
        limit=limit,
        until=stage,
        num_ranks=nproc,
        min_ranks=min_nproc,
        on_ray=on.startswith("ray"),
        device=device,
        wait=wait,
        force=force,
        cache=cache,
        make_progress=ConsoleProgress,
        say=say,
    )
    loaded = load_recipe(recipe, variables, trust)
    with open_engine(on, workers) as engine:
        made = Run(loaded, out, engine, options).execute()
    put_result(lambda: _value(out, made, stage), made)


def _value(out: str, made: str, stage: StageName) -> dict[str, object]:
    """The artifacts of the run, and its result if all stages have run."""
    from dclm.core.record import read_record
    from dclm.core.stores.store import absolute, local_file
    from dclm.recipe.layout import artifacts_of_run

    artifacts = {
        place: artifact_value(address, read_record(address))
        for place, address in artifacts_of_run(absolute(out)).items()
    }
    result = json.loads(local_file(made).read_text(encoding="utf-8")) if stage == "evaluate" else None
    return {"made": made, "until": stage, "artifacts": artifacts, "result": result}
