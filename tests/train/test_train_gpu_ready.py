"""What a GPU needs to be kept busy, checked without one: no graph breaks, no waiting for the device, no full logits."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from dclm.model import loss as loss_module
from dclm.model.config import ModelConfig
from dclm.model.transformer import Block, Transformer
from dclm.train.budget import SPARE, Hardware, estimate_memory, largest_micro_batch
from dclm.train.data import Order
from dclm.train.distributed.parallel import LossModel
from dclm.train.distributed.ranks import Ranks
from dclm.train.loop import Trainer
from dclm.train.optim import make_optimizer
from dclm.train.scale import Scale, find_scale

CONFIG = ModelConfig(hidden_dim=16, num_layers=3, num_heads=2, seq_len=8, vocab_size=61)


@dataclasses.dataclass
class Counting:
    """Sequences of consecutive numbers."""

    num_sequences: int = 64
    seq_len: int = CONFIG.seq_len
    vocab_size: int = CONFIG.vocab_size

    def rows(self, indices: np.ndarray) -> np.ndarray:
        return (indices[:, None] + np.arange(self.seq_len + 1)) % self.vocab_size


class Pretended(Ranks):
    """One rank whose rows reach the device without their values."""

    def to_device(self, rows: np.ndarray) -> torch.Tensor:
        return torch.zeros(rows.shape, dtype=torch.int64)


@pytest.fixture
def fresh_dynamo() -> Iterator[None]:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def angles(model: Transformer, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    cosine, sine = model.rotary(torch.arange(tokens), torch.float32)
    return cosine, sine


@pytest.mark.usefixtures("fresh_dynamo")
def test_one_graph_without_breaks_serves_all_blocks() -> None:
    model = Transformer(CONFIG)
    x = torch.randn(2, CONFIG.seq_len, CONFIG.hidden_dim)
    found = torch._dynamo.explain(model.layers[0])(x, *angles(model, CONFIG.seq_len))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons
    torch._dynamo.reset()
    compiled = CompileCounter()
    for block in model.layers:
        assert isinstance(block, Block)
        block.compile(backend=compiled)
        block(x, *angles(model, CONFIG.seq_len))
    assert compiled.frame_count == 1


@pytest.mark.usefixtures("fresh_dynamo")
def test_the_softmax_of_a_chunk_is_one_graph() -> None:
    found = torch._dynamo.explain(loss_module._softmax)(torch.randn(4, 61), torch.zeros(4, 1, dtype=torch.int64))
    assert (found.graph_count, found.graph_break_count) == (1, 0), found.break_reasons


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The loss takes the way that it takes on a GPU, in chunks of 16 rows; the numbers of rows are collected."""
    rows: list[int] = []

    def softmax(product: torch.Tensor, goals: torch.Tensor) -> loss_module._Softmax:
        rows.append(len(product))
        return loss_module._softmax(product, goals)

    monkeypatch.setattr(loss_module, "_compiled_softmax", lambda: softmax)
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS_CPU", CONFIG.vocab_size * CONFIG.hidden_dim)
    return rows


def test_an_update_never_waits_for_the_device(as_on_a_gpu: list[int]) -> None:
    """Tensors have no values here: reading one on the host is an error, as it would empty the queue of a GPU."""
    scale = Scale(
        name="fake", model=CONFIG, tokens=8 * 8 * CONFIG.seq_len, batch_sequences=8, warmup_steps=2,
        learning_rate=1e-2, final_learning_rate=1e-3, micro_batch_sequences=4,
    )  # fmt: skip
    with FakeTensorMode():
        loss_model = LossModel(Transformer(CONFIG), scale.z_loss)
        loss_model.model.compute_dtype = torch.bfloat16
        loss_model._compiled = True
        loss_model.train()
        optimizer = make_optimizer(loss_model.parameters(), scale)
        assert optimizer.defaults["fused"] is True
        order = Order(num_sequences=64, batch_sequences=8, seed=0)
        trainer = Trainer(
            scale=scale, order=order, data=Counting(), loss_model=loss_model, optimizer=optimizer, ranks=Pretended()
        )
        for step in range(2):
            sums = trainer.update(step)
        with pytest.raises(DataDependentOutputException):
            sums[0].item()
    updates, micro_batches, chunks = 2, 2, 4 * CONFIG.seq_len // CONFIG.hidden_dim
    assert as_on_a_gpu == [CONFIG.hidden_dim] * (updates * micro_batches * chunks)  # never all rows at once


@pytest.mark.parametrize("name", ["411m_1x", "1b_1x", "7b_1x"])
@pytest.mark.parametrize("gigabytes", [24, 80, 141, 1000])
def test_the_micro_batch_is_the_largest_that_fits(name: str, gigabytes: int) -> None:
    scale, free = find_scale(name), gigabytes * 10**9
    hardware = Hardware(num_gpus=8)

    def needed(size: int) -> float:
        return estimate_memory(dataclasses.replace(scale, micro_batch_sequences=size), hardware).total / (1 - SPARE)

    size = largest_micro_batch(scale, hardware, free)
    share = scale.batch_sequences // 8
    if size is None:
        assert needed(1) > free
    else:
        assert size & (size - 1) == 0
        assert needed(size) <= free
        assert 2 * size > share or needed(2 * size) > free


def test_nothing_fits_into_too_little() -> None:
    assert largest_micro_batch(find_scale("7b_1x"), Hardware(), 80 * 10**9) is None
    assert largest_micro_batch(find_scale("411m_1x"), Hardware(), 80 * 10**9) in (16, 32, 64)
