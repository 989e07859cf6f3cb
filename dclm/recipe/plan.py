"""The plan of a recipe: its stages in order, with their inputs and outputs, and which of these exist."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dclm.core.line import Line
from dclm.core.record import RECORD, read_record
from dclm.core.stores.store import exists, join
from dclm.curate.cost import Curation, cost_lines, estimate_lines, measured_cost, size_text
from dclm.curate.pipeline import Pipeline
from dclm.curate.segments import segments
from dclm.curate.step import Step
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
) -> Iterator[Line]:
    """One line per stage, the resources of curation and training, and the files that are not on this machine.

    Reads the recipe and its pipelines (reporting all their errors), the tokens and timings in `out`, and the records
    and sizes that `curation` is based on; nothing else. Raises: also ConfigError if the scale cannot be trained on
    `hardware`, DataError if there are too few tokens.
    """
    recipe = loaded.recipe
    layout = Layout(out=str(out or "OUT"), loaded=loaded)
    yield Line(f"recipe {recipe.name}, seed {recipe.seed}", recipe=recipe.name, seed=recipe.seed)
    for source in (*recipe.data, *recipe.annotate):
        pool = _pool(source.pool)
        yield Line(f"pool       {source.name}: {pool}", stage="pool", source=source.name, pool=pool)
    for source in recipe.annotate:
        yield from _curate("annotate", source, loaded, layout, out, curation or Curation())
    for name in recipe.classifiers:
        target = layout.classifier(name)
        made = _made(out, target)
        yield Line(f"classifier {name} → {target}{_there(made)}", stage="classifier", name=name, **made)
    for name, model in recipe.models.items():
        made = _made(out, layout.model(name))
        text = f"model      {name}: {model.kind} → {layout.model(name)}{_there(made)}"
        yield Line(text, stage="model", name=name, model=model.kind, **made)
        yield from (line.indented() for line in _of_model(model.spec))
    for source in recipe.data:
        yield from _curate("curate", source, loaded, layout, out, curation or Curation())
    if recipe.dedup_across is not None:
        yield from _across(recipe.dedup_across, [source.name for source in recipe.data], layout, out)
    scale = with_tokens(find_scale(recipe.scale), recipe.tokens)
    seq_len = scale.model.seq_len
    mixture = mixture_line(recipe)
    if mixture is not None:
        yield Line(f"mix        {mixture}", stage="mix", mixture=mixture)
    made = _made(out, layout.tokens)
    text = f"tokenize   {recipe.tokenizer}, rows of {seq_len} + 1 → {layout.tokens}{_there(made)}"
    yield Line(text, stage="tokenize", tokenizer=recipe.tokenizer, seq_len=seq_len, **made)
    changed = "" if recipe.tokens is None else " (not the scale's number: leaves the benchmark)"
    batch = f"{scale.num_steps:,} updates of {scale.batch_sequences} × {seq_len:,}"
    what = f"{scale.name}: {scale.trained_tokens:,} tokens{changed} in {batch}, {scale.flops_6nd:.3g} FLOPs (6ND)"
    made = _made(out, layout.train)
    yield Line(
        f"train      {what} → {layout.train}{_there(made)}",
        stage="train",
        scale=scale.name,
        tokens=scale.trained_tokens,
        of_the_scale=recipe.tokens is None,
        updates=scale.num_steps,
        batch_sequences=scale.batch_sequences,
        flops=scale.flops_6nd,
        **made,
    )
    yield _tokens(scale, recipe.epochs, layout.tokens if out else None)
    yield from _training(scale, hardware or Hardware(), layout.train if out else None)
    what = recipe.suite or ", ".join(recipe.tasks)
    limit = f", {recipe.limit} items per task (not a benchmark score)" if recipe.limit else ""
    made = _made(out, layout.scores)
    yield Line(
        f"evaluate   {what}{limit} → {layout.scores}{_there(made)}",
        stage="evaluate",
        suite=recipe.suite,
        tasks=recipe.tasks,
        limit=recipe.limit,
        **made,
    )
    for text in recipe.perplexity:
        yield Line(f"perplexity {text} → {layout.scores}", stage="perplexity", text=text, artifact=layout.scores)
    if recipe.contamination:
        text = f"contamination of the tasks by the documents → {layout.contamination}"
        yield Line(text, stage="contamination", path=layout.contamination)
    yield Line(f"result     {layout.result}", stage="result", path=layout.result)
    yield _disk(scale)
    yield from needs_lines(layout, [loaded.pipeline(source) for source in recipe.data])


def plan_value(lines: Iterable[Line]) -> dict[str, object]:
    """The lines of a plan as one object: its stages in order, each with the values of the lines below it."""
    plan: dict[str, Any] = {"recipe": None, "seed": None, "stages": [], "disk": None, "missing": []}
    for line in lines:
        found = dict(line.values)
        if "stage" in found:
            plan["stages"].append(found)
            continue
        target = plan if found.keys() <= plan.keys() else plan["stages"][-1]
        for name, value in found.items():
            target[name] = [*target.get(name, ()), *value] if isinstance(value, list) else value
    return plan


def _curate(
    stage: str, source: DataSource, loaded: LoadedRecipe, layout: Layout, out: Path | None, curation: Curation
) -> Iterator[Line]:
    """Steps and resources of one source's pipeline."""
    pipeline = loaded.pipeline(source)
    parts = segments(pipeline.steps)
    between = ", ".join((s.steps[0] if s.head is None else s.head).name for s in parts[1:])
    cuts = f" in {len(parts)} passes (cut by {between})" if between else ""
    target = layout.documents(source.name)
    steps = f"{pipeline.name}, {len(pipeline.steps)} steps{cuts}"
    made = _made(out, target)
    yield Line(
        f"{stage:<10} {source.name}: {steps} → {target}{_there(made)}",
        stage=stage,
        source=source.name,
        pipeline=pipeline.name,
        steps=len(pipeline.steps),
        passes=len(parts),
        **made,
    )
    yield from _memory(pipeline.steps)
    yield from (line.indented() for line in _cost(source.pool, pipeline, layout, curation))


