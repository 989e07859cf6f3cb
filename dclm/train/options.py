"""How a model is trained, beside what it is trained on and at which scale."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

import torch

from dclm.train.ranks import Device
from dclm.train.trackers import TrackerName

Precision = Literal["auto", "fp32", "bf16"]
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainOptions:
    """`epochs`, `init`, `num_tokens` and `precision` alone change numbers by more than rounding."""

    validation: Path | str | None = None
    """A tokens artifact of held-out text."""
    epochs: int = 1
    """Passes over the tokens that are allowed where they are fewer than the scale needs."""
    init: Path | str | None = None
    """A model whose weights the run starts from, of the scale's shape; the record then says `standard: false`."""
    num_tokens: int | None = None
    """Other training tokens than the scale's; the record then says `standard: false`."""
    resume: bool = False
    """Go on from the last checkpoint in the output directory, if there is one."""
    device: Device = "auto"
    precision: Precision = "auto"
    """auto: bfloat16 products and activations on CUDA and on CPUs with bfloat16 instructions, else float32."""
    threads: int = 2
    """CPU threads of a rank: the order of float sums depends on it, so it does not follow the machine."""
    checkpoint_every: int | None = None
    """Updates between checkpoints; None: a fifth of the run, as the reference."""
    keep_checkpoints: int = 2
    """The last so many are kept."""
    compile: bool | None = None
    """Compile the blocks and the loss (torch.compile): faster on GPUs, with other rounding. None: on CUDA."""
    checkpoint_activations: bool = False
    """Recompute blocks in the backward pass: less memory, more time."""
    shard_over: int | None = None
    """Neighbouring ranks that hold one copy of the parameters (HSDP where there are more); None: those of a node."""
    timeout_seconds: int = 900
    """A rank that lets the others wait longer ends the run."""
    track: tuple[TrackerName, ...] = ()
    """Where metrics go beside the run's own files."""


def choose_precision(asked: Precision, device: torch.device) -> str:
    """`fp32` or `bf16`. auto takes bfloat16 where the device has instructions for it."""
    if asked != "auto":
        return asked
    if device.type == "cuda":
        return "bf16"
    fast = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return "bf16" if fast else "fp32"
