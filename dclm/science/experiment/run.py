"""Curates each recipe once, then tokenizes and trains every cell of the grid. Finished work is reused."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

from dclm.core.counts import CheckpointCounts, TokensCounts, counts_of
from dclm.core.record import read_record
from dclm.core.stages.engine import Engine
from dclm.core.stages.ownership import claim_folder
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stores.store import absolute
from dclm.recipe.layout import Layout, SharingLayout
from dclm.recipe.recipe import LoadedRecipe
from dclm.recipe.run import Run, RunOptions
from dclm.science.experiment.held_out import Overlap, overlap, write_held_out
from dclm.science.experiment.repeats import repeated_share
from dclm.science.experiment.spec import Cell, LoadedExperiment


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """The measurements of one cell."""

    recipe: str
    scale: str
    seed: int
    parameters: int
    tokens: int
    """Number of training tokens."""
    bits_per_byte: float
    """Bits per byte of the held-out text."""
    train_loss: float
    """Nats per token, over the last updates: of a different text for each recipe, so recipes must not be compared by
    it."""
    repeated: float
    """Fraction of the training text that it had read before. See `dclm.science.experiment.repeats`."""
    fingerprint: str
    """Number of parameters of the checkpoint."""
    learning_rate: float = 1.0
    """Multiple of the scale's own learning rate."""
    weight_decay: float = 1.0
    """Multiple of the scale's own weight decay."""
    share_kept: float | None = None
    """Fraction of the documents that were kept, if it was varied."""
    passes: float | None = None
    """Training tokens relative to the tokens that the recipe had."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExperimentOutcome:
    """All measurements of an experiment."""

    points: tuple[Point, ...]
    overlaps: dict[str, Overlap]
    """Recipe → overlap of its documents with the held-out text."""


def run_experiment(
    loaded: LoadedExperiment,
    out: Path,
    engine: Engine,
    *,
    force: bool = False,
    cache: str | None = None,
    make_progress: Callable[[], Progress] = NullProgress,
    say: Callable[[str], None] = lambda line: None,
) -> ExperimentOutcome:
    """Run all cells into OUT/RECIPE/SCALE/TOKENS/seed-N; documents are in OUT/RECIPE/documents.

    force: replace artifacts that earlier versions of the recipes made. cache: directory or URL for work of curation
    that later runs reuse. Raises: the errors of the stages; a run that was
    killed continues where it stopped.
    """
    known = ("points.json", "held-out.jsonl", "*/documents/*/record.json")
    claim_folder(out, "experiment", [loaded.held_out], known=known)
    held_out = (out / "held-out.jsonl").resolve()
    write_held_out(loaded.experiment.held_out, loaded.held_out, held_out)
    overlaps = {}
    for name, recipe in loaded.recipes.items():
        said = _prefixed(say, name)
        options = RunOptions(until="curate", force=force, cache=cache, make_progress=make_progress, say=said)
        run = Run(recipe, out / name, engine, options)
        run.execute()
        overlaps[name] = overlap([Path(place) for place in run.layout.trained_documents().values()], held_out)
    options = RunOptions(until="train", force=force, make_progress=make_progress)
    cells = loaded.cells()
    points = []
    for number, cell in enumerate(cells, 1):
        point = _measure(cell, loaded.recipes[cell.recipe], out / cell.recipe, held_out, engine, options)
        say(f"[{number}/{len(cells)}] {cell.recipe} {cell.label}: {point.bits_per_byte:.4f} bits per byte")
        points.append(point)
    return ExperimentOutcome(points=tuple(points), overlaps=overlaps)


def _prefixed(say: Callable[[str], None], name: str) -> Callable[[str], None]:
    return lambda line: say(f"{name}: {line}")


def _measure(
    cell: Cell, recipe: LoadedRecipe, directory: Path, held_out: Path, engine: Engine, options: RunOptions
) -> Point:
    changed = dataclasses.replace(
        recipe.recipe, scale=cell.scale, tokens=cell.tokens, seed=cell.seed, validation=str(held_out)
    )
    loaded = dataclasses.replace(recipe, recipe=changed)
    shared = Layout(out=absolute(directory), loaded=loaded)
    layout = SharingLayout(out=absolute(directory / cell.label), loaded=loaded, shared=shared)
    run = Run(loaded, layout.out, engine, options, layout)
    run.scale = cell.adapt(run.scale)
    run.tokenize()
    record = read_record(run.train())
    counts = counts_of(record, CheckpointCounts)
    assert counts.validation_bits_per_byte is not None
    trained = counts.tokens // run.scale.model.seq_len
    sources = counts_of(read_record(layout.tokens), TokensCounts).sources
    return Point(
        recipe=cell.recipe,
        scale=cell.scale,
        seed=cell.seed,
        parameters=counts.params,
        tokens=counts.tokens,
        bits_per_byte=counts.validation_bits_per_byte,
        train_loss=counts.final_loss,
        repeated=repeated_share(Path(layout.tokens), trained),
        fingerprint=record.fingerprint,
        learning_rate=cell.learning_rate,
        weight_decay=cell.weight_decay,
        share_kept=loaded.keep_top,
        passes=trained / sum(int(str(source["sequences"])) for source in sources),
    )