def _memory(steps: Sequence[Step]) -> Iterator[Line]:
    for step in steps:
        if step.memory:
            yield Line(f"  memory   {step.name}: {step.memory}", memory=[{"step": step.name, "takes": step.memory}])
        if step.cost:
            yield Line(f"  work     {step.name}: {step.cost}", work=[{"step": step.name, "takes": step.cost}])


def _across(rule: DedupAcross, names: Sequence[str], layout: Layout, out: Path | None) -> Iterator[Line]:
    """Which duplicates between sources are dropped, and whose copy is kept."""
    steps, prefer = [step.name for step in rule.steps], list(in_order(rule, names))
    what, made = f"{', '.join(steps)}, best source first: {', '.join(prefer)}", _made(out, layout.across)
    yield Line(f"across     {what} → {layout.across}{_there(made)}", stage="across", steps=steps, prefer=prefer, **made)
    yield from _memory(rule.steps)


def _of_model(spec: Spec) -> Iterator[Line]:
    """Resources for training a model, if known. Raises: ConfigError for an unknown scale."""
    if isinstance(spec, LanguageModelSpec):
        scale = with_tokens(find_scale(spec.scale), spec.tokens)
        tokens, flops, memory = scale.trained_tokens, scale.flops_6nd, estimate_memory(scale, Hardware()).total
        text = f"train    {scale.name}: {tokens:,} tokens, {flops:.3g} FLOPs (6ND)"
        yield Line(text, scale=scale.name, tokens=tokens, flops=flops)
        yield Line(f"memory   about {memory / 1e9:.1f} GB", memory_bytes=memory)
    elif isinstance(spec, NgramSpec):
        bytes_ = 100 * spec.order
        yield Line(f"memory   about {bytes_} bytes per token of the texts", memory_bytes_per_token=bytes_)
    elif isinstance(spec, HeadSpec):
        text = "memory   8 bytes per document and dimension, and the encoder's weights"
        yield Line(text, memory_bytes_per_number=8)
    else:
        yield Line("memory   about 200 bytes per link between two hosts", memory_bytes_per_link=200)


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


