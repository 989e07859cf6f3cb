"""Sentence encoders of `transformers`: the last hidden state of a text's first token, or the mean of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from dclm.core.errors import ConfigError, DataError
from dclm.select.language_model.scorer import batches, kind_of, one_thread

Vectors = npt.NDArray[np.float32]
_BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}


class SentenceEncoder:
    """A bidirectional encoder with its tokenizer, in float32, on the GPU if there is one."""

    def __init__(self, directory: Path, max_tokens: int, *, first_token: bool) -> None:
        """first_token: a text's vector is that of its first token, not the mean.

        Raises: DataError if transformers cannot load the model; ConfigError if it has fewer positions than
        `max_tokens`.
        """
        import transformers

        quiet: Any = transformers.utils.logging
        quiet.disable_progress_bar()
        try:
            model: Any = transformers.AutoModel.from_pretrained(
                directory, dtype=torch.float32, local_files_only=True, trust_remote_code=False
            )
        except (OSError, ValueError, KeyError) as error:
            raise DataError(str(directory), f"transformers cannot load it: {error}") from error
        room = _num_positions(model)
        if room is not None and max_tokens > room:
            what = f"max_tokens {max_tokens:,}, allowed: at most the {room:,} that the encoder was made for"
            raise ConfigError(str(directory), what, "lower `max_tokens`")
        self._first_token = first_token
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._model = model.to(self._device).eval()
        self._tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(max_tokens)

    def encode(self, texts: Sequence[str]) -> tuple[Vectors, npt.NDArray[np.bool_]]:
        """[N, d], not normalized; and which texts have a token."""
        encoded = [found.ids for found in self._tokenizer.encode_batch_fast(list(texts))]
        kind = kind_of(self._device)
        vectors = np.zeros((len(texts), self._model.config.hidden_size), np.float32)
        with torch.inference_mode(), one_thread(self._device):
            for batch in batches([len(ids) for ids in encoded], _BATCH_TOKENS[kind], kind):
                if not encoded[batch[0]]:  # the longest of the batch
                    continue
                longest = len(encoded[batch[0]])
                ids = torch.zeros(len(batch), longest, dtype=torch.long)
                mask = torch.zeros(len(batch), longest, dtype=torch.long)
                for row, place in enumerate(batch):
                    ids[row, : len(encoded[place])] = torch.tensor(encoded[place])
                    mask[row, : len(encoded[place])] = 1
                ids, mask = ids.to(self._device), mask.to(self._device)
                hidden = self._model(input_ids=ids, attention_mask=mask).last_hidden_state
                found = hidden[:, 0] if self._first_token else _means(hidden, mask)
                vectors[batch] = found.float().cpu().numpy()
        return vectors, np.array([not text.isspace() and text != "" for text in texts], np.bool_)


def _means(hidden: Tensor, mask: Tensor) -> Tensor:
    """[B, d]: means of hidden states [B, T, d] over the tokens of mask [B, T]."""
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


def _num_positions(model: Any) -> int | None:
    """Maximum number of tokens of a model with a table of positions; None for others, such as rotary ones."""
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if not isinstance(table, torch.nn.Embedding):
        return None
    return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)  # RoBERTa's begin there
