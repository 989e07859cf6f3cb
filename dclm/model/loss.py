"""Head, cross-entropy and z-loss as one operation that never holds all logits.

N tokens, d width, V vocabulary, C tokens of a chunk. At small scales head and loss are most of the work: computing the
gradient while a chunk's logits are available saves memory of order N·V and further passes over it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

CHUNK_ELEMENTS_CPU = 1 << 23  # logits of a chunk: 32 MB, measured best of 1 << 19 … 24 with a 32 MB cache
CHUNK_ELEMENTS_GPU = 1 << 28  # 4,096 tokens at V = 50,432: large products of 0.4 GB in bfloat16
BLOCK_ELEMENTS = 1 << 19  # per thread: 2 MB of logits and 2 MB of softmax, which stay in the cache
SMALLEST_SHARE = 1e-30  # far above the range where float32 loses digits (1e-38)


class LossSums(NamedTuple):
    """Sums over tokens, each of dimension 0 and float32; only `loss` carries a gradient."""

    loss: Tensor
    """(Σ cross-entropy + z · Σ logsumexp²) · scale"""
    cross_entropy: Tensor
    """Σ cross-entropy, nats"""
    z_loss: Tensor
    """z · Σ logsumexp²"""


def linear_cross_entropy(
    hidden: Tensor, weight: Tensor, targets: Tensor, *, z_loss: float, scale: float, compiled: bool = False
) -> LossSums:
    """The training loss of hidden states [N, d] under a head `weight` [V, d] and `targets` [N].

    Products run at the precision of `hidden`; softmax and sums in float32. `compiled` fuses the operations on each
    logit (torch.compile): on GPUs they would otherwise take longer than the products. Source: open_lm losses.py
    `CrossEntropyLossWithZLoss` (mean over tokens: scale = 1/N).
    """
    loss, cross_entropy, z = _LinearCrossEntropy.apply(hidden, weight, targets, z_loss, scale, compiled)  # type: ignore[no-untyped-call]
    return LossSums(loss, cross_entropy, z)


class _LinearCrossEntropy(torch.autograd.Function):
    """Computes the gradients in the forward pass; backward only scales them.

    The gradient of a row of logits is c · softmax - scale · onehot(target), with c = scale · (1 + 2z · logsumexp). The
    softmax goes through the products unchanged; c and the target are applied to tensors of width d, not V.
    """

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor, z_loss: float, scale: float, compiled: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        cast = weight.to(hidden.dtype)
        grad_hidden = torch.empty_like(hidden)
        grad_weight = torch.zeros(weight.shape, dtype=torch.float32, device=weight.device)
        cross_entropy = torch.zeros((), dtype=torch.float32, device=weight.device)
        squares = torch.zeros_like(cross_entropy)
        softmax = _softmax_of(cast, _rows_at_once(len(hidden), weight), compiled)
        for part in _chunks(len(hidden), weight):
            inputs, goals = hidden[part], targets[part]
            shares, logsumexp, at_target = softmax(inputs, goals[:, None])
            cross_entropy += (logsumexp - at_target).sum()
            squares += logsumexp.square().sum()
            row_scale = scale * (1 + 2 * z_loss * logsumexp)
            grad_hidden[part] = torch.mm(shares, cast) * row_scale - scale * cast[goals]
            _add_product(grad_weight, shares.T, (inputs * row_scale).to(hidden.dtype))
        grad_weight.index_add_(0, targets, hidden.float(), alpha=-scale)
        ctx.save_for_backward(grad_hidden, grad_weight)
        ctx.weight_dtype = weight.dtype
        return (cross_entropy + z_loss * squares) * scale, cross_entropy, z_loss * squares

    @staticmethod
    def backward(ctx: Any, grad: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        grad_hidden, grad_weight = ctx.saved_tensors
        return grad_hidden * grad, (grad_weight * grad).to(ctx.weight_dtype), None, None, None, None


class _Softmax(NamedTuple):
    """The softmax of one chunk."""

    shares: Tensor
    """[C, V], the softmax, in the precision of the products."""
    logsumexp: Tensor
    """[C, 1], float32."""
    at_target: Tensor
    """[C, 1], float32: the logit of each row's target."""


