"""Files that a recipe needs and this machine lacks: models and lists of its steps, the tokenizer, the tasks' data.

Nothing is downloaded. Each line states whether a run would download the file and, if it cannot, what will be missing
without it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from dclm.assets import CATALOG, Asset, LocalFile, check_asset
from dclm.core.line import Line
from dclm.core.storage import is_local
from dclm.core.stores.store import exists
from dclm.curate.pipeline import Pipeline
from dclm.eval.data.gpqa import PASSWORD
from dclm.eval.data.sources import task_asset
from dclm.eval.run.eval_model import LM_EVAL
from dclm.eval.suite import Suite, load_suite, suite_of
from dclm.pool.lists import MARK
from dclm.pool.spec import pool_paths
from dclm.recipe.layout import Layout

_NAMED = 8
"""Maximum number of tasks of a kind to name."""


def needs_lines(layout: Layout, pipelines: Iterable[Pipeline]) -> Iterator[Line]:
    """One line for each file that is not on this machine, with the consequences for the scores."""
    recipe = layout.loaded.recipe
    for source in (*recipe.data, *recipe.annotate):
        for path in missing_files(pool_paths(source.pool), layout):
            if is_local(path):
                yield _line("missing", path, f"the pool {source.name}", "no such file; the run will stop there")
    named = {asset.name: asset for asset in CATALOG}
    wanted = {name: step.name for pipeline in pipelines for step in pipeline.steps for name in step.assets}
    if not recipe.tokenizer.endswith(".json"):
        wanted[recipe.tokenizer] = "tokenize"
    for name, step in wanted.items():
        if name in recipe.classifiers or name in recipe.models:
            continue
        if name in named:
            if (line := _asset_line(named[name])) is not None:
                yield _line("needs", name, step, line)
        elif not (Path(name).exists() or exists(name)):
            yield _line("missing", name, step, "no such asset and no such file; the run will stop there")
    yield from _task_lines(layout)


def _line(kind: str, what: str, by: str, then: str, names: Sequence[str] | None = None) -> Line:
    """names: those that `what` lists, if it may abbreviate them."""
    value = {"what": what if names is None else list(names), "for": by, "then": then}
    return Line(f"{kind:<10} {what} for {by}: {then}", missing=[value])


def missing_files(paths: Iterable[str], layout: Layout) -> list[str]:
    """Those paths of a recipe that match no file on this machine, among them all URLs."""
    found = [layout.path(path).removeprefix(MARK) for path in paths]
    return [
        path for path in found if not is_local(path) or not (Path(path).exists() or glob.glob(path, recursive=True))
    ]


def _asset_line(asset: Asset) -> str | None:
    """How to get an asset; None if this machine has it."""
    if check_asset(asset) is not None:
        return None
    others = [source for source in asset.sources if not isinstance(source, LocalFile)]
    if others:
        return f"will be downloaded ({others[0].describe()})"
    return f"not available for download: put it into the folder that DCLM_ASSETS names, as {asset.name}"


def _task_lines(layout: Layout) -> Iterator[Line]:
    """The tasks whose data is missing, and the means that are null without the data that cannot be downloaded."""
    recipe = layout.loaded.recipe
    own = tuple(task for task in recipe.tasks if not task.startswith(LM_EVAL))
    suite = suite_of(own) if recipe.suite is None else load_suite(recipe.suite)
    later, gone = _without_data(suite)
    if later:
        yield _line("needs", f"data of {_listed(later)}", "evaluate", "will be downloaded", later)
    if not gone:
        return
    yield _line("missing", f"data of {_listed(gone)}", "evaluate", "not available for download", gone)
    for name in ("core", "extended"):
        if (hit := [task for task in load_suite(name).labels if task in gone]) and set(hit) <= set(suite.labels):
            verb = "has" if len(hit) == 1 else "have"
            then = f"{name.upper()} will be null"
            value = {"what": hit, "for": "evaluate", "then": then}
            yield Line(f"           {then}: {_listed(hit)} {verb} no data", missing=[value])


def _without_data(suite: Suite) -> tuple[list[str], list[str]]:
    """Tasks whose data a run would download, and tasks whose data is not available."""
    later: list[str] = []
    gone: list[str] = []
    for task in suite.tasks:
        if task.metadata.data.sha256 is None:  # encrypted
            (later if os.environ.get(PASSWORD) else gone).append(task.task)
            continue
        line = _asset_line(task_asset(task))
        if line is not None:
            (later if line.startswith("will be") else gone).append(task.task)
    return later, gone


def _listed(names: list[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
