"""A `transformers` cache with reserved room: a token is added without copying those before it.

B batch, H heads, N tokens in use, C capacity, D width of a head.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from torch import Tensor
from transformers.cache_utils import DynamicCache, DynamicLayer


class ReservedLayer(DynamicLayer):  # type: ignore[no-untyped-call]
    """Keys and values [B, H, N, D] at the beginning of tensors [B, H, C, D], which are replaced if they are full."""

    def __init__(self, capacity: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._capacity = capacity
        self._keys: Tensor | None = None
        self._values: Tensor | None = None

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Add tokens; returns all so far."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used, end = self.get_seq_length(), self.get_seq_length() + key_states.shape[2]
        if end > self._capacity:
            self._capacity = end + end // 4
            self._keys = self._values = None
        self._keys = _extended(self._keys, self.keys, key_states, used, self._capacity)
        self._values = _extended(self._values, self.values, value_states, used, self._capacity)
        self.keys, self.values = self._keys[:, :, :end], self._values[:, :, :end]
        return self.keys, self.values


def _extended(room: Tensor | None, old: Tensor | None, new: Tensor, used: int, capacity: int) -> Tensor:
    """`room`, or a new one that contains `old`, with `new` after the `used` tokens."""
    if room is None:
        batch, heads, _, width = new.shape
        room = new.new_zeros(batch, heads, capacity, width)
        if old is not None and used:
            room[:, :, :used] = old
    room[:, :, used : used + new.shape[2]] = new
    return room


def reserved_cache(capacity: int) -> Any:
    """An empty transformers.DynamicCache with room for `capacity` tokens, and more on demand."""
    cache: Any = DynamicCache()
    cache.layer_class_to_replicate = partial(ReservedLayer, capacity)
    return cache
