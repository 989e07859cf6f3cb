"""The plan of a recipe: its stages in order, with their inputs and outputs, and which of these exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

from dclm.core.record import RECORD, read_record
from dclm.core.store import exists, join
from dclm.curate.cost import Curation, cost_lines, estimate_lines, measured_cost, size_text
from dclm.curate.pipeline import Pipeline
from dclm.curate.segments import segments
from dclm.pool.spec import PoolMap, PoolSpec, pool_paths, resolve_pool
from dclm.recipe.across import in_order
from dclm.recipe.layout import Layout
from dclm.recipe.mixing import mixture_line
from dclm.recipe.needs import missing_files, needs_lines
from dclm.recipe.recipe import DataSource, DedupAcross, LoadedRecipe
from dclm.select.model_spec import LanguageModelSpec, Spec
from dclm.select.ngram.train import NgramSpec
from dclm.select.semantic.head import HeadSpec
from dclm.tokens.dataset import TokenDataset
from dclm.train.budget import (
    BYTES_PER_PARAMETER,
    GIGABYTES,
    Hardware,
    check_hardware,
    estimate_memory,
    estimate_speed,
    gpu_hours,
)
from dclm.train.data import check_data
from dclm.train.options import TrainOptions
from dclm.train.scale import Scale, find_scale, with_tokens, with_vocabulary


def plan_lines(
    loaded: LoadedRecipe, out: Path | None = None, hardware: Hardware | None = None, curation: Curation | None = None
) -> Iterator[str]:
    """One line per stage, the resources of curation and training, and the files that are not on this machine.

    Reads the recipe and its pipelines (reporting all their errors), the tokens and timings in `out`, and the records
    and sizes that `curation` is based on; nothing else. Raises: also ConfigError if the scale cannot be trained on
    `hardware`, DataError if there are too few tokens.
    """
    recipe = loaded.recipe
    layout = Layout(out=str(out or "OUT"), loaded=loaded)
    yield f"recipe {recipe.name}, seed {recipe.seed}"
    for source in (*recipe.data, *recipe.annotate):
        yield f"pool       {source.name}: {_pool(source.pool)}"
    for source in recipe.annotate:
        yield from _curate("annotate  ", source, loaded, layout, out, curation or Curation())
    for name in recipe.classifiers:
        yield f"classifier {name} → {layout.classifier(name)}{_there(out, layout.classifier(name))}"
    for name, model in recipe.models.items():
        yield f"model      {name}: {model.kind} → {layout.model(name)}{_there(out, layout.model(name))}"
        yield from (f"  {line}" for line in _of_model(model.spec))
    for source in recipe.data:
        yield from _curate("curate    ", source, loaded, layout, out, curation or Curation())
    if recipe.dedup_across is not None:
        yield from _across(recipe.dedup_across, [source.name for source in recipe.data], layout, out)
    scale = with_tokens(find_scale(recipe.scale), recipe.tokens)
    seq_len = scale.model.seq_len
    mixture = mixture_line(recipe)
    if mixture is not None:
        yield f"mix        {mixture}"
    yield f"tokenize   {recipe.tokenizer}, rows of {seq_len} + 1 → {layout.tokens}{_there(out, layout.tokens)}"
    changed = "" if recipe.tokens is None else " (not the scale's number: leaves the benchmark)"
    batch = f"{scale.num_steps:,} updates of {scale.batch_sequences} × {seq_len:,}"
    what = f"{scale.name}: {scale.trained_tokens:,} tokens{changed} in {batch}, {scale.flops_6nd:.3g} FLOPs (6ND)"
    yield f"train      {what} → {layout.train}{_there(out, layout.train)}"
    yield f"  tokens   {_tokens(scale, recipe.epochs, layout.tokens if out else None)}"
    yield from _training(scale, hardware or Hardware(), layout.train if out else None)
    what = recipe.suite or ", ".join(recipe.tasks)
    limit = f", {recipe.limit} items per task (not a benchmark score)" if recipe.limit else ""
    yield f"evaluate   {what}{limit} → {layout.scores}{_there(out, layout.scores)}"
    for text in recipe.perplexity:
        yield f"perplexity {text} → {layout.scores}"
    if recipe.contamination:
        yield f"contamination of the tasks by the documents → {layout.contamination}"
    yield f"result     {layout.result}"
    yield _disk(scale)
    yield from needs_lines(layout, [loaded.pipeline(source) for source in recipe.data])


def _curate(
    what: str, source: DataSource, loaded: LoadedRecipe, layout: Layout, out: Path | None, curation: Curation
) -> Iterator[str]:
    """Steps and resources of one source's pipeline."""
    pipeline = loaded.pipeline(source)
    parts = segments(pipeline.steps)
    between = ", ".join((s.steps[0] if s.head is None else s.head).name for s in parts[1:])
    cuts = f" in {len(parts)} passes (cut by {between})" if between else ""
    target = layout.documents(source.name)
    steps = f"{pipeline.name}, {len(pipeline.steps)} steps{cuts}"
    yield f"{what} {source.name}: {steps} → {target}{_there(out, target)}"
    yield from (f"  memory   {step.name}: {step.memory}" for step in pipeline.steps if step.memory)
    yield from (f"  {line}" for line in _cost(source.pool, pipeline, layout, curation))