def _cost(spec: PoolSpec, pipeline: Pipeline, layout: Layout, curation: Curation) -> Iterator[Line]:
    """Time and disk space of one source's curation. Raises: the errors of `measured_cost` and of listing the pool's
    files."""
    measured = [artifact for artifact in curation.measured if read_record(artifact).name == pipeline.name]
    size = curation.pool_bytes
    if size is None:
        made = isinstance(spec, PoolMap) and (spec.sample is not None or spec.commoncrawl is not None)
        listed = not made and (measured or not missing_files(pool_paths(spec), layout))
        if not listed:
            yield Line("time     unknown: pass --pool-size", pool_bytes=None, core_hours=None)
            return
        size = sum(file.size for file in resolve_pool(spec, layout.out, layout.path))
    if measured:
        yield from cost_lines(measured_cost(measured[0], pipeline), size, curation)
    else:
        extracts = any(step.name == "extract" for step in pipeline.steps)
        yield from estimate_lines("warc" if extracts else "text", size, curation)


def _tokens(scale: Scale, epochs: int, artifact: str | None) -> Line:
    passes = f" in up to {epochs} passes" if epochs > 1 else ""
    needed = f"  tokens   {scale.trained_tokens:,} needed{passes}"
    if artifact is None or not exists(join(artifact, RECORD)):
        text = f"{needed}; the number available is known after `run --until tokenize`"
        return Line(text, max_passes=epochs, available_tokens=None)
    data = TokenDataset(artifact)
    check_data(data, with_vocabulary(scale, data.vocab_size), epochs, str(artifact))
    available = data.num_sequences * data.seq_len
    return Line(f"{needed}, {available:,} available", max_passes=epochs, available_tokens=available)


def _training(scale: Scale, hardware: Hardware, measured: str | None) -> Iterator[Line]:
    """Memory, and hours and cost if a speed is known."""
    check_hardware(scale, hardware)
    memory, room = estimate_memory(scale, hardware), GIGABYTES[hardware.gpu]
    parts = (
        f"state {memory.state / 1e9:.1f}, activations {memory.activations / 1e9:.1f}, rest {memory.working / 1e9:.1f}"
    )
    tight = "" if memory.total < room * 1e9 else ": may not fit, try --checkpoint-activations or more GPUs"
    machine = f"{hardware.num_gpus} × {hardware.gpu}"
    yield Line(
        f"  memory   about {memory.total / 1e9:.1f} GB of {room} on each of {machine} ({parts}){tight}",
        gpu=hardware.gpu,
        gpus=hardware.num_gpus,
        memory_bytes=memory.total,
        gpu_memory_bytes=room * 10**9,
        fits=not tight,
    )
    speed = estimate_speed(scale, hardware, None if measured is None else Path(measured))
    if speed is None:
        text = "  time     unknown: not measured by a run here; pass --mfu"
        yield Line(text, tokens_per_second=None, gpu_hours=None, hours=None, cost=None)
        return
    hours = gpu_hours(scale, hardware, speed)
    on = "" if speed.measured else f" on {machine} = {hours:,.4g} GPU-hours"
    cost = "" if hardware.price is None else f", cost {hours * hardware.price:,.2f} at {hardware.price:g} per GPU-hour"
    rate = f"{speed.tokens_per_second:,.0f} tokens/s {speed.source}"
    yield Line(
        f"  time     {hours / hardware.num_gpus:,.4g} h{on}, {rate}{cost}",
        tokens_per_second=speed.tokens_per_second,
        gpu_hours=hours,
        hours=hours / hardware.num_gpus,
        cost=None if hardware.price is None else hours * hardware.price,
    )


def _disk(scale: Scale) -> Line:
    """What tokens and checkpoints take; documents are in the estimates of curation."""
    tokens = scale.num_sequences * (scale.model.seq_len + 1) * (2 if scale.model.vocab_size <= 1 << 16 else 4)
    one = scale.model.num_parameters * BYTES_PER_PARAMETER
    states = (TrainOptions().keep_checkpoints + 1) * one
    text = f"disk       at least {size_text(tokens)} of tokens, at most {size_text(states)} of checkpoints"
    return Line(text, disk={"tokens_bytes": tokens, "checkpoints_bytes": states})


def _made(out: Path | None, artifact: str) -> dict[str, object]:
    """The address of an artifact, and whether it exists."""
    return {"artifact": artifact, "exists": out is not None and exists(join(artifact, RECORD))}


def _there(made: Mapping[str, object]) -> str:
    return " [exists; reused if none of its inputs has changed]" if made["exists"] else ""
