"""The shape of an OpenLM-style decoder, and the numbers that follow from it: widths, parameters, FLOPs."""

from __future__ import annotations

import dataclasses
import math

NORM_EPS = 1e-5  # open_lm/norms.py
ROTARY_BASE = 10_000.0  # open_lm/positional_embedding/rotary.py
FFN_MULTIPLE = 256  # open_lm/model.py: the SwiGLU width is rounded up to a multiple of this


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """A pre-norm decoder: gain-only LayerNorm, QK-norm over the full width, rotary positions, SwiGLU, untied head.

    Source: open_lm model.py with `--model-norm gain_only_lp_layer_norm --qk-norm`, as all DCLM scales are trained.
    """

    hidden_dim: int
    """Width of the residual stream."""
    num_layers: int
    num_heads: int
    """Divides `hidden_dim` into heads of even width."""
    seq_len: int = 2048
    """Number of tokens in a training sequence; evaluation trims texts to this window."""
    vocab_size: int = 50_432
    """Number of rows of the embedding: 50,432 is GPT-NeoX-20B's 50,277 rounded up, as in DCLM."""

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                raise ValueError(f"`{field.name}` is {getattr(self, field.name)}, allowed: a number ≥ 1")
        if self.hidden_dim % self.num_heads or self.head_dim % 2:
            raise ValueError(
                f"{self.num_heads} heads do not divide a width of {self.hidden_dim} into heads of even width"
            )

    @property
    def head_dim(self) -> int:
        return self.hidden_dim // self.num_heads

    @property
    def ffn_dim(self) -> int:
        """Width of the SwiGLU: int(8d/3), rounded up to a multiple of 256."""
        return FFN_MULTIPLE * math.ceil(int(2 * 4 * self.hidden_dim / 3) / FFN_MULTIPLE)

    @property
    def matrix_parameters(self) -> int:
        """Number of weights in the blocks' matrix products (without embedding and head)."""
        return self.num_layers * (4 * self.hidden_dim**2 + 3 * self.hidden_dim * self.ffn_dim)

    @property
    def num_parameters(self) -> int:
        """Number of all trained parameters of the model."""
        return self.published_parameters + 2 * self.num_layers * self.hidden_dim

    @property
    def published_parameters(self) -> int:
        """Parameters as DCLM counts them: without the QK-norm gains. Training tokens are multiples of this.

        Source: training/configs/*.json `params`; FACTS 411,616,256 · 1,439,795,200 · 2,795,932,160 · 6,889,410,560.
        """
        gains = (2 * self.num_layers + 1) * self.hidden_dim
        return 2 * self.vocab_size * self.hidden_dim + self.matrix_parameters + gains

    @property
    def flops_per_token(self) -> int:
        """Floating-point operations per training token, forward and backward, without recomputation.

        6 per weight of a matrix product (blocks and head; the embedding lookup has none), plus causal attention: half
        of 12·layers·width·seq_len.
        """
        head = self.vocab_size * self.hidden_dim
        return 6 * (self.matrix_parameters + head) + 6 * self.num_layers * self.hidden_dim * self.seq_len
