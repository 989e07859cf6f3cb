"""Tests whether a model of `transformers` can share prefixes and batches, on short texts when it is loaded.

Sliding windows, ALiBi and recurrent states count slots of a cache, not tokens of a row. If rows of unequal length share
a cache, such a model may score them differently from the same rows alone. No configuration says so reliably, so the
ways of reading are compared with plain one-row forward passes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from dclm.model.interface import Batching, Cache, LanguageModel

SHORT = 24
"""Number of tokens in the longer row of a model without a window."""
BEYOND = 8
"""Number of tokens in the longer row beyond the end of a window."""
RELATIVE_TOLERANCE = 2e-5
"""Largest difference of log-probabilities in float32, as a fraction of the range of the logits."""
ROUNDINGS = 8
"""In lower precision: this many units of its rounding, as a fraction of that range."""
POSITIONS = 12
"""Number of positions compared in each row; the last ones are always among them."""
LIMITS = ("window", "chunk_size", "original_max_position")
"""Substrings of the names of settings beyond whose value a model reads differently."""
Read = Callable[[LanguageModel, list[Tensor]], list[Tensor]]
"""Hidden states [T, d] of each text."""
TAIL = 4
"""Number of tokens of each row that are read from a cache."""
REFUSALS = (
    AttributeError, IndexError, KeyError, NotImplementedError, RuntimeError, TypeError, ValueError, AssertionError
)  # fmt: skip
"""Exceptions of a model whose code does not expect a cache of unequal rows."""


def find_batching(model: LanguageModel, config: Any, dtype: torch.dtype) -> Batching:
    """The fastest way of reading that gives the same scores as plain one-row forward passes.

    config: the model's `transformers` configuration, in which windows and chunks shorter than `model.seq_len` are
    searched. Errors of the plain pass itself are raised.
    """
    tolerance = max(RELATIVE_TOLERANCE, ROUNDINGS * torch.finfo(dtype).eps if dtype != torch.float32 else 0.0)
    rows = [_texts(model, size) for size in probe_sizes(config, model.seq_len)]
    with torch.inference_mode():
        expected = [[_logprobs(model, model.forward_hidden(row[None])[0]) for row in group] for group in rows]
        for batching, reads in WAYS.items():
            if all(
                _agrees(model, read, group, wanted, tolerance)
                for group, wanted in zip(rows, expected, strict=True)
                for read in reads
            ):
                return batching
    return "single"


def probe_sizes(config: Any, seq_len: int) -> list[int]:
    """Lengths of the longer row: a short one, and one past each window that the model's texts can reach."""
    found = {value for value in _limits(config.to_dict()) if SHORT // 2 < value + 2 * BEYOND < seq_len}
    return sorted({min(SHORT, max(seq_len - BEYOND, 2)), *(value + BEYOND for value in found)})


def _limits(settings: Mapping[str, Any]) -> Iterator[int]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _limits(value)
        elif type(value) is int and value > 0 and any(part in name for part in LIMITS):
            yield value


def _texts(model: LanguageModel, size: int) -> list[Tensor]:
    """Two texts of arbitrary tokens, the second half as long as the first."""
    generator = torch.Generator().manual_seed(size)
    tokens = torch.randint(model.vocab_size, (2, size + BEYOND), generator=generator).to(model.device)
    return [tokens[0, : size + TAIL], tokens[1, : size // 2 + BEYOND]]


def _logprobs(model: LanguageModel, hidden: Tensor) -> Tensor:
    """Logits [P, V], float32, at the chosen positions of one text's hidden states [T, d]."""
    count = len(hidden)
    chosen = sorted({*torch.linspace(0, count - 1, POSITIONS).long().tolist(), *range(max(0, count - 4), count)})
    return model.head(hidden[chosen])


def _agrees(
    model: LanguageModel,
    read: Read,
    rows: Sequence[Tensor],
    expected: Sequence[Tensor],
    tolerance: float,
) -> bool:
    try:
        hidden = read(model, list(rows))
    except torch.OutOfMemoryError:
        raise  # says nothing about the model
    except REFUSALS:
        return False
    return all(_close(_logprobs(model, h), e, tolerance) for h, e in zip(hidden, expected, strict=True))


def _close(found: Tensor, expected: Tensor, tolerance: float) -> bool:
    if found.shape != expected.shape:
        return False
    span = float((expected - expected.mean(dim=-1, keepdim=True)).abs().max())
    error = float((found.log_softmax(dim=-1) - expected.log_softmax(dim=-1)).abs().max())
    return math.isfinite(error) and error <= tolerance * span


def _read_padded(model: LanguageModel, rows: list[Tensor]) -> list[Tensor]:
    """Both texts in one right-padded batch."""
    hidden = model.forward_hidden(_pad(rows), lengths=_lengths(rows))
    return [hidden[index, : len(row)] for index, row in enumerate(rows)]


def _read_shared(model: LanguageModel, rows: list[Tensor]) -> list[Tensor]:
    """The beginnings of both texts in one padded batch, with the second one's shared; then ends of unequal length."""
    heads, tails = [row[:-TAIL] for row in rows], [row[-TAIL:] for row in rows]
    capacity = max(map(len, heads)) + BEYOND
    cache: Cache = model.new_cache(len(rows), capacity)
    first = model.forward_hidden(_pad(heads), cache=cache, lengths=_lengths(heads))
    cache = cache.select(torch.tensor([1, 0, 1], device=model.device), capacity)
    ends = [tails[1], tails[0][:2], tails[1][:3]]
    second = model.forward_hidden(_pad(ends), cache=cache, lengths=_lengths(ends))
    cache = cache.select(torch.tensor([1], device=model.device), capacity)
    third = model.forward_hidden(tails[0][None, 2:], cache=cache)
    longer = torch.cat((first[0, : len(heads[0])], second[1, :2], third[0]))
    return [longer, torch.cat((first[1, : len(heads[1])], second[0]))]


def _read_joined(model: LanguageModel, rows: list[Tensor]) -> list[Tensor]:
    """The beginnings of both texts read separately, their caches joined, and their ends read token by token."""
    heads, tails = [row[:-TAIL] for row in rows], [row[-TAIL:] for row in rows]
    caches: list[Cache] = [model.new_cache(1, len(head)) for head in heads]
    hidden = [
        model.forward_hidden(head[None], cache=cache, lengths=_lengths([head]))[0]
        for head, cache in zip(heads, caches, strict=True)
    ]
    cache = caches[0].joined(caches[1:], max(map(len, heads)) + BEYOND)
    steps = [model.forward_hidden(torch.stack(pair)[:, None], cache=cache) for pair in zip(*tails, strict=True)]
    return [torch.cat((before, *(step[index] for step in steps))) for index, before in enumerate(hidden)]


def _read_packed(model: LanguageModel, rows: list[Tensor]) -> list[Tensor]:
    """Both texts in one row, their ends after the beginnings of both; a second row has them in the other order."""
    tokens, owners = [], []
    for first, second in ((rows[0], rows[1]), (rows[1], rows[0])):
        parts = [first[:-TAIL], second[:-TAIL], first[-TAIL:], second[-TAIL:]]
        tokens.append(torch.cat(parts))
        owners.append(torch.arange(2, device=model.device).repeat(2).repeat_interleave(_lengths(parts)))
    owner = torch.stack(owners)
    seen = (owner[:, :, None] == owner[:, None]).tril()
    hidden = model.forward_packed(torch.stack(tokens), seen.sum(dim=-1) - 1, seen)
    return [row[own == 0] for row, own in zip(hidden, owner, strict=True)]


def _pad(rows: Sequence[Tensor]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def _lengths(rows: Sequence[Tensor]) -> Tensor:
    return torch.tensor([len(row) for row in rows], device=rows[0].device)


WAYS: Mapping[Batching, tuple[Read, ...]] = {
    "packed": (_read_packed, _read_shared, _read_joined),
    "cached": (_read_shared, _read_joined),
    "padded": (_read_padded,),
}
"""Ways of reading, fastest first, and the passes whose scores must equal those of plain passes."""
