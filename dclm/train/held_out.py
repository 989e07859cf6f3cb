"""Evaluates a finished model on a held-out text: bits per byte of a tokens artifact."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn.functional import cross_entropy

from dclm.core.errors import DataError
from dclm.model.load import load_model
from dclm.tokens.dataset import TokenDataset
from dclm.train.output.report import bits_per_byte

_BATCH = 16
_BATCH_TOKENS = 4096
"""Short rows are read in larger batches."""


def held_out_bits(model: Path, tokens: Path) -> float:
    """Bits per byte of the text in `tokens`; the model reads whole rows, as in training's own validation.

    Raises: DataError if there is no such model, or the artifact is empty or does not state the bytes of its text.
    """
    data = TokenDataset(tokens)
    loaded = load_model(model).model
    total, counted = 0.0, 0
    batch = max(_BATCH, _BATCH_TOKENS // data.seq_len)
    for start in range(0, data.num_sequences, batch):
        rows = torch.from_numpy(data.rows(np.arange(start, min(start + batch, data.num_sequences))))
        with torch.no_grad():
            logits = loaded.head(loaded.forward_hidden(rows[:, :-1]))
        total += float(cross_entropy(logits.flatten(0, 1), rows[:, 1:].flatten(), reduction="sum"))
        counted += rows[:, 1:].numel()
    found = bits_per_byte(total / counted, data) if counted else None
    if found is None:
        raise DataError(str(tokens), "found no text, or no number of bytes for it", "tokenize the held-out text again")
    return found
