"""`dclm show`, `dclm why`, `dclm plan`: the content of an artifact, the fate of a document, the plan of a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from dclm.cli.shared.options import LOCAL_PATH, env_option, open_console, plain, put, put_result, trust_option

if TYPE_CHECKING:
    from dclm.documents.artifact import Artifact
    from dclm.documents.samples import Sample
    from dclm.documents.tokens import TokenEstimate
    from dclm.documents.why import Fate

EXCERPT = 240
"""Number of characters of a dropped document that `show` prints."""
SAMPLES = 3
"""Number of dropped documents that `show` prints per step."""


@click.command()
@click.argument("what", metavar="ID|URL")
@click.option("--in", "artifact", required=True, metavar="ARTIFACT", help="Documents, or the directory of a run.")
def why(what: str, artifact: str) -> None:
    """Show what happened to the record with this id or URL, and why.

    For a dropped record, this shows the step, the rule that the record broke and the values that earlier steps had
    annotated; for a duplicate, also the document that was kept instead and their similarity.
    """
    from dclm.documents.why import fates
    from dclm.recipe.layout import documents_in

    found = fates(documents_in(artifact), what)
    put_result(found, lambda: _print_fates(found))


def _print_fates(found: Sequence[Fate]) -> None:
    for fate in found:
        place = "" if fate.step_index is None or fate.step_index < 0 else f" (step {fate.step_index})"
        said = " ".join(f"{name}={value}" for name, value in {**fate.reasons, **fate.annotations}.items())
        fields = (f"{fate.outcome}{place}", fate.id, str(fate.url), fate.source, said)
        put("\t".join(map(plain, fields)))


@click.command()
@click.argument("artifact")
@click.option(
    "--tokenizer",
    default="gpt-neox-20b",
    show_default=True,
    help="Tokenizer for the token estimate; none: no estimate.",
)
@click.option("--samples/--no-samples", default=True, help="Show some of the documents that each step dropped.")
@click.option("--cuts", is_flag=True, help="Show what each filter measured, and what other cuts would drop, instead.")
def show(artifact: str, tokenizer: str, samples: bool, cuts: bool) -> None:
    """Show the kind and inputs of ARTIFACT and, for documents, the waterfall by step.

    ARTIFACT may also be the directory of a run, to show each of its artifacts.
    """
    from dclm.core.stores.store import absolute
    from dclm.recipe.layout import artifacts_of_run

    parts = artifacts_of_run(absolute(artifact))

    def values() -> dict[str, object]:
        found: dict[str, object] = {place: _value(address, tokenizer) for place, address in parts.items()}
        return found or _value(artifact, tokenizer)

    put_result(values, lambda: _print_parts(artifact, parts, tokenizer, samples, cuts))


def _print_parts(artifact: str, parts: Mapping[str, str], tokenizer: str, samples: bool, cuts: bool) -> None:
    console = open_console()
    if not parts:
        _show(console, artifact, tokenizer, samples, cuts)
    for place, address in parts.items():
        console.rule(f"[bold]{escape(place)}[/]", align="left")
        _show(console, address, tokenizer, samples, cuts)


def _value(artifact: str, tokenizer: str) -> dict[str, object]:
    """An artifact's record; for documents, also their steps, estimated tokens, and what filters compared with cuts."""
    from dclm.core.record import read_record
    from dclm.documents.artifact import Artifact
    from dclm.documents.cuts import as_json, measured
    from dclm.documents.samples import dropped_samples

    record = read_record(artifact)
    if record.kind != "documents":
        return {**dataclasses.asdict(record), "steps": None, "tokens": None, "cuts": None}
    documents = Artifact(artifact)
    tokens = _estimate(documents, tokenizer, dropped_samples(documents))
    cuts = [as_json(rule) for rule in measured(documents)]
    return {**dataclasses.asdict(record), "steps": documents.steps, "tokens": tokens, "cuts": cuts}


def _estimate(artifact: Artifact, tokenizer: str, dropped: Mapping[int, Sequence[Sample]]) -> TokenEstimate | None:
    """The tokens after each step; None for the tokenizer `none`, or if no text was kept."""
    from dclm.documents.samples import kept_samples
    from dclm.documents.tokens import estimate_tokens

    return None if tokenizer == "none" else estimate_tokens(tokenizer, artifact.steps, kept_samples(artifact), dropped)


def _show(console: Console, artifact: str, tokenizer: str, samples: bool, cuts: bool) -> None:
    from dclm.cli.documents.cuts import print_cuts
    from dclm.core.record import read_record
    from dclm.documents.artifact import Artifact
    from dclm.documents.samples import dropped_samples

    record = read_record(artifact)
    console.print(f"[bold]{escape(record.name)}[/] · {record.kind} · {record.fingerprint[:12]}", highlight=False)
    for role, fingerprint in record.inputs.items():
        console.print(f"  from {role}: {fingerprint[:12]}", highlight=False)
    if record.missing:
        console.print(f"[red]incomplete:[/] {len(record.missing)} parts missing, first: {escape(record.missing[0])}")
    if record.kind != "documents":
        for name, value in record.counts.items():
            console.print(f"  {name}: {value}", highlight=False)
        return
    documents = Artifact(artifact)
    if cuts:
        print_cuts(console, documents)
        return
    dropped = dropped_samples(documents)
    _waterfall(console, documents, tokenizer, dropped)
    if samples:
        _samples(console, documents, dropped)


