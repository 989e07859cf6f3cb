"""The fraction of a model's training text that it has read before, which deduplication could save."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from dclm.tokens.dataset import TokenDataset

WINDOW = 64
"""Number of tokens in a passage; for bytes, about a line of text."""
MAX_SEQUENCES = 50_000
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def repeated_share(tokens: Path, num_sequences: int) -> float:
    """Fraction of the passages of `WINDOW` tokens in the first sequences that occur there more than once, not counting
    the first copy of each. Sequences are read as in training; those beyond the artifact's end are further passes.

    Padding counts as text. Only `MAX_SEQUENCES` are checked. Passages with equal 64-bit hashes count as equal.
    """
    data = TokenDataset(tokens)
    wanted = min(num_sequences, MAX_SEQUENCES)
    present = np.arange(min(wanted, data.num_sequences))
    hashes = np.concatenate([_windows(data.rows(part)) for part in np.array_split(present, -(-len(present) // 256))])
    return 1 - len(np.unique(hashes)) / (len(hashes) / len(present) * wanted)


def _windows(rows: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """A hash of each passage within each row [n, length]."""
    values = rows.astype(np.uint64) + np.uint64(1)
    hashes = np.zeros((len(rows), max(rows.shape[1] - WINDOW + 1, 0)), np.uint64)
    for offset in range(WINDOW):
        hashes = hashes * _FACTOR + values[:, offset : offset + hashes.shape[1]]
    return hashes.ravel()
