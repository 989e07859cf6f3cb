"""How a model is trained, apart from its data and scale."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import torch

from dclm.train.distributed.ranks import Device
from dclm.train.open_lm_order import OpenLmOrder
from dclm.train.optim import Schedule
from dclm.train.output.trackers import TrackerName

Precision = Literal["auto", "fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """The options up to `num_tokens`, and `precision`, change results by more than rounding."""

    validation: Path | str | None = None
    """Tokens artifact of held-out text."""
    epochs: int = 1
    """Maximum number of passes over the tokens if there are fewer than the scale needs."""
    init: Path | str | None = None
    """Model of the scale's shape whose weights the run starts from; the record then has `standard: false`."""
    keep_moments: bool = False
    """Also continue with the optimizer's moments of `init`, then a training run or one of its checkpoints."""
    schedule: Schedule = "cosine"
    """linear: a cool-down from the scale's peak rate to its final rate, without warm-up; `standard: false`."""
    weight_decay: float | None = None
    """Overrides the scale's weight decay, for instance for several passes over the tokens; `standard: false`."""
    open_lm_order: OpenLmOrder | None = None
    """Read the rows in the order of an open_lm run; None: in stored order. `standard: false`."""
    num_tokens: int | None = None
    """Overrides the scale's token budget; the record then has `standard: false`."""
    resume: bool = False
    """Continue from the last checkpoint in the output directory, if there is one."""
    force: bool = False
    """Replace a finished run in the output directory made with other settings, or checkpoints of an unfinished one."""
    device: Device = "auto"
    precision: Precision = "auto"
    """auto: bfloat16 products and activations on CUDA and on CPUs with bfloat16 instructions, otherwise float32."""
    threads: int = 2
    """CPU threads per rank: the order of float sums depends on it, so the default does not depend on the machine."""
    checkpoint_every: int | None = None
    """Number of updates between checkpoints; None: a fifth of the run, as in the reference."""
    keep_checkpoints: int = 2
    """Number of recent checkpoints to keep."""
    compile: bool | None = None
    """Compile the blocks and the loss (torch.compile): faster on GPUs, with different rounding. None: on CUDA."""
    checkpoint_activations: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""
    shard_over: int | None = None
    """Number of neighboring ranks that share one copy of the parameters (HSDP if there are more); None: the ranks of
    one node."""
    timeout_seconds: int = 900
    """Abort if a rank stalls for longer than this many seconds."""
    track: tuple[TrackerName, ...] = ()
    """Where to send metrics, in addition to the run's own files."""


def choose_precision(asked: Precision, device: torch.device) -> str:
    """`fp32` or `bf16`. auto chooses bfloat16 if the device has instructions for it."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "fp32"
