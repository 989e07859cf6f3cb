"""`dclm model export | import | average | train-ngram`: convert and average models, and train n-gram models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import LOCAL_PATH, env_option, put_artifact, put_result, say

if TYPE_CHECKING:
    from dclm.model.formats.convert import Format


@click.group()
def model() -> None:
    """Convert models to and from other formats, average them, and train n-gram models."""


@model.command()
@click.argument("checkpoint")
@click.option(
    "--to",
    type=click.Choice(["hf", "openlm"]),
    required=True,
    help="hf: a directory that transformers loads. openlm: an epoch_N.pt file.",
)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory or file to write.")
def export(checkpoint: str, to: Format, out: Path) -> None:
    """Write CHECKPOINT (a checkpoint, the --out of `dclm train`, or an open_lm .pt file) in another format.

    Logits are equal up to rounding. In Hugging Face's format the model is an OLMoE with one expert
    (`OlmoeForCausalLM`), an architecture that `transformers` includes, so trust_remote_code is not needed.
    """
    from dclm.model.formats.convert import export_model

    export_model(checkpoint, to, out)
    put_result({"path": out}, None)


@model.command("import")
@click.argument("source", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory for the new checkpoint.")
@click.option(
    "--seq-len",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    help="Context length of the model in an open_lm file.",
)
@click.option("--tokenizer", type=LOCAL_PATH, help="A tokenizer.json. [default: SOURCE's own]")
def import_(source: Path, out: Path, seq_len: int, tokenizer: Path | None) -> None:
    """Make a checkpoint from SOURCE: a directory written by `dclm model export --to hf`, or open_lm's .pt file."""
    from dclm.model.formats.convert import import_model

    import_model(source, out, seq_len=seq_len, tokenizer=tokenizer)
    put_result({"path": out}, None)


@model.command()
@click.argument("checkpoints", nargs=-1, required=True)
@click.option("--weight", "weights", type=float, multiple=True, help="Weight of each of CHECKPOINTS. [default: equal]")
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory for the new checkpoint.")
def average(checkpoints: tuple[str, ...], weights: tuple[float, ...], out: Path) -> None:
    """Average the weights of CHECKPOINTS of one shape (a "soup"), such as several cool-downs of one run."""
    from dclm.model.formats.convert import average_models

    average_models(checkpoints, out, weights)
    put_result({"path": out}, None)


@model.command()
@click.argument("spec", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory for the model artifact.")
@env_option
def train_ngram(spec: Path, out: Path, variables: tuple[str, ...]) -> None:
    """Train the n-gram model that the YAML file SPEC declares, as an ARPA file for `kenlm_score`.

    SPEC holds `texts` (a list of `path` and `max_documents`), `order`, `tokenizer`, `normalize` and `per_line`. Its
    paths are relative to the file.
    """
    from dclm.core.config import build, load_yaml
    from dclm.recipe.recipe import resolve_path
    from dclm.select.ngram.train import NgramSpec
    from dclm.select.ngram.train import train_ngram as train

    read = build(NgramSpec, load_yaml(spec))
    record = train(read.with_paths(lambda path: resolve_path(path, spec.parent, variables)), out)
    say(f"{out}: {record.counts['words']:,} words, n-grams by order: {record.counts['ngrams']}")
    put_artifact(out, record)
