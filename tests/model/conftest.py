"""Small models with weights that differ from their initial values."""

from __future__ import annotations

import zlib
from collections.abc import Callable

import numpy as np
import pytest
import torch

from dclm.model.config import ModelConfig
from dclm.model.transformer import Transformer

SHAPE = ModelConfig(hidden_dim=32, num_layers=2, num_heads=4, seq_len=64, vocab_size=101)
MakeModel = Callable[..., Transformer]


def formula_weight(name: str, shape: torch.Size) -> torch.Tensor:
    """Weights from the formula in the conformance data's README."""
    values = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(tuple(shape))
    values = values / np.sqrt(shape[1]) if len(shape) == 2 else 1 + 0.1 * values
    return torch.from_numpy(values.astype(np.float32))


@pytest.fixture
def make_model() -> MakeModel:
    """A float32 model whose weights, including gains, are far from their initial values."""

    def make(config: ModelConfig = SHAPE) -> Transformer:
        torch.set_num_threads(1)
        model = Transformer(config)
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(formula_weight(name, parameter.shape))
        return model.eval()

    return make


@pytest.fixture
def tokens() -> torch.Tensor:
    """[3, 24] tokens below `SHAPE.vocab_size`."""
    return torch.from_numpy(np.random.Generator(np.random.Philox(5)).integers(0, SHAPE.vocab_size, (3, 24)))
