"""Greedy generation in batches: rows of similar length together, each leaving as soon as it has ended."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from dclm.eval.run.forward import batches, cache_tokens, check_vocabulary, like_lengths
from dclm.eval.run.interface import NotFinite, Request, TokenCounts
from dclm.eval.tokenizer import Ids, Tokenizer
from dclm.model.interface import CACHED, Cache, LanguageModel

ROWS = 32
"""A step for this many rows takes little longer than one for a few, even on a CPU; memory allows as many as fit into a
cache (`cache_tokens`)."""


class Generator:
    """Continues prompts with the most likely token until a stop, the end-of-text token, or the requested length."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, batch_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.counts = TokenCounts()

    def generate(self, requests: Sequence[Request], done: Callable[[int], None] = lambda _: None) -> list[str]:
        """The new text of each request, including stops that were reached.

        Raises: OutOfVocabulary; NotFinite.
        """
        check_vocabulary(((request.prompt,) for request in requests), self.model.vocab_size)
        outputs = [""] * len(requests)
        order = sorted(range(len(requests)), key=lambda i: len(requests[i].prompt), reverse=True)
        start = 0
        while start < len(order):
            width = len(requests[order[start]].prompt) + max(requests[i].max_new_tokens for i in order[start:])
            rows = max(1, self.batch_tokens // width, min(ROWS, cache_tokens(self.batch_tokens) // width))
            batch = order[start : start + rows]
            with torch.inference_mode():
                for index, ids in zip(batch, self._batch(batch, [requests[i] for i in batch]), strict=True):
                    outputs[index] = self.tokenizer.decode(ids)
            start += len(batch)
            done(len(batch))
        return outputs

    def _batch(self, numbers: Sequence[int], requests: Sequence[Request]) -> list[list[int]]:
        kind = CachedReader if self.model.batching in CACHED else PlainReader
        reading: Reader = kind(self.model, self.batch_tokens, self.counts)
        last = reading.start([r.prompt for r in requests], max(r.max_new_tokens for r in requests))
        ids: list[list[int]] = [[] for _ in requests]
        active = list(range(len(requests)))
        stops = [re.compile("|".join(r.stop)) if r.stop else None for r in requests]
        while True:
            logits = self.model.head(last)
            chosen: Tensor = logits.argmax(dim=-1)  # for a row with NaN, its position
            finite = torch.isfinite(logits.gather(1, chosen[:, None])[:, 0]).tolist()
            if not all(finite):
                raise NotFinite(numbers[active[finite.index(False)]])
            for row, token in zip(active, chosen.tolist(), strict=True):
                ids[row].append(token)
            going = [i for i, row in enumerate(active) if not self._ended(requests[row], ids[row], stops[row])]
            if not going:
                return ids
            last = reading.advance(chosen, going)
            active = [active[i] for i in going]

    def _ended(self, request: Request, ids: list[int], stop: re.Pattern[str] | None) -> bool:
        if len(ids) >= request.max_new_tokens or ids[-1] == self.tokenizer.end_id:
            return True
        return stop is not None and stop.search(self.tokenizer.decode(ids)) is not None


class Reader(Protocol):
    """Reads prompts, longest first, and then one token at a time."""

    def start(self, prompts: Sequence[Ids], longest: int) -> Tensor:
        """Hidden states [B, d] after prompts that are continued by at most `longest` tokens."""

    def advance(self, chosen: Tensor, going: Sequence[int]) -> Tensor:
        """Hidden states [B', d] of the rows `going` after one more token each; `chosen` [B] has those of all rows."""


class CachedReader:
    """Keeps the read tokens in a cache."""

    def __init__(self, model: LanguageModel, batch_tokens: int, counts: TokenCounts) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.counts = counts

    def start(self, prompts: Sequence[Ids], longest: int) -> Tensor:
        """See `Reader`."""
        parts = []
        for span in like_lengths([len(p) for p in prompts], self.batch_tokens, 0):
            cache = self.model.new_cache(span.stop - span.start, len(prompts[span.start]))
            parts.append((read_last(self.model, prompts[span], self.counts, cache), cache))
        (_, first), *others = parts
        self.cache = first.joined([cache for _, cache in others], len(prompts[0]) + longest)
        return torch.cat([last for last, _ in parts])

    def advance(self, chosen: Tensor, going: Sequence[int]) -> Tensor:
        """See `Reader`."""
        if len(going) < len(chosen):
            rows = torch.tensor(going, device=self.model.device)
            self.cache, chosen = self.cache.select(rows), chosen[rows]
        self.counts.forwarded += len(going)
        return self.model.forward_hidden(chosen[:, None], cache=self.cache)[:, -1]


class PlainReader:
    """Reads each row from its start for every token: for models whose scores change with a cache of unequal rows."""

    def __init__(self, model: LanguageModel, batch_tokens: int, counts: TokenCounts) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.counts = counts

    def start(self, prompts: Sequence[Ids], longest: int) -> Tensor:
        """See `Reader`."""
        self.rows = list(prompts)
        return self._read()

    def advance(self, chosen: Tensor, going: Sequence[int]) -> Tensor:
        """See `Reader`."""
        tokens = chosen.tolist()
        self.rows = [(*self.rows[i], tokens[i]) for i in going]
        return self._read()

    def _read(self) -> Tensor:
        lengths = [len(row) for row in self.rows]  # longest first: rows grow alike
        spans = batches(lengths, self.batch_tokens, self.model)
        return torch.cat([read_last(self.model, self.rows[span], self.counts, None) for span in spans])


def read_last(model: LanguageModel, rows: Sequence[Ids], counts: TokenCounts, cache: Cache | None) -> Tensor:
    """Hidden states [B, d] after the last token of each of `rows`, longest first, in one right-padded batch."""
    lengths = torch.tensor([len(row) for row in rows], device=model.device)
    width = len(rows[0])
    tokens = torch.zeros(len(rows), width, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, : len(row)] = torch.tensor(row)
    hidden = model.forward_hidden(tokens.to(model.device), cache=cache, lengths=lengths)
    counts.forwarded += int(lengths.sum())
    counts.padding += width * len(rows) - int(lengths.sum())
    return hidden[torch.arange(len(rows), device=model.device), lengths - 1]
