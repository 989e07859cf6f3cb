"""Keys and values of tokens that were already read, so that a shared context is forwarded only once.

B batch, H heads, C capacity, D width of a head, L layers, T new tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from dclm.model.interface import Cache

if TYPE_CHECKING:
    from dclm.model.config import ModelConfig


class PassWindow(NamedTuple):
    """Positions of the tokens of one forward pass, and what each of them sees."""

    positions: Tensor
    """[T], or [B, T] if rows differ."""
    mask: Tensor | None
    """[B, 1, T, filled + T], True where seen; None: causal over the new tokens only."""


class KVCache:
    """The cache of B rows of tokens, each with its own length.

    Rows are right-padded: pass `lengths` to the model, and later tokens never see the padding, which takes no position.
    A cache grows in place as the model reads on; `select` makes an independent copy.
    """

    def __init__(self, keys: Tensor, values: Tensor, valid: Tensor, lengths: Tensor, filled: int) -> None:
        self.keys = keys
        """[L, B, H, C, D]"""
        self.values = values
        self.valid = valid
        """[B, C], True where the slot holds a real token."""
        self.lengths = lengths
        """[B], real tokens of each row: the position of its next token."""
        self.filled = filled
        """Slots in use, the same for all rows."""

    @classmethod
    def create(
        cls, config: ModelConfig, batch: int, capacity: int, *, device: torch.device | str, dtype: torch.dtype
    ) -> KVCache:
        """An empty cache for `batch` rows of at most `capacity` tokens, padding included."""
        shape = (config.num_layers, batch, config.num_heads, capacity, config.head_dim)
        return cls(
            keys=torch.zeros(shape, device=device, dtype=dtype),
            values=torch.zeros(shape, device=device, dtype=dtype),
            valid=torch.zeros(batch, capacity, device=device, dtype=torch.bool),
            lengths=torch.zeros(batch, device=device, dtype=torch.long),
            filled=0,
        )

    @property
    def capacity(self) -> int:
        return self.keys.shape[3]

    def select(self, rows: Tensor, capacity: int | None = None) -> KVCache:
        """A copy that contains the given rows (`rows` [B'], repeats allowed), with room for `capacity` tokens.

        To score one context with several choices: `cache.select(torch.tensor([0, 0, 0, 0]))`.
        """
        capacity = self.capacity if capacity is None else capacity
        assert capacity >= self.filled, f"{self.filled} tokens do not fit into {capacity}"
        layers, _, heads, _, width = self.keys.shape
        keys = self.keys.new_zeros(layers, len(rows), heads, capacity, width)
        values = torch.zeros_like(keys)
        valid = self.valid.new_zeros(len(rows), capacity)
        keys[:, :, :, : self.filled] = self.keys[:, rows, :, : self.filled]
        values[:, :, :, : self.filled] = self.values[:, rows, :, : self.filled]
        valid[:, : self.filled] = self.valid[rows, : self.filled]
        return KVCache(keys, values, valid, self.lengths[rows].clone(), self.filled)

    def joined(self, others: Sequence[Cache], capacity: int) -> KVCache:
        """A copy that contains the rows of this cache and then those of others, with room for `capacity` tokens.

        Rows of a cache with fewer slots in use are padded to the largest number.
        """
        parts = [self]
        for other in others:
            assert isinstance(other, KVCache)
            parts.append(other)
        filled = max(part.filled for part in parts)
        assert capacity >= filled, f"{filled} tokens do not fit into {capacity}"
        layers, _, heads, _, width = self.keys.shape
        batch = sum(len(part.lengths) for part in parts)
        keys = self.keys.new_zeros(layers, batch, heads, capacity, width)
        values = torch.zeros_like(keys)
        valid = self.valid.new_zeros(batch, capacity)
        start = 0
        for part in parts:
            end = start + len(part.lengths)
            keys[:, start:end, :, : part.filled] = part.keys[:, :, :, : part.filled]
            values[:, start:end, :, : part.filled] = part.values[:, :, :, : part.filled]
            valid[start:end, : part.filled] = part.valid[:, : part.filled]
            start = end
        return KVCache(keys, values, valid, torch.cat([part.lengths for part in parts]), filled)

    def window(self, num_new: int, lengths: Tensor | None) -> PassWindow:
        """Positions and mask of the next `num_new` tokens, of which row b has `lengths[b]` real ones (None: all)."""
        assert self.filled + num_new <= self.capacity, f"a cache for {self.capacity} tokens is full"
        steps = torch.arange(num_new, device=self.lengths.device)
        positions = self.lengths[:, None] + steps
        if self.filled == 0:  # padding is on the right: causal attention never sees it
            return PassWindow(positions, None)
        causal = steps[:, None] >= steps
        if lengths is None:
            new = causal.expand(len(self.lengths), -1, -1)
        else:  # a token sees itself even if it is padding, so that no row of the softmax is empty
            itself = steps[:, None] == steps
            new = (causal & (steps < lengths[:, None])[:, None, :]) | itself
        old = self.valid[:, None, : self.filled].expand(-1, num_new, -1)
        return PassWindow(positions, torch.cat((old, new), dim=2)[:, None])

    def append(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Store the new tokens' [B, H, T, D] of one layer; returns all keys and values so far, [B, H, filled + T,
        D]."""
        end = self.filled + keys.shape[2]
        self.keys[layer, :, :, self.filled : end] = keys
        self.values[layer, :, :, self.filled : end] = values
        return self.keys[layer, :, :, :end], self.values[layer, :, :, :end]

    def advance(self, num_new: int, lengths: Tensor | None) -> None:
        """Count `num_new` tokens, which were stored in every layer, as read."""
        steps = torch.arange(num_new, device=self.lengths.device)
        real = torch.full_like(self.lengths, num_new) if lengths is None else lengths
        self.valid[:, self.filled : self.filled + num_new] = steps < real[:, None]
        self.lengths = self.lengths + real
        self.filled += num_new
