"""Head, cross-entropy and z-loss as one operation that never holds all logits.

N tokens, d width, V vocabulary, C tokens of a chunk. At small scales head and loss are most of the work: making the
gradient while a chunk's logits are at hand saves memory of order N·V and the passes over it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ELEMENTS_CPU = 1 << 22  # logits of a chunk: a few MB, so that they stay in cache from pass to pass
CHUNK_ELEMENTS_GPU = 1 << 28  # about 5,000 tokens at V = 50,432: large products, 1.6 GB of logits


class LossSums(NamedTuple):
    """Sums over tokens, each of dimension 0 and float32; only `loss` carries a gradient."""

    loss: Tensor
    """(Σ cross-entropy + z · Σ logsumexp²) · scale"""
    cross_entropy: Tensor
    """Σ cross-entropy, nats"""
    z_loss: Tensor
    """z · Σ logsumexp²"""


def linear_cross_entropy(hidden: Tensor, weight: Tensor, targets: Tensor, *, z_loss: float, scale: float) -> LossSums:
    """The training loss of hidden states [N, d] under a head `weight` [V, d] and `targets` [N].

    Products run at the precision of `hidden`; softmax and sums in float32.
    Source: open_lm losses.py `CrossEntropyLossWithZLoss` (mean over tokens: scale = 1/N).
    """
    loss, cross_entropy, z = _LinearCrossEntropy.apply(hidden, weight, targets, z_loss, scale)  # type: ignore[no-untyped-call]
    return LossSums(loss, cross_entropy, z)


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass; backward only scales them."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        cast = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        cross_entropy = torch.zeros((), dtype=torch.float32, device=weight.device)
        squares = torch.zeros_like(cross_entropy)
        elements = CHUNK_ELEMENTS_GPU if weight.is_cuda else CHUNK_ELEMENTS_CPU
        step = max(1, elements // len(weight))
        for start in range(0, len(hidden), step):
            part = slice(start, start + step)
            logits = torch.mm(hidden[part], cast.T)
            gradient, chunk_entropy, chunk_squares = chunk_loss(logits, targets[part], z_loss, scale)
            torch.mm(gradient, cast, out=grad_hidden[part])
            if hidden.dtype == torch.float32:
                grad_weight.addmm_(gradient.T, hidden[part])
            else:
                grad_weight += torch.mm(gradient.T, hidden[part])
            cross_entropy += chunk_entropy
            squares += chunk_squares
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return (cross_entropy + z_loss * squares) * scale, cross_entropy, z_loss * squares

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, (grad_weight * grad).to(ctx.weight_dtype), None, None, None


def chunk_loss(logits: Tensor, targets: Tensor, z_loss: float, scale: float) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of the logits [C, V] (in their dtype), Σ cross-entropy, Σ logsumexp². Overwrites float32 logits."""
    values = logits.float()
    at_target = values.gather(1, targets[:, None])
    top = values.amax(dim=1, keepdim=True)
    weights = values.sub_(top).exp_()
    total = weights.sum(dim=1, keepdim=True)
    logsumexp = total.log() + top
    weights.mul_((1 + 2 * z_loss * logsumexp) * (scale / total))
    weights.scatter_add_(1, targets[:, None], torch.full_like(at_target, -scale))
    return weights.to(logits.dtype), (logsumexp - at_target).sum(), logsumexp.square().sum()


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Σ cross-entropy (nats, float32) of hidden states [N, d] under a head `weight` [V, d], without gradients."""
    total = torch.zeros((), dtype=torch.float32, device=weight.device)
    step = max(1, (CHUNK_ELEMENTS_GPU if weight.is_cuda else CHUNK_ELEMENTS_CPU) // len(weight))
    with torch.no_grad():
        cast = weight.to(hidden.dtype)
        for start in range(0, len(hidden), step):
            logits = torch.mm(hidden[start : start + step], cast.T).float()
            total += torch.nn.functional.cross_entropy(logits, targets[start : start + step], reduction="sum")
    return total
