"""The stages of the chain as functions. Finished work is reused, as on the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from dclm.api.artifacts import Artifact, Checkpoint, Documents, RunDirectory, Scores, expect
from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.core.record import require_complete
from dclm.core.stages.ownership import require_directory
from dclm.core.stages.progress import NullProgress, Progress
from dclm.curate.options import CurateOptions
from dclm.curate.own.code import find_code
from dclm.curate.own.load import own_step
from dclm.curate.pipeline import Pipeline, bind, load_pipeline
from dclm.curate.stage import curate as run_curation
from dclm.curate.step import Step
from dclm.engine import open_engine
from dclm.pool.files import list_files
from dclm.recipe.layout import StageName

Path_ = str | Path
Say = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing."""


def own(what: str, *, directory: Path_ = ".", **fields: object) -> Step:
    """A step of your own, for `Pipeline(steps=…)`: `own("rules.py:keep", min_words=3)`.

    what: FILE:NAME of a function or a Step class, relative to `directory` (see docs/own_filters.md). fields: the step's
    fields, checked like those in a pipeline file. Raises: ConfigError for a missing file, name or field, and for an
    error in the file.
    """
    module, _, attribute = what.rpartition(":")
    code = find_code(module, Path(directory)) if module else None
    if code is None:
        raise ConfigError(what, f"no such file or module below {directory}", "write FILE:NAME, such as rules.py:keep")
    return build(own_step(code, attribute), parse_yaml("{}", what), fields)


def curate(
    pipeline: Pipeline | Path_,
    pool: Path_ | Sequence[Path_],
    out: Path_,
    *,
    seed: int = 0,
    limit: int | None = None,
    models: Mapping[str, Path_] | None = None,
    max_reject_fraction: float = 0.5,
    allow_incomplete: bool = False,
    trust: bool = False,
    force: bool = False,
    wait: bool = False,
    cache: Path_ | None = None,
    workers: int = 1,
    on: str = "local",
    progress: Progress | None = None,
    say: Say = silent,
) -> Documents:
    """Run a pipeline over a pool.

    pipeline: a `Pipeline`, or the path of a pipeline file. pool: files, directories, globs or URLs of WARC, WET, JSON
    lines or Parquet. out: a directory or URL for the documents. limit: read at most this many records. models: files
    for steps that refer to them by name, such as a classifier. trust: allow a pipeline file to run the code of its own
    steps. Steps made with `own` need no permission. force: replace finished documents that other settings made.
    wait: wait while another run writes to `out`. cache: a directory for work that later calls reuse, so that a change
    of a step costs only what comes after it.
    workers: processes; on: `local`, `ray` or `ray:ADDRESS`. Neither changes the output. say: called with a message when
    an artifact is reused. Raises: ConfigError, DataError; IncompleteError if files are damaged, unless
    `allow_incomplete`.
    """
    paths = [str(p) for p in ([pool] if isinstance(pool, str | Path) else pool)]
    loaded = pipeline if isinstance(pipeline, Pipeline) else load_pipeline(pipeline, trust)
    options = CurateOptions(seed=seed, limit=limit, max_reject_fraction=max_reject_fraction)
    require_directory(out, "documents", paths)
    with open_engine(on, workers, say) as engine:
        run_curation(
            bind(loaded, models),
            list_files(paths),
            out,
            options,
            engine,
            progress,
            say=say,
            wait=wait,
            force=force,
            cache=None if cache is None else str(cache),
        )
    require_complete(out, "documents", allow_incomplete)
    return Documents(out)


def evaluate(
    model: Checkpoint | Path_,
    out: Path_,
    *,
    suite: str | None = None,
    tasks: Sequence[str] = (),
    perplexity: Sequence[str] = (),
    limit: int | None = None,
    device: str = "auto",
    force: bool = False,
    wait: bool = False,
    workers: int = 1,
    on: str = "local",
    progress: Progress | None = None,
    say: Say = silent,
) -> Scores:
    """Score a model on a suite (`core`, `extended`, `mmlu`) or on tasks, and on texts by their bits per byte.

    model: a checkpoint, or any other model that `dclm evaluate` accepts. limit: maximum number of items per task; the
    result is then not a benchmark score. force: replace scores that other settings made. wait: wait while
    another run writes to `out`. Raises: ConfigError, DataError.
    """
    from dclm.eval.run.stage import evaluate as run_evaluation

    with open_engine(on, workers, say) as engine:
        run_evaluation(
            expect(Checkpoint, model),
            out,
            suite=suite,
            tasks=tuple(tasks),
            perplexity=tuple(perplexity),
            limit=limit,
            device=device,
            engine=engine,
            progress=progress,
            say=say,
            wait=wait,
            force=force,
        )
    return Scores(out)


def run(
    recipe: Path_,
    out: Path_,
    *,
    until: StageName = "evaluate",
    limit: int | None = None,
    variables: Sequence[str] = (),
    trust: bool = False,
    force: bool = False,
    wait: bool = False,
    cache: Path_ | None = None,
    workers: int = 1,
    on: str | Literal["local", "ray"] = "local",
    num_ranks: int = 1,
    make_progress: Callable[[], Progress] = NullProgress,
    say: Say = silent,
) -> RunDirectory:
    """Run a recipe file from its pool up to a stage (`pool`, `curate`, `tokenize`, `train`, `evaluate`).

    variables: environment variables that the recipe may use, as with `--env`. trust: allow the recipe's pipelines to
    run the code of their own steps. force: replace artifacts that an earlier version of the recipe made. wait: wait
    while another run writes to `out`. cache: as for `curate`. Raises: the errors of the stages.
    """
    from dclm.recipe.recipe import load_recipe
    from dclm.recipe.run import Run, RunOptions

    options = RunOptions(
        limit=limit,
        until=until,
        wait=wait,
        force=force,
        cache=None if cache is None else str(cache),
        num_ranks=num_ranks,
        on_ray=on.startswith("ray"),
        make_progress=make_progress,
        say=say,
    )
    loaded = load_recipe(Path(recipe), variables, trust)
    with open_engine(on, workers, say) as engine:
        Run(loaded, str(out), engine, options).execute()
    return RunDirectory(out)


__all__ = ["Artifact", "curate", "evaluate", "own", "run"]
