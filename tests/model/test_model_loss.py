"""The loss in chunks equals the loss at once, in value and gradient; first weights follow open_lm's rule."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from dclm.model import loss as loss_module
from dclm.model.config import ModelConfig
from dclm.model.init import CUT, initialize, standard_deviation
from dclm.model.loss import cross_entropy_sum, linear_cross_entropy
from dclm.model.transformer import Transformer

N, D, V = 37, 4, 29


def example(dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    hidden = torch.randn(N, D, generator=generator).to(dtype).requires_grad_()
    weight = torch.randn(V, D, generator=generator).requires_grad_()
    return hidden, weight, torch.randint(0, V, (N,), generator=generator)


@pytest.mark.parametrize("chunk", [1, 9, N, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("compiled", [False, True])
def test_chunks_change_neither_loss_nor_gradients(
    monkeypatch: pytest.MonkeyPatch, chunk: int, dtype: torch.dtype, compiled: bool
) -> None:
    """As on CPUs, and as on GPUs with a backend that generates no code."""
    monkeypatch.setattr(loss_module, "CHUNK_ELEMENTS_CPU", chunk * V)
    softmax = torch.compile(loss_module._softmax, backend="aot_eager", fullgraph=True)
    monkeypatch.setattr(loss_module, "_compiled_softmax", lambda: softmax)
    hidden, weight, targets = example(dtype)
    logits = F.linear(hidden, weight.to(dtype)).float()
    squares = 0.1 * logits.logsumexp(-1).square().mean()
    expected = F.cross_entropy(logits, targets) + squares
    wanted = torch.autograd.grad(2 * expected, (hidden, weight))
    found = linear_cross_entropy(hidden, weight, targets, z_loss=0.1, scale=1 / N, compiled=compiled)
    gradients = torch.autograd.grad(2 * found.loss, (hidden, weight))
    tolerance = {"atol": 1e-6, "rtol": 1e-5} if dtype == torch.float32 else {"atol": 5e-3, "rtol": 5e-2}
    torch.testing.assert_close(found.loss, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(found.z_loss / N, squares, atol=1e-5, rtol=1e-5)
    for mine, theirs in zip(gradients, wanted, strict=True):
        torch.testing.assert_close(mine, theirs, **tolerance)
    torch.testing.assert_close(cross_entropy_sum(hidden, weight, targets), found.cross_entropy)


def test_blocks_of_a_chunk_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    hidden, weight, targets = example(torch.bfloat16)
    found = []
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for rows in (1, 5, N):
        monkeypatch.setattr(loss_module, "BLOCK_ELEMENTS", rows * V)
        sums = linear_cross_entropy(hidden, weight, targets, z_loss=0.1, scale=1 / N)
        found.append((*(value.detach() for value in sums), *torch.autograd.grad(sums.loss, (hidden, weight))))
    assert all(torch.equal(one, other) for some in found[1:] for one, other in zip(found[0], some, strict=True))


@pytest.mark.parametrize("compiled", [False, True])
def test_large_logits_do_not_overflow(monkeypatch: pytest.MonkeyPatch, compiled: bool) -> None:
    monkeypatch.setattr(loss_module, "_compiled_softmax", lambda: loss_module._softmax)
    hidden, weight, targets = example(torch.float32)
    found = linear_cross_entropy(hidden * 1000, weight * 1000, targets, z_loss=0.0, scale=1.0, compiled=compiled)
    found.loss.backward()
    assert math.isfinite(found.loss.item())
    assert weight.grad is not None
    assert weight.grad.isfinite().all()


def test_first_weights_have_open_lms_deviations_and_cut() -> None:
    config = ModelConfig(hidden_dim=128, num_layers=3, num_heads=4, seq_len=16, vocab_size=400)
    model = initialize(Transformer(config), 0)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 1:
            assert torch.equal(parameter, torch.ones_like(parameter))
            continue
        sigma = standard_deviation(name, config)
        assert parameter.std().item() == pytest.approx(sigma * 0.9866, rel=0.03)  # of a normal cut at ±3
        assert parameter.abs().max() <= CUT * sigma
    assert standard_deviation("layers.2.feed_forward.w3.weight", config) == pytest.approx(512**-0.5 / 6**0.5)
    assert standard_deviation("layers.0.attention.out_proj.weight", config) == pytest.approx(128**-0.5 / 2**0.5)


def test_first_weights_depend_on_the_seed_alone() -> None:
    config = ModelConfig(hidden_dim=16, num_layers=1, num_heads=2, seq_len=16, vocab_size=40)
    first, second, other = (initialize(Transformer(config), seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])
    assert not torch.equal(first["output.weight"], first["tok_embeddings.weight"])


def test_recomputed_activations_change_no_gradient() -> None:
    config = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=16, vocab_size=40)
    rows = torch.arange(32).reshape(2, 16)
    gradients = []
    for recompute in (False, True):
        model = initialize(Transformer(config), 0).train()
        model.checkpoint_activations = recompute
        model(rows).square().mean().backward()
        gradients.append([p.grad for p in model.parameters()])
    for one, other in zip(*gradients, strict=True):
        assert one is not None
        assert other is not None
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # torch._dynamo looks at it
def test_blocks_are_captured_once_for_all_layers_and_compute_the_same() -> None:
    """A graph for each layer would exceed torch.compile's limit, beyond which code runs uncompiled."""
    from torch._dynamo import reset
    from torch._dynamo.utils import counters

    config = ModelConfig(hidden_dim=16, num_layers=10, num_heads=2, seq_len=16, vocab_size=40)
    rows = torch.arange(32).reshape(2, 16)
    model = initialize(Transformer(config), 0).train()
    expected = model(rows)
    reset()
    counters.clear()
    for block in model.layers:
        block.compile(backend="eager", fullgraph=True)
    for _ in range(2):
        found = model(rows)
        found.square().mean().backward()
    assert counters["stats"]["unique_graphs"] == 1
    torch.testing.assert_close(found, expected)
