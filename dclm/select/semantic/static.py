"""Static embeddings: a document's vector is the mean of its tokens' rows in a table. No network, no GPU."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from dclm.core.errors import DataError
from dclm.select.semantic.vectors import Vectors

_ENCODED_TEXTS = 256  # at one time


class StaticEncoder:
    """A table of embeddings with its tokenizer, as stored by Model2Vec and sentence-transformers' StaticEmbedding.

    Model2Vec may share rows between tokens (`mapping`) and weight tokens (`weights`). Unknown tokens do not count.
    """

    def __init__(self, directory: Path, max_tokens: int) -> None:
        """Raises: DataError if the tensors are not a table of embeddings."""
        tensors = load_file(directory / "model.safetensors")
        table = tensors.get("embeddings", tensors.get("embedding.weight"))
        if table is None:
            what = f"found tensors {', '.join(sorted(tensors))}, allowed: embeddings (and mapping, weights)"
            raise DataError(str(directory), what)
        self._table = table.astype(np.float32)
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        num_tokens = self._tokenizer.get_vocab_size()
        self._row = tensors.get("mapping", np.arange(num_tokens))
        self._weight = tensors.get("weights", np.ones(num_tokens)).astype(np.float32)
        unknown = json.loads(self._tokenizer.to_str())["model"].get("unk_token")
        self._unknown = self._tokenizer.token_to_id(unknown) if isinstance(unknown, str) else None
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """[N, d], the mean of the tokens' rows, not normalized; and which texts have a token."""
        vectors = np.zeros((len(texts), self._table.shape[1]), np.float32)
        present = np.zeros(len(texts), bool)
        for first in range(0, len(texts), _ENCODED_TEXTS):
            some = list(texts[first : first + _ENCODED_TEXTS])
            for row, found in enumerate(self._tokenizer.encode_batch_fast(some, add_special_tokens=False), first):
                ids = [token for token in found.ids if token != self._unknown]
                if ids:
                    vectors[row] = (self._table[self._row[ids]] * self._weight[ids, None]).mean(0, dtype=np.float64)
                    present[row] = True
        return vectors, present
