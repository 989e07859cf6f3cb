"""Initial weights: truncated normals by open_lm's rule, each tensor from its own seed, whatever the device or rank."""

from __future__ import annotations

import hashlib
import math

import torch
from torch import Tensor, nn

from dclm.model.config import ModelConfig
from dclm.model.transformer import Transformer

CUT = 3.0  # standard deviations at which the normals are truncated, open_lm/model.py


def initialize(model: Transformer, seed: int) -> Transformer:
    """Fill an unsharded model on any device with its initial weights; a seed gives the same numbers everywhere."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(initial_weight(name, parameter.shape, model.config, seed))
    return model


def initial_weight(name: str, shape: torch.Size, config: ModelConfig, seed: int) -> Tensor:
    """The initial value of one parameter, float32 on the CPU: gains 1, matrices normal, truncated at three deviations.

    Source: open_lm model.py `reset_parameters`, including that the deviation of weights that write into the residual
    stream shrinks with the layer's own depth. Deliberate difference: a random stream per tensor name instead of one
    global stream, so that ranks and devices agree.
    """
    if len(shape) == 1:
        return torch.ones(shape)
    digest = hashlib.sha256(f"{seed}/{name}".encode()).digest()
    generator = torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)
    deviation = standard_deviation(name, config)
    weight = torch.empty(shape, dtype=torch.float32, device="cpu")
    return nn.init.trunc_normal_(weight, std=deviation, a=-CUT * deviation, b=CUT * deviation, generator=generator)


def standard_deviation(name: str, config: ModelConfig) -> float:
    """σ of a matrix before truncation: 1/√fan-in, over √(2(l+1)) for out_proj and w3 of layer l (from 0)."""
    width = config.ffn_dim if name.endswith("w3.weight") else config.hidden_dim
    deviation = 1.0 / math.sqrt(width)
    if name.endswith(("out_proj.weight", "w3.weight")):
        layer = int(name.split(".")[1])
        deviation /= math.sqrt(2 * (layer + 1))
    return deviation
