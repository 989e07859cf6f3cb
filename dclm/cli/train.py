"""`dclm train`: tokens to a model at a scale."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dclm.cli.options import ConsoleProgress, say

if TYPE_CHECKING:
    from dclm.train.options import Precision
    from dclm.train.ranks import Device


@click.command()
@click.argument("tokens", type=click.Path(path_type=Path))
@click.option("--scale", required=True, help="A named experiment: tiny, 5m … 154m, 411m_1x … 7b_2x.")
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first weights and of later epochs' order.")
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Directory of the run.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --out.")
@click.option("--validation", type=click.Path(path_type=Path), help="A tokens artifact of held-out text.")
@click.option("--nproc", type=click.IntRange(1), default=1, show_default=True, help="Processes (one a GPU).")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True, help="Passes allowed over few tokens.")
@click.option("--tokens", "num_tokens", type=click.IntRange(1), help="Other training tokens: leaves the benchmark.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="CPU threads of a process.")
@click.option("--checkpoint-every", type=click.IntRange(1), metavar="STEPS", help="Default: a fifth of the run.")
@click.option("--keep-checkpoints", type=click.IntRange(1), default=2, show_default=True)
@click.option("--compile", "compile_", is_flag=True, help="torch.compile the blocks.")
@click.option("--checkpoint-activations", is_flag=True, help="Less memory, more time.")
def train(
    tokens: Path, scale: str, seed: int, out: Path, resume: bool, validation: Path | None, nproc: int, device: Device,
    precision: Precision, epochs: int, num_tokens: int | None, threads: int, checkpoint_every: int | None,
    keep_checkpoints: int, compile_: bool, checkpoint_activations: bool,
) -> None:  # fmt: skip
    """Train a model on TOKENS, the output of `dclm tokenize`."""
    from dclm.train.launch import launch
    from dclm.train.options import TrainOptions

    options = TrainOptions(
        validation=validation, epochs=epochs, num_tokens=num_tokens, resume=resume, device=device, precision=precision,
        threads=threads, checkpoint_every=checkpoint_every, keep_checkpoints=keep_checkpoints, compile=compile_,
        checkpoint_activations=checkpoint_activations,
    )  # fmt: skip
    record = launch(
        tokens, out, scale=scale, seed=seed, options=options, num_ranks=nproc, make_progress=ConsoleProgress
    )
    counts = record.counts
    line = f"{out}: {record.name}, {counts['tokens']:,} tokens in {counts['steps']:,} steps"
    line += f", training loss {counts['train_loss']:.3f}"
    if counts["validation_loss"] is not None:
        line += f", validation loss {counts['validation_loss']:.3f}"
    say(f"{line} (entropy of single tokens {counts['unigram_entropy']:.3f} nats)")
