"""`dclm train`: train a model at a scale on tokens."""

from __future__ import annotations

import os
from typing import Any

import click

from dclm.cli.shared.options import ADDRESS, ConsoleProgress, put_artifact, replace_option, say
from dclm.cli.shared.output import leave_result
from dclm.core.config import parse_yaml
from dclm.core.counts import CheckpointCounts, counts_of
from dclm.core.record import Record


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
    "--nproc",
    "num_ranks",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Number of processes (one per GPU).",
)
@click.option(
    "--min-nproc",
    "min_ranks",
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
@click.option("--compile/--no-compile", default=None, help="Use torch.compile for blocks and loss. Default: on GPUs.")
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
def train(tokens: str, out: str, open_lm_order: str | None, **settings: Any) -> None:
    """Train a model on TOKENS, the output of `dclm tokenize`.

    On several machines without Ray, run `torchrun --nnodes … --nproc-per-node … -m dclm.cli.main train …` on each.
    """
    from dclm.api.training import train as run

    order: Any = None if open_lm_order is None else parse_yaml("{" + open_lm_order + "}", "--open-lm-order").value
    model = run(tokens, out, open_lm_order=order, make_progress=ConsoleProgress, say=say, **settings)
    if os.environ.get("RANK", "0") == "0":  # torchrun starts this command once per rank
        _tell(model.record, out)
        put_artifact(out, model.record)
    else:
        leave_result()


def _tell(record: Record, out: str) -> None:
    counts = counts_of(record, CheckpointCounts)
    line = f"{out}: {record.name}, {counts.tokens:,} tokens in {counts.steps:,} steps"
    line += f", training loss {counts.final_loss:.3f}"
    if counts.validation_loss is not None:
        line += f", validation loss {counts.validation_loss:.3f}"
    say(f"{line} (entropy of single tokens {counts.unigram_entropy:.3f} nats)")