def _softmax_of(weight: Tensor, num_rows: int, compiled: bool) -> Callable[[Tensor, Tensor], _Softmax]:
    """The function that computes the softmax of chunks of up to `num_rows` hidden states [C, d] and targets [C, 1]."""
    if not (compiled or weight.is_cuda):
        return _Buffers(num_rows, weight).fill
    of_logits = _compiled_softmax() if compiled else _softmax
    return lambda inputs, goals: of_logits(torch.mm(inputs, weight.T), goals)


def _softmax(product: Tensor, goals: Tensor) -> _Softmax:
    """Compiled, it reads products and writes probabilities, and nothing of that size in float32."""
    logits = product.float()
    logsumexp = logits.logsumexp(dim=1, keepdim=True)
    return _Softmax((logits - logsumexp).exp_().to(product.dtype), logsumexp, logits.gather(1, goals))


@functools.cache
def _compiled_softmax() -> Callable[[Tensor, Tensor], _Softmax]:
    return torch.compile(_softmax)


class _Buffers:
    """Buffers for one chunk's logits and softmax on a CPU, where new memory for each chunk would cost more than the
    work. In float32 they hold a whole chunk, and otherwise only as many rows as stay in the processor's cache."""

    def __init__(self, num_rows: int, weight: Tensor) -> None:
        self.weight = weight
        self.product = weight.new_empty(num_rows, len(weight))
        self.block = num_rows
        if weight.dtype != torch.float32:
            self.block = min(num_rows, max(1, BLOCK_ELEMENTS // len(weight)) * torch.get_num_threads())
        self.softmax = weight.new_empty(self.block, len(weight), dtype=torch.float32)
        self.logits = self.softmax if weight.dtype == torch.float32 else torch.empty_like(self.softmax)

    def fill(self, inputs: Tensor, goals: Tensor) -> _Softmax:
        """The softmax of a chunk, valid until the next one."""
        product = self.product[: len(inputs)]
        torch.mm(inputs, self.weight.T, out=product)
        if product.dtype == torch.float32:
            return self._softmax(product, goals)
        parts = []
        for rows, targets in zip(torch.split(product, self.block), torch.split(goals, self.block), strict=True):
            parts.append(self._softmax(self.logits[: len(rows)].copy_(rows), targets))
            rows.copy_(parts[-1].shares)
        return _Softmax(product, torch.cat([p.logsumexp for p in parts]), torch.cat([p.at_target for p in parts]))

    def _softmax(self, logits: Tensor, goals: Tensor) -> _Softmax:
        softmax = torch.softmax(logits, dim=1, out=self.softmax[: len(logits)])
        at_target = logits.gather(1, goals)
        return _Softmax(softmax, _logsumexp(logits, at_target, softmax.gather(1, goals)), at_target)


def _rows_at_once(num_rows: int, weight: Tensor) -> int:
    """Rows of a chunk: no fewer than d, or else passes over the weight's gradient would cost more than the logits."""
    elements = CHUNK_ELEMENTS_GPU if weight.is_cuda else CHUNK_ELEMENTS_CPU
    rows = max(elements // len(weight), weight.shape[1])
    if weight.is_cuda:  # a power of two divides micro-batches evenly: kernels are compiled for one shape
        rows = 1 << (rows.bit_length() - 1)
    return min(num_rows, rows)


def _chunks(num_rows: int, weight: Tensor) -> Iterator[slice]:
    step = _rows_at_once(num_rows, weight)
    return (slice(start, start + step) for start in range(0, num_rows, step))


def _logsumexp(logits: Tensor, at_target: Tensor, share: Tensor) -> Tensor:
    """[C, 1], from the target's logit and its probability, which saves a pass over the logits.

    If a probability is too small for that, from the logits.
    """
    if float(share.min()) > SMALLEST_SHARE:
        return at_target - share.log()
    return logits.logsumexp(dim=1, keepdim=True)


def _add_product(total: Tensor, left: Tensor, right: Tensor) -> None:
    """total += left @ right, accumulated in float32."""
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
