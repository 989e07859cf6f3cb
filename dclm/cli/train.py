"""`dclm train`: train a model at a scale on tokens."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from dclm.cli.options import ADDRESS, ConsoleProgress, replace_option, say
from dclm.core.config import build, parse_yaml
from dclm.core.counts import CheckpointCounts, counts_of
from dclm.core.record import Record

if TYPE_CHECKING:
    from dclm.train.open_lm_order import OpenLmOrder
    from dclm.train.optim import Schedule
    from dclm.train.options import Precision, TrainOptions
    from dclm.train.ranks import Device
    from dclm.train.scale import Scale
    from dclm.train.trackers import TrackerName


@click.command()
@click.argument("tokens", type=ADDRESS)
@click.option(
    "--scale",
    required=True,
    help="A named scale: 5m … 154m, 411m_1x … 7b_2x; 25m_2x has twice the tokens of 25m. Or a .yaml file that defines "
    "one.",
)
@click.option(
    "--init", type=ADDRESS, metavar="MODEL", help="Start from the weights of this model, such as open_lm's .pt."
)
@click.option("--keep-moments", is_flag=True, help="Also continue with the optimizer moments of --init.")
@click.option(
    "--schedule",
    type=click.Choice(["cosine", "linear"]),
    default="cosine",
    show_default=True,
    help="linear: a cool-down from the peak rate to the final rate, without warm-up.",
)
@click.option(
    "--open-lm-order",
    metavar="SETTINGS",
    help="Read the rows as an open_lm run did: 'ranks: 8, workers: 1, checkpoints: 5, seed: 124, buffer: true'.",
)
@click.option(
    "--weight-decay", type=click.FloatRange(0), help="Override the scale's value, for instance for several passes."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for initialization and data order.")
@click.option("--out", type=ADDRESS, required=True, help="Directory for the run.")
@click.option("--resume", is_flag=True, help="Continue from the last checkpoint in --out.")
@click.option("--validation", type=ADDRESS, help="Tokens artifact of held-out text.")
@click.option("--on", default="local", show_default=True, metavar="local|ray[:ADDRESS]", help="Where to run the ranks.")
@click.option(
    "--nproc", type=click.IntRange(1), default=1, show_default=True, help="Number of processes (one per GPU)."
)
@click.option(
    "--min-nproc",
    type=click.IntRange(1),
    help="On Ray: minimum number of workers to continue with while no more are available.",
)
@click.option(
    "--shard-over",
    type=click.IntRange(1),
    metavar="RANKS",
    help="Number of ranks that share one copy of the parameters. Default: the ranks of one node.",
)
@click.option(
    "--timeout",
    type=click.IntRange(1),
    default=900,
    show_default=True,
    metavar="SECONDS",
    help="Abort if a rank stalls for longer than this.",
)
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", "fp32", "bf16"]), default="auto", show_default=True)
@click.option(
    "--epochs", type=click.IntRange(1), default=1, show_default=True, help="Maximum number of passes over the tokens."
)
@click.option(
    "--tokens",
    "num_tokens",
    type=click.IntRange(1),
    help="Override the scale's token budget; the run then leaves the benchmark.",
)
@click.option("--threads", type=click.IntRange(1), default=2, show_default=True, help="CPU threads per process.")
@click.option("--checkpoint-every", type=click.IntRange(1), metavar="STEPS", help="Default: a fifth of the run.")
@click.option("--keep-checkpoints", type=click.IntRange(1), default=2, show_default=True)
@click.option(
    "--compile/--no-compile", "compile_", default=None, help="Use torch.compile for blocks and loss. Default: on GPUs."
)
@click.option(
    "--checkpoint-activations", is_flag=True, help="Save memory by recomputing activations, which takes more time."
)
@click.option(
    "--track",
    type=click.Choice(["tensorboard", "wandb"]),
    multiple=True,
    help="Also send metrics to this tracker; repeatable.",
)
@replace_option
def train(
    tokens: str,
    scale: str,
    init: str | None,
    keep_moments: bool,
    schedule: Schedule,
    open_lm_order: str | None,
    weight_decay: float | None,
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
    force: bool,
) -> None:
    """Train a model on TOKENS, the output of `dclm tokenize`.

    On several machines without Ray, run `torchrun --nnodes … --nproc-per-node … -m dclm.cli.main train …` on each.
    """
    from dclm.train.options import TrainOptions
    from dclm.train.scale_file import open_scale

    options = TrainOptions(
        validation=validation,
        init=init,
        keep_moments=keep_moments,
        schedule=schedule,
        open_lm_order=None if open_lm_order is None else _order(open_lm_order),
        weight_decay=weight_decay,
        epochs=epochs,
        num_tokens=num_tokens,
        resume=resume,
        force=force,
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
    record = _launch(on, tokens, out, open_scale(scale), seed, options, nproc, min_nproc)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this command once per rank
        _tell(record, out)


def _order(text: str) -> OpenLmOrder:
    from dclm.train.open_lm_order import OpenLmOrder

    return build(OpenLmOrder, parse_yaml("{" + text + "}", "--open-lm-order"))


def _launch(
    on: str, tokens: str, out: str, scale: Scale, seed: int, options: TrainOptions, nproc: int, min_nproc: int | None
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
                say=say,
            )
        return launch(
            tokens, out, scale=scale, seed=seed, options=options, num_ranks=nproc, make_progress=ConsoleProgress
        )


def _tell(record: Record, out: str) -> None:
    counts = counts_of(record, CheckpointCounts)
    line = f"{out}: {record.name}, {counts.tokens:,} tokens in {counts.steps:,} steps"
    line += f", training loss {counts.final_loss:.3f}"
    if counts.validation_loss is not None:
        line += f", validation loss {counts.validation_loss:.3f}"
    say(f"{line} (entropy of single tokens {counts.unigram_entropy:.3f} nats)")
