"""What a recipe would do: its stages in order, with what each takes and makes, and what is there already."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from dclm.engine.plan import segments
from dclm.pipeline import load_pipeline
from dclm.recipe import LoadedRecipe
from dclm.record import RECORD
from dclm.stages.layout import Layout
from dclm.train.scale import find_scale


def plan_lines(loaded: LoadedRecipe, out: Path | None = None) -> Iterator[str]:
    """One line a stage. Reads the recipe and its pipelines (with all their errors), nothing else."""
    recipe = loaded.recipe
    layout = Layout(out=out or Path("OUT"), loaded=loaded)
    yield f"recipe {recipe.name}, seed {recipe.seed}"
    for source in recipe.data:
        yield f"pool       {source.name}: {source.pool}"
    for name in recipe.classifiers:
        yield f"classifier {name} → {layout.classifier(name)}{_there(out, layout.classifier(name))}"
    for source in recipe.data:
        pipeline = load_pipeline(loaded.path(source.pipeline))
        parts = segments(pipeline.steps)
        between = ", ".join(s.head.name for s in parts if s.head is not None)
        cuts = f" in {len(parts)} passes (cut by {between})" if between else ""
        target = layout.documents(source.name)
        yield (
            f"curate     {source.name}: {pipeline.name}, {len(pipeline.steps)} steps{cuts}"
            f" → {target}{_there(out, target)}"
        )
    scale = find_scale(recipe.scale)
    tokens = recipe.tokens or scale.trained_tokens
    seq_len = scale.model.seq_len
    yield f"tokenize   {recipe.tokenizer}, rows of {seq_len} + 1 → {layout.tokens}{_there(out, layout.tokens)}"
    flops = 6 * scale.model.published_parameters * tokens
    changed = "" if recipe.tokens is None else " (not the scale's own number: leaves the benchmark)"
    what = f"{scale.name}: {tokens:,} tokens{changed}, {flops:.3g} FLOPs"
    yield f"train      {what} → {layout.train}{_there(out, layout.train)}"
    what = recipe.suite or ", ".join(recipe.tasks)
    limit = f", {recipe.limit} items a task (no benchmark score)" if recipe.limit else ""
    yield f"evaluate   {what}{limit} → {layout.scores}{_there(out, layout.scores)}"
    yield f"result     {layout.result}"


def _there(out: Path | None, artifact: Path) -> str:
    return (
        " [there already; reused if nothing it depends on has changed]" if out and (artifact / RECORD).exists() else ""
    )
