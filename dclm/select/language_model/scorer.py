"""Scores of texts by a language model: losses, and whether the true next token is among the most likely ones.

Texts are cut into consecutive windows that are scored alone: the first token of a window has no context and is not
scored. Windows of similar lengths share a batch, so that little work goes into padding, and logits are computed a few
rows at a time. Sums over a text are float64 and do not depend on the order of the windows.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer
from torch import Tensor

from dclm.core.errors import ConfigError
from dclm.model.interface import LanguageModel
from dclm.model.load import load_model

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
TokenScores = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
"""From logits [R, V] and the true tokens [R] to scores [R] each."""

Kind = Literal["cpu", "cuda"]
_BATCH_TOKENS = {"cpu": 2048, "cuda": 32768}
_HEAD_ROWS = {"cpu": 256, "cuda": 4096}  # rows of logits at one time: 256 rows of 50,000 floats are 50 MB
_MAX_PADDING = {"cpu": 0.05, "cuda": 0.25}  # a GPU takes a fuller batch in less time than two
_DEFAULT_WINDOW = 2048  # DCLM's
_ENCODED_TEXTS = 256  # texts at one time: the tokenizer's output is many times as large as the text


class Sums(NamedTuple):
    """Sums over the scored tokens of each text."""

    scored: Ints
    """Number of tokens."""
    loss: Floats
    """Sum of -ln p(token)."""
    hits: Ints
    """Number of tokens that are among the k most likely ones; 0 unless `top_k` was set."""
    mass: Floats
    """Sum of the total probability of the k most likely tokens; 0 unless `top_k` was set."""


class _Window(NamedTuple):
    text: int
    ids: npt.NDArray[np.int64]


class LanguageModelScorer:
    """A loaded model with its tokenizer. Computations are in float32 on every device, in one thread on a CPU."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, window: int | None, where: str) -> None:
        """Raises: ConfigError if the window is longer than the model's, or the tokenizer has more tokens than the
        model."""
        self._model = model
        self._tokenizer = tokenizer
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self.window = window or min(model.seq_len, _DEFAULT_WINDOW)
        if self.window > model.seq_len:
            what = f"window {self.window}, allowed: at most the {model.seq_len} tokens that the model was made for"
            raise ConfigError(where, what)
        if tokenizer.get_vocab_size() > model.vocab_size:
            what = f"the tokenizer has {tokenizer.get_vocab_size():,} tokens, but the model {model.vocab_size:,}"
            raise ConfigError(where, what, "set `tokenizer` to the one that the model was trained with")

    @classmethod
    def load(cls, path: str, tokenizer: Path | None, window: int | None) -> LanguageModelScorer:
        """The model that `load_model` loads from `path`, on the GPU if there is one.

        Raises: DataError if the model cannot be loaded; ConfigError if no tokenizer is known, or like `__init__`.
        """
        loaded = load_model(path, "cuda" if torch.cuda.is_available() else "cpu")
        file = tokenizer or loaded.tokenizer_path
        if file is None:
            what = "no tokenizer.json next to the model"
            raise ConfigError(path, what, "set `tokenizer` to an asset or a tokenizer.json")
        return cls(loaded.model, Tokenizer.from_file(str(file)), window, path)

    def sums(self, texts: Sequence[str], top_k: int | None = None) -> Sums:
        """The sums of each text; all 0 for a text of fewer than two tokens."""

        def scores(logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
            return _token_scores(logits, targets, top_k)

        scored, (loss, hits, mass) = self.totals(texts, scores, 3)
        return Sums(scored, loss, hits.astype(np.int64), mass)

    def totals(self, texts: Sequence[str], scores: TokenScores, count: int) -> tuple[Ints, list[Floats]]:
        """Number of scored tokens of each text, and the sums of their `count` scores."""
        windows = [window for window in self._windows(texts) if len(window.ids) > 1]
        sums = np.zeros((count, len(windows)))
        with torch.inference_mode(), one_thread(self._model.device):
            for batch in batches([len(w.ids) for w in windows], _BATCH_TOKENS[self._device], self._device):
                sums[:, batch] = self._score([windows[i].ids for i in batch], scores)
        text = np.array([w.text for w in windows], np.int64)
        scored = np.bincount(text, [len(w.ids) - 1 for w in windows], len(texts)).astype(np.int64)
        return scored, [np.bincount(text, row, len(texts)).astype(np.float64) for row in sums]

    @property
    def _device(self) -> Kind:
        return kind_of(self._model.device)

    def _windows(self, texts: Sequence[str]) -> Iterator[_Window]:
        for first in range(0, len(texts), _ENCODED_TEXTS):
            some = list(texts[first : first + _ENCODED_TEXTS])
            for number, found in enumerate(self._tokenizer.encode_batch_fast(some, add_special_tokens=False), first):
                ids = np.array(found.ids, np.int64)
                for begin in range(0, len(ids), self.window):
                    yield _Window(number, ids[begin : begin + self.window])

    def _score(self, windows: list[npt.NDArray[np.int64]], scores: TokenScores) -> Floats:
        """[scores, windows]"""
        device = self._model.device
        longest = max(map(len, windows))
        padded = np.zeros((len(windows), longest), np.int64)
        for row, ids in enumerate(windows):
            padded[row, : len(ids)] = ids
        hidden = self._model.forward_hidden(torch.from_numpy(padded).to(device))  # padding is on the right: unseen
        rows = torch.cat([hidden[row, : len(ids) - 1] for row, ids in enumerate(windows)])
        targets = torch.from_numpy(np.concatenate([ids[1:] for ids in windows])).to(device)
        step = _HEAD_ROWS[self._device]
        parts = [
            scores(self._model.head(rows[at : at + step]), targets[at : at + step]) for at in range(0, len(rows), step)
        ]
        columns = [torch.cat(column).double().cpu().numpy() for column in zip(*parts, strict=True)]
        ends = np.cumsum([len(ids) - 1 for ids in windows])
        spans = [slice(end - len(ids) + 1, end) for end, ids in zip(ends.tolist(), windows, strict=True)]
        return np.array([[column[s].sum() for s in spans] for column in columns])


def _token_scores(logits: Tensor, targets: Tensor, top_k: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Loss (float64), hit (bool) and probability of the most likely tokens (float64) for each row of logits [R, V]."""
    total = logits.logsumexp(-1)
    wanted = logits.gather(-1, targets[:, None])
    loss = (total - wanted[:, 0]).double()
    if top_k is None:
        return loss, torch.zeros_like(targets, dtype=torch.bool), torch.zeros_like(loss)
    best = logits.topk(min(top_k, logits.shape[-1]), dim=-1).values
    mass = (best - total[:, None]).double().exp().sum(-1)
    return loss, wanted[:, 0] >= best[:, -1], mass


def kind_of(device: torch.device) -> Kind:
    """What the sizes of batches depend on."""
    return "cpu" if device.type == "cpu" else "cuda"


def batches(lengths: Sequence[int], max_tokens: int, device: Kind = "cpu") -> Iterator[list[int]]:
    """Indices into `lengths`, longest first, in batches of `max_tokens` including padding, with hardly any padding on a
    CPU, and up to a quarter on a GPU."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for place in order:
        longest = lengths[batch[0]] if batch else lengths[place]
        full = longest * (len(batch) + 1) > max_tokens
        if batch and (full or lengths[place] < longest * (1 - _MAX_PADDING[device]) - 1):
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


@contextlib.contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """On a CPU, compute in one thread: engines run a worker per core, and sums in several threads differ in the last
    digits."""
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
