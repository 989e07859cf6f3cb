"""`dclm model export | import`: to and from the formats of Hugging Face and open_lm."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.options import LOCAL_PATH

if TYPE_CHECKING:
    from dclm.model.convert import Format


@click.group()
def model() -> None:
    """Models in the formats of Hugging Face and open_lm."""


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

    Logits are equal up to rounding. In Hugging Face's format it is an OLMoE of one expert (`OlmoeForCausalLM`), which
    `transformers` has: nothing needs trust_remote_code.
    """
    from dclm.model.convert import export_model

    export_model(checkpoint, to, out)


@model.command("import")
@click.argument("source", type=LOCAL_PATH)
@click.option("--out", type=LOCAL_PATH, required=True, help="Directory of the new checkpoint.")
@click.option(
    "--seq-len", type=click.IntRange(1), default=2048, show_default=True, help="Window of an open_lm file's model."
)
@click.option("--tokenizer", type=LOCAL_PATH, help="A tokenizer.json. [default: SOURCE's own]")
def import_(source: Path, out: Path, seq_len: int, tokenizer: Path | None) -> None:
    """Make a checkpoint of SOURCE: a directory that `dclm model export --to hf` wrote, or open_lm's .pt file."""
    from dclm.model.convert import import_model

    import_model(source, out, seq_len=seq_len, tokenizer=tokenizer)
