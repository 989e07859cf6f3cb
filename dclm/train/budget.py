"""The cost of a training run before it starts: memory per GPU, hours and price, and whether it can run."""

from __future__ import annotations

import dataclasses
import json
import statistics
from pathlib import Path
from types import MappingProxyType

from dclm.core.errors import ConfigError, DataError
from dclm.train.output.metrics import TIMINGS
from dclm.train.scale import Scale
from dclm.train.throughput import PEAK_FLOPS

GIGABYTES = MappingProxyType(
    {"A100": 80, "H100 PCIe": 80, "H100 NVL": 94, "H100": 80, "H200": 141, "B200": 180, "L40S": 48, "A10G": 24}
)
"""Memory of a GPU, in 10⁹ bytes, from the manufacturers' data sheets."""
DCLM_UTILIZATION = MappingProxyType({"411m_1x": 0.22, "1b_1x": 0.29, "3b_1x": 0.36, "7b_1x": 0.43, "7b_2x": 0.44})
"""MFU on H100 derived from the GPU-hours that DCLM's paper states for its own runs (6ND / 989e12)."""
STATE_BYTES = 16  # per parameter: itself, its gradient and two moments, float32
BYTES_PER_PARAMETER = 12
"""Bytes per parameter in a checkpoint: weights and two moments, float32."""
CHUNK_LOGITS = 1 << 28  # dclm.model.loss.CHUNK_ELEMENTS_GPU, which would import torch
CHUNK_BYTES = 6  # per logit of the chunk in bfloat16, its softmax, and that of the previous chunk
SPARE = 0.15
"""Share of a GPU's free memory that no micro-batch is planned for."""
HEAD_BYTES = 6  # per weight of the head: its gradient in float32, and in bfloat16 what a chunk adds to it


@dataclasses.dataclass(frozen=True, kw_only=True)
class Hardware:
    """The hardware that a run would be trained on."""

    gpu: str = "H100"
    """A key of `PEAK_FLOPS`."""
    num_gpus: int = 1
    shard_over: int | None = None
    """Number of GPUs that share one copy of the parameters; None: all."""
    checkpoint_activations: bool = False
    utilization: float | None = None
    """MFU, in (0, 1]; None: measured in the run's directory, or DCLM's own."""
    price: float | None = None
    """Price of a GPU-hour."""

    def __post_init__(self) -> None:
        if self.gpu not in PEAK_FLOPS:
            raise ConfigError(f"--gpu {self.gpu}", f"unknown, allowed: {', '.join(PEAK_FLOPS)}")
        if self.shard_over is not None and self.num_gpus % self.shard_over:
            what = f"found {self.num_gpus} ranks, allowed: a divisor of {self.num_gpus}"
            raise ConfigError(f"--shard-over {self.shard_over}", what)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes on each GPU."""

    state: int
    """This GPU's share of parameters, gradients and optimizer; exact."""
    activations: int
    """Activations of one micro-batch kept for the backward pass; an estimate."""
    working: int
    """Parameters in bfloat16 (if sharded: embedding, head and two blocks) and buffers of the loss; an estimate."""

    @property
    def total(self) -> int:
        return self.state + self.activations + self.working


@dataclasses.dataclass(frozen=True, kw_only=True)
class Speed:
    """The speed of a run, and its source."""

    tokens_per_second: float
    """Tokens per second over all GPUs."""
    source: str
    measured: bool = False
    """Whether an earlier run measured it, on whatever hardware that used."""


