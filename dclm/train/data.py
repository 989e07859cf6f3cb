"""Which sequences an update reads: a function of the seed and the step, independent of the number of ranks."""

from __future__ import annotations

import dataclasses
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from dclm.core.errors import ConfigError, DataError
from dclm.tokens.dataset import TokenDataset
from dclm.train.scale import Scale

Indices = npt.NDArray[np.int64]
UNIGRAM_SEQUENCES = 50_000  # enough for three digits of the entropy: 100 M tokens at 2,048
READ_AT_ONCE = 256


class Sequences(Protocol):
    """The part of the interface of `dclm.tokens.dataset.TokenDataset` that training uses."""

    @property
    def num_sequences(self) -> int:
        """Number of rows, in shuffled order."""

    seq_len: int
    vocab_size: int

    def rows(self, indices: Indices) -> npt.NDArray[np.int64]:
        """The rows at `indices`, int64 [n, seq_len + 1]."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Order:
    """The order of the training data: the artifact's order (already shuffled), reshuffled for later epochs."""

    num_sequences: int
    batch_sequences: int
    seed: int
    stated: Indices | None = None
    """The rows of all updates, in order; None: the artifact's order."""

    def batch(self, step: int, rank: int = 0, world_size: int = 1) -> Indices:
        """Row indices that `rank` reads in update `step`: a contiguous part of the global batch.

        Shares differ by one row if the batch is not a multiple of the number of ranks.
        """
        low, high = (self.batch_sequences * r // world_size for r in (rank, rank + 1))
        places = step * self.batch_sequences + np.arange(low, high, dtype=np.int64)
        if self.stated is not None:
            return self.stated[places]
        epochs, rows = np.divmod(places, self.num_sequences)
        for epoch in np.unique(epochs):
            if epoch > 0:
                here = epochs == epoch
                rows[here] = _shuffled(self.num_sequences, self.seed, int(epoch))[rows[here]]
        return rows

    def largest_share(self, world_size: int) -> int:
        """Number of rows of the rank that reads most of a batch."""
        return -(-self.batch_sequences // world_size)


@lru_cache(maxsize=2)
def _shuffled(num_sequences: int, seed: int, epoch: int) -> Indices:
    digest = sha256(f"{seed}/epoch/{epoch}".encode()).digest()
    generator = np.random.Generator(np.random.Philox(int.from_bytes(digest[:16], "little")))
    return generator.permutation(num_sequences)


def check_data(data: Sequences, scale: Scale, epochs: int, where: str) -> None:
    """Raises: ConfigError if the sequences do not have the scale's length; DataError if there are too few."""
    check_shape(data, scale, where)
    needed, present = scale.num_sequences, data.num_sequences
    if needed > present * epochs:
        length = scale.model.seq_len
        least = -(-needed // present) if present else 0
        what = f"{scale.name} needs {needed * length:,} tokens, found {present * length:,} × {epochs} epochs"
        hint = f"tokenize more documents, or choose --epochs {least}" if present else "the tokens artifact is empty"
        raise DataError(where, what, hint + (", or --tokens N, which leaves the benchmark" if present else ""))


def check_shape(data: Sequences, scale: Scale, where: str) -> None:
    """Raises: ConfigError if sequence length or vocabulary do not fit the scale."""
    if data.seq_len != scale.model.seq_len:
        what = f"found sequences of {data.seq_len} tokens, allowed: {scale.model.seq_len}, the length of {scale.name}"
        raise ConfigError(where, what, f"tokenize with --seq-len {scale.model.seq_len}")
    if data.vocab_size > scale.model.vocab_size:
        what = f"found a vocabulary of {data.vocab_size}, allowed: {scale.model.vocab_size} or fewer"
        raise ConfigError(where, what, "use the GPT-NeoX-20B tokenizer")


def unigram_entropy(data: Sequences, num_sequences: int) -> float:
    """Entropy (nats per token) of single tokens in the first sequences read: the loss without any context."""
    counts = np.zeros(data.vocab_size, dtype=np.int64)
    end = min(num_sequences, data.num_sequences, UNIGRAM_SEQUENCES)
    for start in range(0, end, READ_AT_ONCE):
        rows = data.rows(np.arange(start, min(start + READ_AT_ONCE, end)))
        counts += np.bincount(rows[:, 1:].ravel(), minlength=data.vocab_size)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def open_validation(address: Path | str | None, scale: Scale) -> TokenDataset | None:
    """Held-out tokens; None if there is no address. Raises: ConfigError or DataError if they do not fit the scale."""
    if address is None:
        return None
    data = TokenDataset(address)
    check_shape(data, scale, str(address))
    if not data.num_sequences:
        raise DataError(str(address), "no sequences to validate on", "tokenize some held-out text")
    return data