def _waterfall(console: Console, artifact: Artifact, tokenizer: str, dropped: Mapping[int, Sequence[Sample]]) -> None:
    from dclm.report.pictures.svg import short

    estimate = _estimate(artifact, tokenizer, dropped)
    title = None
    if estimate is not None:
        rate = f"{estimate.tokens_per_byte:.3f} per byte of {estimate.documents:,} kept documents"
        title = f"Token counts are estimates: {rate}; those of dropped documents are based on their samples"
    table = Table(title=title, box=SIMPLE, padding=(0, 1, 0, 0), title_justify="left")
    for name in ("", "step", "in", "dropped", "rejected", "edits", "out", "bytes", "tokens"):
        table.add_column(name, justify="left" if name == "step" else "right", no_wrap=True)
    for step in artifact.steps:
        numbers = (step.documents_in, step.dropped, step.rejected, step.edits, step.documents_out)
        tokens = "" if estimate is None else short(estimate.out[step.index])
        index = "" if step.index < 0 else str(step.index)
        cells = ("" if n == 0 and i in (1, 2, 3) else f"{n:,}" for i, n in enumerate(numbers))
        table.add_row(index, step.name, *cells, short(step.bytes_out), tokens)
    console.print(table)


def _samples(console: Console, artifact: Artifact, dropped: Mapping[int, Sequence[Sample]]) -> None:
    names = {step.index: step.name for step in artifact.steps}
    for index, drawn in dropped.items():
        console.print(f"\n[bold]dropped by {escape(names[index])}[/] (step {index})")
        for sample in drawn[:SAMPLES]:
            text = " ".join(sample.text.split())[:EXCERPT]
            console.print(f"  {escape(plain(sample.url or sample.id))}", style="cyan", highlight=False)
            console.print(f"    {escape(plain(text)) or '(empty)'}", highlight=False)


@click.command()
@click.argument("recipe", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, help="Show what would be reused from this directory.")
@click.option(
    "--gpu",
    default="H100",
    show_default=True,
    metavar="NAME",
    help="A100, H100, H100 PCIe, H100 NVL, H200, B200, L40S or A10G.",
)
@click.option("--nproc", type=click.IntRange(1), default=1, show_default=True, help="Number of GPUs.")
@click.option(
    "--shard-over",
    type=click.IntRange(1),
    metavar="GPUS",
    help="Number of GPUs that share one copy of the parameters. Default: all.",
)
@click.option("--checkpoint-activations", is_flag=True, help="Same as for `dclm train`.")
@click.option(
    "--mfu",
    type=click.FloatRange(0, 1, min_open=True),
    help="Fraction of the peak. Default: as measured in --out, or DCLM's own.",
)
@click.option("--price", type=click.FloatRange(0), help="Price of a GPU-hour.")
@click.option(
    "--measured",
    multiple=True,
    type=LOCAL_PATH,
    metavar="ARTIFACT",
    help="Artifact that the recipe's pipeline made from a few whole files. Do not use a machine's first run, which "
    "compiles kernels.",
)
@click.option(
    "--pool-size",
    metavar="SIZE",
    help="Size of the pool, such as 340TB. Default: the size of the files that the recipe names.",
)
@click.option("--cores", type=click.IntRange(1), default=1, show_default=True, help="Number of cores for curation.")
@click.option("--core-price", type=click.FloatRange(0), help="Price of a core-hour.")
@env_option
@trust_option
def plan(
    recipe: Path,
    out: Path | None,
    gpu: str,
    nproc: int,
    shard_over: int | None,
    checkpoint_activations: bool,
    mfu: float | None,
    price: float | None,
    measured: tuple[Path, ...],
    pool_size: str | None,
    cores: int,
    core_price: float | None,
    variables: tuple[str, ...],
    trust: bool,
) -> None:
    """Print the stages of RECIPE in order, with the resources each needs. Runs and downloads nothing."""
    from dclm.curate.cost import Curation, parse_size
    from dclm.recipe.plan import plan_lines, plan_value
    from dclm.recipe.recipe import load_recipe
    from dclm.train.budget import Hardware

    hardware = Hardware(
        gpu=gpu,
        num_gpus=nproc,
        shard_over=shard_over,
        checkpoint_activations=checkpoint_activations,
        utilization=mfu,
        price=price,
    )
    curation = Curation(
        measured=measured,
        pool_bytes=None if pool_size is None else parse_size(pool_size),
        cores=cores,
        price=core_price,
    )
    lines = list(plan_lines(load_recipe(recipe, variables, trust), out, hardware, curation))
    put_result(plan_value(lines), "\n".join(lines))
