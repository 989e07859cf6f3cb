"""The interface that scoring and generation need of a language model, ours or one of `transformers`.

B batch, T tokens, V vocabulary, d width.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor

Batching = Literal["packed", "cached", "padded", "single"]
"""How a model may read rows of unequal length: several in one row and from a shared cache, only from a shared cache, in
one right-padded batch without a cache, or only one row at a time."""
CACHED: tuple[Batching, ...] = ("packed", "cached")
"""Those that allow a shared cache."""


class Cache(Protocol):
    """The state of a model after reading B right-padded rows."""

    lengths: Tensor
    """[B], real tokens of each row."""

    def select(self, rows: Tensor, capacity: int | None = None) -> Cache:
        """A copy that contains the given rows ([B'], repeats allowed), with room for `capacity` tokens."""

    def joined(self, others: Sequence[Cache], capacity: int) -> Cache:
        """A copy that contains the rows of this cache and then those of others, with room for `capacity` tokens."""


class LanguageModel(Protocol):
    """A causal language model that may stop before its head, and continue from a cache."""

    @property
    def vocab_size(self) -> int:
        """Number of logits."""

    @property
    def seq_len(self) -> int:
        """The longest window that the model was made for."""

    @property
    def device(self) -> torch.device:
        """Device on which tokens must be."""

    @property
    def batching(self) -> Batching:
        """How rows may be read together without changing their scores."""

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` rows of at most `capacity` tokens, padding included."""

    def forward_hidden(self, tokens: Tensor, *, cache: Cache | None = None, lengths: Tensor | None = None) -> Tensor:
        """Hidden states [B, T, d] for `head`; with a cache, `tokens` [B, T] continue it and are added to it.

        `lengths` [B]: number of real tokens in each right-padded row (None: all).
        """

    def forward_packed(self, tokens: Tensor, positions: Tensor, seen: Tensor) -> Tensor:
        """Hidden states [B, T, d] of rows of several texts, if `batching` allows them.

        tokens, positions (in their texts): [B, T]. seen: [B, T, T], True at (b, i, j) if token i sees token j.
        """

    def head(self, hidden: Tensor) -> Tensor:
        """Logits [..., V], float32."""