def estimate_memory(scale: Scale, hardware: Hardware) -> Memory:
    """Memory per GPU in bfloat16 training with flash attention.

    For each token, a block keeps 10 vectors of the model's width and 4 of the feed-forward's; with activation
    checkpointing, only its input, and one block's activations while that is recomputed.
    """
    model = scale.model
    shards = hardware.shard_over or hardware.num_gpus
    tokens = min(scale.micro_batch_sequences, -(-scale.batch_sequences // hardware.num_gpus)) * model.seq_len
    block = 2 * tokens * (10 * model.hidden_dim + 4 * model.ffn_dim)
    kept = 2 * tokens * model.hidden_dim * (model.num_layers + 1) + block  # inputs of the blocks and the last norm
    head = model.vocab_size * model.hidden_dim
    logits = min(CHUNK_LOGITS, tokens * model.vocab_size)
    of_block = model.matrix_parameters // model.num_layers
    whole = model.num_parameters if shards == 1 else min(2 * head + 2 * of_block, model.num_parameters)
    return Memory(
        state=STATE_BYTES * model.num_parameters // shards,
        activations=kept if hardware.checkpoint_activations else block * model.num_layers,
        working=2 * whole + CHUNK_BYTES * logits + HEAD_BYTES * head,
    )


def largest_micro_batch(scale: Scale, hardware: Hardware, free_bytes: int) -> int | None:
    """The largest power of two of sequences whose estimated memory fits into `free_bytes` of each GPU; None if not even
    one fits.

    It is at most a GPU's share of a batch. `SPARE` is reserved for what the estimate does not include: fragmentation
    and the buffers of libraries.
    """
    share = -(-scale.batch_sequences // hardware.num_gpus)
    room = (1 - SPARE) * free_bytes
    sizes = [1 << power for power in range(share.bit_length())]
    fitting = [
        size
        for size in sizes
        if estimate_memory(dataclasses.replace(scale, micro_batch_sequences=size), hardware).total <= room
    ]
    return fitting[-1] if fitting else None


def check_hardware(scale: Scale, hardware: Hardware) -> None:
    """Raises: ConfigError if the scale cannot be trained in this way: more ranks than sequences, or no room for its
    state."""
    if hardware.num_gpus > scale.batch_sequences:
        what = f"found {hardware.num_gpus} ranks, allowed: at most one per sequence of a batch, {scale.batch_sequences}"
        raise ConfigError(f"scale {scale.name}", what)
    room = GIGABYTES[hardware.gpu] * 10**9
    state = estimate_memory(scale, hardware).state
    if state > room:
        each = f"{hardware.gpu} of {room / 1e9:,.0f}"
        what = f"parameters, gradients and optimizer need {state / 1e9:,.0f} GB on each {each}"
        raise ConfigError(f"scale {scale.name}", what, "use more GPUs (--nproc), or shard over more of them")


def estimate_speed(scale: Scale, hardware: Hardware, measured: Path | None = None) -> Speed | None:
    """Tokens per second: at the given MFU, as measured by an earlier run in `measured`, or as in DCLM's own runs; else
    None.

    Raises: DataError if the measurements there cannot be read.
    """
    if hardware.utilization is None and measured is not None and (measured / TIMINGS).exists():
        return Speed(tokens_per_second=_measured(measured / TIMINGS), source=f"measured in {measured}", measured=True)
    share = hardware.utilization or DCLM_UTILIZATION.get(scale.name)
    if share is None:
        return None
    speed = share * PEAK_FLOPS[hardware.gpu] * hardware.num_gpus / scale.model.flops_per_token
    whose = "" if hardware.utilization else ", as reached by DCLM's own runs on H100"
    return Speed(tokens_per_second=speed, source=f"at {share:.0%} MFU{whose}")


def gpu_hours(scale: Scale, hardware: Hardware, speed: Speed) -> float:
    """Hours of one GPU for the whole run."""
    return scale.trained_tokens / speed.tokens_per_second / 3600 * hardware.num_gpus


def _measured(path: Path) -> float:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        return statistics.median(float(json.loads(line)["tokens_per_second"]) for line in lines)
    except (ValueError, KeyError, TypeError, statistics.StatisticsError) as error:
        raise DataError(str(path), f"cannot be read: {error}", "delete it, or pass --mfu") from error
