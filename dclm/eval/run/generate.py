"""Greedy generation in batches: rows of like length together, each of them leaving as soon as it has ended."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from dclm.eval.run.forward import NotFinite, TokenCounts, cache_tokens, check_vocabulary, like_lengths
from dclm.eval.tokenizer import Ids, Tokenizer
from dclm.model.interface import Cache, LanguageModel

ROWS = 32
"""A step for so many rows takes little longer than one for a few, on a CPU too; there is memory for as many as fit
into a cache (`cache_tokens`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Request:
    """One prompt to go on from."""

    prompt: Ids
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    """Regular expressions: a row ends where one of them matches its text."""
    text: str = ""
    """The prompt as text, for a backend that tokenizes by itself; `Generator` does not read it."""


class Generator:
    """Continues prompts with the likeliest token until a stop, the end-of-text token, or the length asked for."""

    def __init__(self, model: LanguageModel, tokenizer: Tokenizer, batch_tokens: int) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.counts = TokenCounts()

    def generate(self, requests: Sequence[Request], done: Callable[[int], None] = lambda _: None) -> list[str]:
        """The new text of each request, stops included where they were reached.

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

    def _read(self, prompts: Sequence[Ids], longest: int) -> tuple[Tensor, Cache]:
        """Hidden states [B, d] after prompts, longest first, and a cache with room for `longest` more tokens."""
        parts = [
            self._read_part(prompts[span]) for span in like_lengths([len(p) for p in prompts], self.batch_tokens, 0)
        ]
        (_, first), *others = parts
        cache = first.joined([cache for _, cache in others], len(prompts[0]) + longest)
        return torch.cat([last for last, _ in parts]), cache

    def _read_part(self, prompts: Sequence[Ids]) -> tuple[Tensor, Cache]:
        device = self.model.device
        lengths = torch.tensor([len(prompt) for prompt in prompts], device=device)
        width = len(prompts[0])
        tokens = torch.zeros(len(prompts), width, dtype=torch.long)
        for index, prompt in enumerate(prompts):
            tokens[index, : len(prompt)] = torch.tensor(prompt)
        cache = self.model.new_cache(len(prompts), width)
        hidden = self.model.forward_hidden(tokens.to(device), cache=cache, lengths=lengths)
        self.counts.forwarded += int(lengths.sum())
        self.counts.padding += width * len(prompts) - int(lengths.sum())
        return hidden[torch.arange(len(prompts), device=device), lengths - 1], cache

    def _batch(self, numbers: Sequence[int], requests: Sequence[Request]) -> list[list[int]]:
        last, cache = self._read([r.prompt for r in requests], max(r.max_new_tokens for r in requests))
        ids: list[list[int]] = [[] for _ in requests]
        active = list(range(len(requests)))
        stops = [re.compile("|".join(r.stop)) if r.stop else None for r in requests]
        while True:
            logits = self.model.head(last)
            chosen: Tensor = logits.argmax(dim=-1)  # of a row with NaN the place of that
            finite = torch.isfinite(logits.gather(1, chosen[:, None])[:, 0]).tolist()
            if not all(finite):
                raise NotFinite(numbers[active[finite.index(False)]])
            for row, token in zip(active, chosen.tolist(), strict=True):
                ids[row].append(token)
            going = [i for i, row in enumerate(active) if not self._ended(requests[row], ids[row], stops[row])]
            if not going:
                return ids
            if len(going) < len(active):
                rows = torch.tensor(going, device=self.model.device)
                cache, chosen = cache.select(rows), chosen[rows]
                active = [active[i] for i in going]
            last = self.model.forward_hidden(chosen[:, None], cache=cache)[:, -1]
            self.counts.forwarded += len(active)

    def _ended(self, request: Request, ids: list[int], stop: re.Pattern[str] | None) -> bool:
        if len(ids) >= request.max_new_tokens or ids[-1] == self.tokenizer.end_id:
            return True
        return stop is not None and stop.search(self.tokenizer.decode(ids)) is not None