def _across(rule: DedupAcross, names: Sequence[str], layout: Layout, out: Path | None) -> Iterator[str]:
    """Which duplicates between sources are dropped, and whose copy is kept."""
    what = f"{', '.join(step.name for step in rule.steps)}, best source first: {', '.join(in_order(rule, names))}"
    yield f"across     {what} → {layout.across}{_there(out, layout.across)}"
    yield from (f"  memory   {step.name}: {step.memory}" for step in rule.steps if step.memory)


def _of_model(spec: Spec) -> Iterator[str]:
    """Resources for training a model, if known. Raises: ConfigError for an unknown scale."""
    if isinstance(spec, LanguageModelSpec):
        scale = with_tokens(find_scale(spec.scale), spec.tokens)
        yield f"train    {scale.name}: {scale.trained_tokens:,} tokens, {scale.flops_6nd:.3g} FLOPs (6ND)"
        yield f"memory   about {estimate_memory(scale, Hardware()).total / 1e9:.1f} GB"
    elif isinstance(spec, NgramSpec):
        yield f"memory   about {100 * spec.order} bytes per token of the texts"
    elif isinstance(spec, HeadSpec):
        yield "memory   8 bytes per document and dimension, and the encoder's weights"
    else:
        yield "memory   about 200 bytes per link between two hosts"


def _pool(spec: PoolSpec) -> str:
    """A field as in the recipe, without unset values."""
    if isinstance(spec, str):
        return spec
    if isinstance(spec, tuple):
        return ", ".join(spec)
    key, value = next((f.name, v) for f in dataclasses.fields(spec) if (v := getattr(spec, f.name)) is not None)
    if isinstance(value, tuple):
        return f"{key} {', '.join(value)}"
    given = ((f.name, getattr(value, f.name)) for f in dataclasses.fields(value))
    return f"{key} ({', '.join(f'{name} {v}' for name, v in given if v not in (None, ()))})"


def _cost(spec: PoolSpec, pipeline: Pipeline, layout: Layout, curation: Curation) -> Iterator[str]:
    """Time and disk space of one source's curation. Raises: the errors of `measured_cost` and of listing the pool's
    files."""
    measured = [artifact for artifact in curation.measured if read_record(artifact).name == pipeline.name]
    size = curation.pool_bytes
    if size is None:
        made = isinstance(spec, PoolMap) and (spec.sample is not None or spec.commoncrawl is not None)
        listed = not made and (measured or not missing_files(pool_paths(spec), layout))
        if not listed:
            yield "time     unknown: pass --pool-size"
            return
        size = sum(file.size for file in resolve_pool(spec, layout.out, layout.path))
    if measured:
        yield from cost_lines(measured_cost(measured[0], pipeline), size, curation)
    else:
        extracts = any(step.name == "extract" for step in pipeline.steps)
        yield from estimate_lines("warc" if extracts else "text", size, curation)


def _tokens(scale: Scale, epochs: int, artifact: str | None) -> str:
    passes = f" in up to {epochs} passes" if epochs > 1 else ""
    if artifact is None or not exists(join(artifact, RECORD)):
        return f"{scale.trained_tokens:,} needed{passes}; the number available is known after `run --until tokenize`"
    data = TokenDataset(artifact)
    check_data(data, with_vocabulary(scale, data.vocab_size), epochs, str(artifact))
    return f"{scale.trained_tokens:,} needed{passes}, {data.num_sequences * data.seq_len:,} available"


def _training(scale: Scale, hardware: Hardware, measured: str | None) -> Iterator[str]:
    """Memory, and hours and cost if a speed is known."""
    check_hardware(scale, hardware)
    memory, room = estimate_memory(scale, hardware), GIGABYTES[hardware.gpu]
    parts = (
        f"state {memory.state / 1e9:.1f}, activations {memory.activations / 1e9:.1f}, rest {memory.working / 1e9:.1f}"
    )
    tight = "" if memory.total < room * 1e9 else ": may not fit, try --checkpoint-activations or more GPUs"
    machine = f"{hardware.num_gpus} × {hardware.gpu}"
    yield f"  memory   about {memory.total / 1e9:.1f} GB of {room} on each of {machine} ({parts}){tight}"
    speed = estimate_speed(scale, hardware, None if measured is None else Path(measured))
    if speed is None:
        yield "  time     unknown: not measured by a run here; pass --mfu"
        return
    hours = gpu_hours(scale, hardware, speed)
    on = "" if speed.measured else f" on {machine} = {hours:,.4g} GPU-hours"
    cost = "" if hardware.price is None else f", cost {hours * hardware.price:,.2f} at {hardware.price:g} per GPU-hour"
    rate = f"{speed.tokens_per_second:,.0f} tokens/s {speed.source}"
    yield f"  time     {hours / hardware.num_gpus:,.4g} h{on}, {rate}{cost}"


def _disk(scale: Scale) -> str:
    """What tokens and checkpoints take; documents are in the estimates of curation."""
    tokens = scale.num_sequences * (scale.model.seq_len + 1) * (2 if scale.model.vocab_size <= 1 << 16 else 4)
    one = scale.model.num_parameters * BYTES_PER_PARAMETER
    states = (TrainOptions().keep_checkpoints + 1) * one
    return f"disk       at least {size_text(tokens)} of tokens, at most {size_text(states)} of checkpoints"


def _there(out: Path | None, artifact: str) -> str:
    made = out is not None and exists(join(artifact, RECORD))
    return " [exists; reused if none of its inputs has changed]" if made else ""
