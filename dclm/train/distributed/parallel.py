"""A model and its optimizer over the ranks: whole in one process, FSDP2 over several, HSDP over several nodes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from dclm.model.config import ModelConfig
from dclm.model.loss import LossSums, cross_entropy_sum, linear_cross_entropy
from dclm.model.transformer import Transformer, inverse_frequencies
from dclm.train.distributed.ranks import Ranks

Values = Callable[[str, torch.Size], Tensor]
"""(parameter name, shape) → its full value on the CPU."""


class LossModel(nn.Module):
    """Model and loss as one module, so that FSDP gathers the head's weight for the loss."""

    def __init__(self, model: Transformer, z_loss: float) -> None:
        super().__init__()
        self.model = model
        self.z_loss = z_loss
        self._compiled = False

    def forward(self, rows: Tensor, scale: float) -> LossSums:
        """The loss of `rows` [B, T + 1], summed over tokens, times `scale`; without gradients, only cross-entropy."""
        hidden = self.model.forward_hidden(rows[:, :-1]).flatten(0, 1)
        weight, targets = self.model.output.weight, rows[:, 1:].flatten()
        if not torch.is_grad_enabled():
            entropy = cross_entropy_sum(hidden, weight, targets)
            return LossSums(entropy * scale, entropy, torch.zeros_like(entropy))
        return linear_cross_entropy(hidden, weight, targets, z_loss=self.z_loss, scale=scale, compiled=self._compiled)

    def compile_parts(self) -> None:
        """torch.compile for the blocks, where one graph serves all, and for the loss: with different rounding."""
        for block in self.model.layers:
            block.compile()
        self._compiled = True


def build_model(
    config: ModelConfig, z_loss: float, ranks: Ranks, values: Values | None, dtype: torch.dtype
) -> LossModel:
    """The model on this rank's device, sharded if there are several ranks, filled with `values`.

    Without `values`, its parameters are left for a checkpoint to fill. No rank ever holds more than one full parameter
    in addition to its share. `dtype` is the precision of products and activations; parameters, gradients summed over
    ranks and optimizer state are float32.
    """
    with torch.device("meta"):
        loss_model = LossModel(Transformer(config), z_loss)
    model = loss_model.model
    model.compute_dtype = None if dtype == torch.float32 else dtype
    if ranks.world_size > 1:
        _shard(loss_model, ranks, dtype)
    loss_model.to_empty(device=ranks.device)
    model.rotary.inv_freq = inverse_frequencies(config.head_dim).to(ranks.device)
    if values is not None:
        fill(model, values)
    return loss_model


def fill(model: Transformer, values: Values) -> None:
    """Give every parameter its value, each rank its own part."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(scatter(values(name, parameter.shape), parameter))


def _shard(loss_model: LossModel, ranks: Ranks, dtype: torch.dtype) -> None:
    kind = ranks.device.type
    copies = ranks.world_size // ranks.shard_ranks
    if copies > 1:  # HSDP: neighbors share a copy, and gradients are summed across copies
        mesh = init_device_mesh(kind, (copies, ranks.shard_ranks), mesh_dim_names=("copies", "shards"))
    else:
        mesh = init_device_mesh(kind, (ranks.world_size,))
    policy = MixedPrecisionPolicy(param_dtype=dtype, reduce_dtype=torch.float32)
    for block in loss_model.model.layers:
        fully_shard(block, mesh=mesh, mp_policy=policy)
    fully_shard(loss_model, mesh=mesh, mp_policy=policy)


def scatter(full: Tensor, like: Tensor) -> Tensor:
    """`full`, which every rank has, in the layout of `like`."""
    full = full.to(like.device)
    if not isinstance(like, DTensor):
        return full
    return distribute_tensor(full, like.device_mesh, like.placements, src_data_rank=None)


def gather(tensor: Tensor) -> Tensor:
    """The full value on the CPU; all ranks must call it together."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().to("cpu")
