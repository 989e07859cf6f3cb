"""Greedy generation in batches: rows of similar length together, which leave after they have ended; examples that many
prompts share are read once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

from dclm.eval.run.forward import batches, cache_tokens, check_vocabulary, like_lengths
from dclm.eval.run.interface import NotFinite, Request, TokenCounts
from dclm.eval.run.tree import alike
from dclm.eval.tokenizer import Ids, Tokenizer
from dclm.model.interface import CACHED, Cache, LanguageModel

ROWS = 32
"""A step for this many rows takes little longer than one for a few, even on a CPU; memory allows as many as fit into a
cache (`cache_tokens`)."""
CACHES = 2
"""Number of caches that a batch may fill: scoring holds a cache and a copy of its rows, generation mostly one cache."""
FAMILY = 8
"""Minimum number of prompts that begin alike to have batches of their own; smaller batches cost more than they save."""
STAYING = 0.75
"""Rows that have ended are removed once at most this fraction of the batch continues: removal copies the cache of the
others."""


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
        with torch.inference_mode():
            for beginning, family in self._families(requests):
                prefix = self._read_beginning(beginning) if beginning else None
                for batch in self._batches(family, requests):
                    found = self._batch(batch, [requests[i] for i in batch], prefix, len(beginning))
                    for index, ids in zip(batch, found, strict=True):
                        outputs[index] = self.tokenizer.decode(ids)
                    done(len(batch))
        return outputs

    def _families(self, requests: Sequence[Request]) -> Iterator[tuple[Ids, list[int]]]:
        """Requests, by number, whose prompts begin alike, and that beginning, at most all but the last of a prompt's
        tokens; at last, all others."""
        others = []
        cached = self.model.batching in CACHED
        groups = alike([r.prompt for r in requests]) if cached else [((), list(range(len(requests))))]
        for beginning, numbers in groups:
            if beginning and len(numbers) >= FAMILY:
                yield beginning[: min(len(requests[i].prompt) for i in numbers) - 1], numbers
            else:
                others += numbers
        if others:
            yield (), others

    def _read_beginning(self, beginning: Ids) -> Cache:
        cache = self.model.new_cache(1, len(beginning))
        read_last(self.model, [beginning], self.counts, cache)
        return cache

    def _batches(self, family: Sequence[int], requests: Sequence[Request]) -> Iterator[list[int]]:
        order = sorted(family, key=lambda i: len(requests[i].prompt), reverse=True)
        start = 0
        while start < len(order):
            width = len(requests[order[start]].prompt) + max(requests[i].max_new_tokens for i in order[start:])
            rows = max(1, self.batch_tokens // width, min(ROWS, CACHES * cache_tokens(self.batch_tokens) // width))
            yield order[start : start + rows]
            start += rows

    def _batch(
        self, numbers: Sequence[int], requests: Sequence[Request], prefix: Cache | None, skip: int
    ) -> list[list[int]]:
        """The new tokens of each request; the first `skip` tokens of prompts are in `prefix`."""
        kind = CachedReader if self.model.batching in CACHED else PlainReader
        reading: Reader = kind(self.model, self.batch_tokens, self.counts)
        last = reading.start([r.prompt for r in requests], max(r.max_new_tokens for r in requests), prefix, skip)
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

    def start(self, prompts: Sequence[Ids], longest: int, prefix: Cache | None, skip: int) -> Tensor:
        """Hidden states [B, d] after prompts that are continued by at most `longest` tokens.

        prefix: None, or a cache of one row with the first `skip` tokens of all prompts.
        """

    def advance(self, chosen: Tensor, going: Sequence[int]) -> Tensor:
        """Hidden states [B', d] of the rows `going` after one more token each; `chosen` [B] has those of all rows that
        continued before."""


class CachedReader:
    """Keeps the read tokens in a cache."""

    def __init__(self, model: LanguageModel, batch_tokens: int, counts: TokenCounts) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.counts = counts

    def start(self, prompts: Sequence[Ids], longest: int, prefix: Cache | None, skip: int) -> Tensor:
        """See `Reader`."""
        parts = []
        rest = [prompt[skip:] for prompt in prompts]
        for span in like_lengths([len(ids) for ids in rest], self.batch_tokens, skip):
            count, width = span.stop - span.start, skip + len(rest[span.start])
            if prefix is None:
                cache = self.model.new_cache(count, width)
            else:
                cache = prefix.select(torch.zeros(count, dtype=torch.long, device=self.model.device), width)
            parts.append((read_last(self.model, rest[span], self.counts, cache), cache))
        (_, first), *others = parts
        self.cache = first.joined([cache for _, cache in others], len(prompts[0]) + longest)
        self.rows = torch.arange(len(prompts), device=self.model.device)
        return torch.cat([last for last, _ in parts])

    def advance(self, chosen: Tensor, going: Sequence[int]) -> Tensor:
        """See `Reader`. Rows that have ended stay in the cache for a while, and read some token."""
        if len(going) < len(chosen):
            still = torch.tensor(going, device=self.model.device)
            self.rows, chosen = self.rows[still], chosen[still]
            if len(going) <= STAYING * len(self.cache.lengths):
                self.cache, self.rows = self.cache.select(self.rows), torch.arange(len(going), device=chosen.device)
        tokens = torch.zeros_like(self.cache.lengths)
        tokens[self.rows] = chosen
        self.counts.forwarded += len(going)
        self.counts.padding += len(tokens) - len(going)
        return self.model.forward_hidden(tokens[:, None], cache=self.cache)[self.rows, -1]


class PlainReader:
    """Reads each row from its start for every token: for models whose scores change with a cache of unequal rows."""

    def __init__(self, model: LanguageModel, batch_tokens: int, counts: TokenCounts) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.counts = counts

    def start(self, prompts: Sequence[Ids], longest: int, prefix: Cache | None, skip: int) -> Tensor:
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
