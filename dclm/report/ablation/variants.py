"""Pipelines with steps left out, run on the same documents: which document leaves at which step."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.errors import DataError
from dclm.core.record import fingerprint
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stages.progress import Progress
from dclm.curate.batches import Flow, Opened
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.stage import curate
from dclm.curate.step import Context, Filter, Map, Step
from dclm.documents.artifact import KEPT, Artifact, numbers
from dclm.documents.schema import DOCUMENT
from dclm.extract.step import Extract
from dclm.pool.files import InputFile, list_files

MAX_FILES = 8
"""Maximum number of files of the pool in a sample, evenly spread: every variant opens each of them."""

Places = tuple[int, ...]
"""Indices in the whole pipeline of the steps of a variant, in order."""


class VariantOutcome(NamedTuple):
    """The outcome of each document of the sample, in order. A document has the same index in all variants."""

    step: npt.NDArray[np.int32]
    """Index in the whole pipeline of the step at which it left; −1: the reader; KEPT: it was kept."""
    characters: npt.NDArray[np.int64]
    """Number of code points of its text when it left or was kept."""

    @property
    def kept(self) -> npt.NDArray[np.bool_]:
        return np.equal(self.step, KEPT)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bench:
    """State shared by all variants."""

    bound: BoundPipeline
    files: tuple[InputFile, ...]
    options: CurateOptions
    root: Path
    """Directory for their artifacts."""


def prepare(
    bound: BoundPipeline,
    files: Sequence[InputFile],
    sample: int,
    seed: int,
    root: Path,
    engine: Engine,
    progress: Progress,
) -> Bench:
    """Read the sample, and turn its pages into documents once for all variants, if the pipeline has a step that does
    so.

    Raises: DataError if no page becomes a document.
    """
    files = files[:: -(-len(files) // MAX_FILES)]
    options = CurateOptions(seed=seed, limit=sample, max_reject_fraction=1.0)
    extract = extraction(bound)
    if extract is None:
        return Bench(bound=bound, files=tuple(files), options=options, root=root)
    base = root / "extracted"
    record = curate(_subset(bound, (extract,)), files, base, options, engine, progress)
    if record.counts["kept"] == 0:
        raise DataError(str(files[0].path), "no page of the sample became a document", "use a larger --sample")
    options = dataclasses.replace(options, limit=None)
    return Bench(bound=bound, files=list_files([str(base)]), options=options, root=root)


def run_variants(
    bench: Bench, variants: Sequence[Places], engine: Engine, progress: Progress
) -> dict[Places, VariantOutcome]:
    """Run each distinct variant once; the engine's units are whole variants."""
    todo = sorted(set(variants))
    found: dict[Places, VariantOutcome] = {}
    progress.start("variants", len(todo), "pipelines")
    for index, outcome in engine.map(partial(_run, bench), todo):
        found[todo[index]] = outcome
        progress.advance()
    progress.finish()
    return found


def _run(bench: Bench, places: Places) -> VariantOutcome:
    out = bench.root / fingerprint(list(places))[:16]
    curate(_subset(bench.bound, places), bench.files, out, bench.options, SerialEngine())
    step, characters = [], []
    names = np.array(
        [*places, -1, KEPT], np.int32
    )  # indexed by the position in the variant; −1 and −2 count from the end
    for rows in Artifact(out).rows("characters"):
        step.append(names[np.where(rows.step == -1, len(places), np.where(rows.kept, len(places) + 1, rows.step))])
        characters.append(np.nan_to_num(numbers(rows.batch, "characters")).astype(np.int64))
    return VariantOutcome(np.concatenate(step), np.concatenate(characters))


def _subset(bound: BoundPipeline, places: Places) -> BoundPipeline:
    steps = tuple(bound.pipeline.steps[place] for place in places)
    return dataclasses.replace(bound, pipeline=dataclasses.replace(bound.pipeline, steps=steps))


def extraction(bound: BoundPipeline) -> int | None:
    """Index of the step that turns pages into documents and passes documents through; None if none exists."""
    return next((i for i, step in enumerate(bound.pipeline.steps) if isinstance(step, Extract)), None)


def needs(bound: BoundPipeline) -> dict[int, set[int]]:
    """Index of a step → indices of the earlier steps on which it depends.

    A step depends on another if one of its settings is the name of a column that the other is the first to add. These
    columns are found by running the steps on zero documents.
    """
    context = Context(files=bound.files)
    batch = pa.RecordBatch.from_pylist([], schema=DOCUMENT.append(pa.field("_row", pa.int64())))
    origin: dict[str, int] = {}
    found: dict[int, set[int]] = {}
    for place, step in enumerate(bound.pipeline.steps):
        found[place] = {origin[value] for value in _words(step) if value in origin}
        found[place] |= {earlier for direct in found[place] for earlier in found[direct]}
        if isinstance(step, Map | Filter):
            batch = Flow([Opened(step, place, step.open(context))], 0).run(batch)
        for name in batch.schema.names:
            if not name.startswith("_") and name not in DOCUMENT.names:
                origin.setdefault(name, place)
    return found


def _words(step: Step) -> list[str]:
    return [v for f in dataclasses.fields(step) if isinstance(v := getattr(step, f.name), str)]
