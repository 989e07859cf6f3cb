"""The effect of each step of a pipeline: leave out one at a time on a sample, run each alone, and compare the
outputs."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import Progress
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.step import Filter
from dclm.pool.files import InputFile
from dclm.report.ablation.variants import Bench, Places, VariantOutcome, extraction, needs, prepare, run_variants


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepEffect:
    """One step of the pipeline, on the sample."""

    index: int
    step: str
    gone_with: tuple[int, ...]
    """Later steps that depend on it; they are left out together with it."""
    dropped: int
    """Number of documents that leave at this step in the whole pipeline (including rejects)."""
    dropped_alone: int
    """Number of documents that leave at this step if it is the only one, applied to the documents as extracted."""
    also_dropped_by_others: int
    """Those of `dropped_alone` that some other step alone would also drop."""
    only_here: int
    """Number of documents that are kept only if the step is left out."""
    caught_later: int
    """Number of documents that leave at this step, but at a later one if it is left out."""
    lost_without: int
    """Number of documents that are kept only because of the step (it edits them, or removes documents that they
    duplicate)."""
    kept_without: int
    """Number of documents kept if the step is left out."""
    characters_without: int
    """Their number of characters."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ablation:
    """The effects of all steps that can be left out."""

    pipeline: str
    documents: int
    """Number of documents in the sample that have text."""
    kept: int
    characters: int
    """Number of characters of the kept documents."""
    steps: tuple[StepEffect, ...]
    overlap: tuple[tuple[int, ...], ...]
    """Row i, column j: number of documents that both `steps[i]` and `steps[j]` drop alone."""


def ablate(
    bound: BoundPipeline, files: Sequence[InputFile], sample: int, seed: int, engine: Engine, progress: Progress
) -> Ablation:
    """Run the whole pipeline, every pipeline without one step, and every step alone, on the same documents.

    The sample is the first records of some files (`variants.MAX_FILES`), `sample` in total. Pages are extracted once;
    the step that does this is part of all variants. A Filter that drops nothing is not run separately, since leaving it
    out cannot change anything. Raises: DataError if the sample has no document; the errors of the steps.
    """
    with tempfile.TemporaryDirectory(prefix="dclm-ablate-") as directory:
        bench = prepare(bound, files, sample, seed, Path(directory), engine, progress)
        return _compare(bench, engine, progress)


def _compare(bench: Bench, engine: Engine, progress: Progress) -> Ablation:
    steps = bench.bound.pipeline.steps
    extract = extraction(bench.bound)
    always = () if extract is None else (extract,)
    needed = needs(bench.bound)
    whole: Places = tuple(range(len(steps)))
    full = run_variants(bench, [whole], engine, progress)[whole]
    places = [i for i in whole if i not in always]
    without: dict[int, Places] = {}
    alone: dict[int, Places] = {}
    for i in places:
        alone[i] = tuple(sorted({*always, *needed[i], i}))
        idle = isinstance(steps[i], Filter) and not np.any(full.step == i)
        rest = tuple(j for j in whole if j != i and i not in needed[j])
        without[i] = whole if idle or not rest else rest
    outcomes = run_variants(bench, [*without.values(), *alone.values()], engine, progress)
    taken = np.array([outcomes[alone[i]].step == i for i in places], np.int64)
    effects = [
        _effect(bench, i, tuple(j for j in places if i in needed[j]), full, outcomes[without[i]], taken, row)
        for row, i in enumerate(places)
    ]
    return Ablation(
        pipeline=bench.bound.pipeline.name,
        documents=len(full.step),
        kept=int(full.kept.sum()),
        characters=int(full.characters[full.kept].sum()),
        steps=tuple(effects),
        overlap=tuple(tuple(row) for row in (taken @ taken.T).tolist()),
    )


def _effect(
    bench: Bench,
    place: int,
    gone_with: tuple[int, ...],
    full: VariantOutcome,
    without: VariantOutcome,
    taken: np.ndarray[tuple[int, ...], np.dtype[np.int64]],
    row: int,
) -> StepEffect:
    here = full.step == place
    others = np.delete(taken, row, axis=0).sum(axis=0) > 0
    return StepEffect(
        index=place,
        step=bench.bound.pipeline.steps[place].name,
        gone_with=gone_with,
        dropped=int(here.sum()),
        dropped_alone=int(taken[row].sum()),
        also_dropped_by_others=int((others & (taken[row] > 0)).sum()),
        only_here=int((without.kept & ~full.kept).sum()),
        caught_later=int((here & ~without.kept).sum()),
        lost_without=int((full.kept & ~without.kept).sum()),
        kept_without=int(without.kept.sum()),
        characters_without=int(without.characters[without.kept].sum()),
    )
