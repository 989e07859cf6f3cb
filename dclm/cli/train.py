"""`dclm train`: tokens to a model at a scale."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dclm.cli.options import ADDRESS, ConsoleProgress, say
from dclm.core.record import Record

if TYPE_CHECKING:
    from dclm.train.options import Precision, TrainOptions
    from dclm.train.ranks import Device
    from dclm.train.trackers import TrackerName


@click.command()
@click.argument("tokens", type=ADDRESS)
@click.option(
    "--scale", required=True, help="A named experiment: 5m … 154m, 411m_1x … 7b_2x; 25m_2x: twice 25m's tokens."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of the first weights and of later epochs' order.")
@click.option("--out", type=ADDRESS, required=True, help="Directory of the run.")
@click.option("--resume", is_flag=True, help="Go on from the last checkpoint in --out.")
@click.option("--validation", type=ADDRESS, help="A tokens artifact of held-out text.")
@click.option("--on", default="local", show_default=True, metavar="local|ray[:ADDRESS]", help="Where the ranks run.")
@click.option("--nproc", type=click.IntRange(1), default=1, show_default=True, help="Processes (one a GPU).")
@click.option("--min-nproc", type=click.IntRange(1), help="On Ray: go on with as few while there is no room for more.")
@click.option(
    "--shard-over",
    type=click.IntRange(1),
    metavar="RANKS",
    help="Ranks that hold one copy of the parameters. Default: those of a node.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="A rank that lets the others wait longer ends the run.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option("--epochs", type=click.IntRange(1), default=1, show_default=True, help="Passes allowed over few tokens.")
@click.option("--tokens", "num_tokens", type=click.IntRange(1), help="Other training tokens: leaves the benchmark.")
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="CPU threads of a process.")
@click.option("--checkpoint-every", type=click.IntRange(1), metavar="STEPS", help="Default: a fifth of the run.")
@click.option("--keep-checkpoints", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--compile/--no-compile", "compile_", default=None, help="torch.compile blocks and loss. Default: on GPUs."
)
@click.option("--checkpoint-activations", is_flag=True, help="Less memory, more time.")
@click.option(
    "--track",
    type=click.Choice(["tensorboard", "wandb"]),
    multiple=True,
    help="Send metrics there too (may be given twice).",
)
def train(
    tokens: str,
    scale: str,
    seed: int,
    out: str,
    resume: bool,
    validation: str | None,
    on: str,
    nproc: int,
    min_nproc: int | None,
    shard_over: int | None,
    timeout: int,
    device: Device,
    precision: Precision,
    epochs: int,
    num_tokens: int | None,
    threads: int,
    checkpoint_every: int | None,
    keep_checkpoints: int,
    compile_: bool | None,
    checkpoint_activations: bool,
    track: tuple[TrackerName, ...],
) -> None:
    """Train a model on TOKENS, the output of `dclm tokenize`.

    On several machines without Ray: `torchrun --nnodes … --nproc-per-node … -m dclm.cli.main train …` on each.
    """
    from dclm.train.options import TrainOptions

    options = TrainOptions(
        validation=validation,
        epochs=epochs,
        num_tokens=num_tokens,
        resume=resume,
        device=device,
        precision=precision,
        threads=threads,
        checkpoint_every=checkpoint_every,
        keep_checkpoints=keep_checkpoints,
        compile=compile_,
        checkpoint_activations=checkpoint_activations,
        shard_over=shard_over,
        timeout_seconds=timeout,
        track=track,
    )
    record = _launch(on, tokens, out, scale, seed, options, nproc, min_nproc)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this command once a rank
        _tell(record, out)


def _launch(
    on: str, tokens: str, out: str, scale: str, seed: int, options: TrainOptions, nproc: int, min_nproc: int | None
) -> Record:
    from dclm.engine import open_engine
    from dclm.train.launch import launch
    from dclm.train.launch_ray import launch_ray

    with open_engine(on):
        if on.startswith("ray"):
            return launch_ray(
                tokens,
                out,
                scale=scale,
                seed=seed,
                options=options,
                num_ranks=nproc,
                min_ranks=min_nproc,
                make_progress=ConsoleProgress,
            )
        return launch(
            tokens, out, scale=scale, seed=seed, options=options, num_ranks=nproc, make_progress=ConsoleProgress
        )


def _tell(record: Record, out: str) -> None:
    counts = record.counts
    line = f"{out}: {record.name}, {counts['tokens']:,} tokens in {counts['steps']:,} steps"
    line += f", training loss {counts['train_loss']:.3f}"
    if counts["validation_loss"] is not None:
        line += f", validation loss {counts['validation_loss']:.3f}"
    say(f"{line} (entropy of single tokens {counts['unigram_entropy']:.3f} nats)")
