"""The optimizer and its learning rate, the same at every scale."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import nn

from dclm.train.scale import Scale

BETAS = (0.9, 0.95)  # open_lm `--beta2 0.95`
EPSILON = 1e-8
Schedule = Literal["cosine", "linear"]
MAX_GRAD_NORM = 1.0  # open_lm `--grad-clip-norm 1`


def learning_rate(scale: Scale, step: int, schedule: Schedule = "cosine") -> float:
    """The learning rate of update `step` (from 0). cosine: linear warm-up, then a cosine to the final rate. linear: a
    cool-down from the peak rate to the final rate, reached at the last update; no warm-up.

    Source: open_lm scheduler.py `cosine_lr`.
    """
    if schedule == "linear":
        done = (step + 1) / scale.num_steps
        return scale.learning_rate + done * (scale.final_learning_rate - scale.learning_rate)
    if step < scale.warmup_steps:
        return scale.learning_rate * (step + 1) / scale.warmup_steps
    done = (step - scale.warmup_steps) / (scale.num_steps - scale.warmup_steps)
    share = 0.5 * (1 + math.cos(math.pi * done))
    return share * (scale.learning_rate - scale.final_learning_rate) + scale.final_learning_rate


def make_optimizer(parameters: Iterable[nn.Parameter], scale: Scale, *, fused: bool = True) -> torch.optim.AdamW:
    """AdamW over all parameters alike: gains and embeddings decay too, as in the reference.

    `fused` makes a single pass over memory, with rounding that differs from open_lm's.
    """
    return torch.optim.AdamW(
        parameters, lr=scale.learning_rate, betas=BETAS, eps=EPSILON, weight_decay=scale.weight_decay, fused=fused
    )


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Use `rate` in the next update."""
    for group in optimizer.param_groups:
        group["lr"] = rate
