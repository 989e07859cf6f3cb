"""Head, cross-entropy and z-loss as one operation that never holds all logits.

N tokens, d width, V vocabulary, C tokens of a chunk. At small scales head and loss are most of the work: making the
gradient while a chunk's logits are at hand saves memory of order N·V and the passes over it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ELEMENTS_CPU = 1 << 23  # logits of a chunk: 32 MB, measured best of 1 << 19 … 24 with a 32 MB cache
CHUNK_ELEMENTS_GPU = 1 << 28  # about 5,000 tokens at V = 50,432: large products, 1.6 GB of logits
SMALLEST_SHARE = 1e-30  # far above where float32 loses digits (1e-38)


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
    """Computes the gradients in the forward pass; backward only scales them.

    The gradient of a row of logits is c · softmax - scale · onehot(target), with c = scale · (1 + 2z · logsumexp). The
    softmax goes through the products as it is; c and the target are applied to what is d wide, not V.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        cast = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        cross_entropy = torch.zeros((), dtype=torch.float32, device=weight.device)
        squares = torch.zeros_like(cross_entropy)
        buffers = _Buffers(_rows_at_once(len(hidden), weight), cast)
        for part in _chunks(len(hidden), weight):
            inputs, goals = hidden[part], targets[part]
            logits, softmax, low = buffers.fill(inputs)
            at_target = logits.gather(1, goals[:, None])
            logsumexp = _logsumexp(logits, at_target, softmax.gather(1, goals[:, None]))
            cross_entropy += (logsumexp - at_target).sum()
            squares += logsumexp.square().sum()
            row_scale = scale * (1 + 2 * z_loss * logsumexp)
            grad_hidden[part] = torch.mm(low, cast) * row_scale - scale * cast[goals]
            _add_product(grad_weight, low.T, (inputs * row_scale).to(hidden.dtype))
        grad_weight.index_add_(0, targets, hidden.float(), alpha=-scale)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return (cross_entropy + z_loss * squares) * scale, cross_entropy, z_loss * squares

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor, Tensor, None, None, None]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, (grad_weight * grad).to(ctx.weight_dtype), None, None, None


class _Buffers:
    """Room for one chunk's logits and softmax, used again and again: fresh memory would cost more than the work."""

    def __init__(self, num_rows: int, weight: Tensor) -> None:
        self.weight = weight
        self.product = weight.new_empty(num_rows, len(weight))
        self.logits = self.product.float()
        self.softmax = torch.empty_like(self.logits)

    def fill(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Logits and their softmax, [C, V] float32, and the softmax in the precision of the products."""
        rows = len(inputs)
        product, logits, softmax = self.product[:rows], self.logits[:rows], self.softmax[:rows]
        torch.mm(inputs, self.weight.T, out=product)
        if product.data_ptr() != logits.data_ptr():
            logits.copy_(product)
        torch.softmax(logits, dim=1, out=softmax)
        if product.data_ptr() == logits.data_ptr():
            return logits, softmax, softmax
        return logits, softmax, product.copy_(softmax)


def _rows_at_once(num_rows: int, weight: Tensor) -> int:
    """Rows of a chunk: no fewer than d, or passes over the weight's gradient would cost more than the logits."""
    elements = CHUNK_ELEMENTS_GPU if weight.is_cuda else CHUNK_ELEMENTS_CPU
    return min(num_rows, max(elements // len(weight), weight.shape[1]))


def _chunks(num_rows: int, weight: Tensor) -> Iterator[slice]:
    step = _rows_at_once(num_rows, weight)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def _logsumexp(logits: Tensor, at_target: Tensor, share: Tensor) -> Tensor:
    """[C, 1], from the target's logit and its share in the softmax, which spares a pass over the logits.

    Where a share is too small for that, and on GPUs, which looking at it would hold up, over the logits.
    """
    if not logits.is_cuda and float(share.min()) > SMALLEST_SHARE:
        return at_target - share.log()
    return logits.logsumexp(dim=1, keepdim=True)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, added up in float32."""
    if right.dtype == torch.float32:
        total.addmm_(left, right)
    else:
        total += torch.mm(left, right)


def cross_entropy_sum(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """Σ cross-entropy (nats, float32) of hidden states [N, d] under a head `weight` [V, d], without gradients."""
    total = torch.zeros((), dtype=torch.float32, device=weight.device)
    with torch.no_grad():
        cast = weight.to(hidden.dtype)
        for part in _chunks(len(hidden), weight):
            logits = torch.mm(hidden[part], cast.T).float()
            total += torch.nn.functional.cross_entropy(logits, targets[part], reduction="sum")
    return total
