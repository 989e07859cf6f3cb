"""`dclm experiment`: a grid of recipes, scales, budgets and seeds."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import (
    LOCAL_PATH,
    ConsoleProgress,
    cache_option,
    engine_options,
    env_option,
    put_result,
    replace_option,
    say,
    trust_option,
)


@click.command()
@click.argument("file", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory for the experiment.")
@env_option
@trust_option
@cache_option
@engine_options
@replace_option
def experiment(
    file: Path,
    out: Path,
    variables: tuple[str, ...],
    trust: bool,
    cache: str | None,
    on: str,
    workers: int | None,
    force: bool,
) -> None:
    """Run every cell of the grid in FILE, and write OUT/report.md with its charts. Finished cells are reused.

    FILE names recipes, scales, token budgets, seeds and the held-out text on which all models are evaluated.
    """
    from dclm.engine import open_engine
    from dclm.science.experiment.report import write_report
    from dclm.science.experiment.run import run_experiment
    from dclm.science.experiment.spec import load_experiment

    loaded = load_experiment(file, variables, trust)
    with open_engine(on, workers) as engine:
        outcome = run_experiment(loaded, out, engine, force=force, cache=cache, make_progress=ConsoleProgress, say=say)
    report = write_report(loaded.experiment, outcome, out)
    put_result({"report": report, "points": outcome.points, "overlaps": outcome.overlaps}, report)
