"""Runs the forest of `dclm.eval.run.tree` through a model and reads the requested predictions.

B rows, T tokens, d width, V vocabulary, N predictions.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dclm.eval.run.interface import NotFinite, OutOfVocabulary, TokenCounts
from dclm.eval.run.pack import Pack, pack
from dclm.eval.run.tree import Branch, Pair, Want, plan
from dclm.model.interface import CACHED, Cache, LanguageModel

HEAD_ROWS = 512
"""Number of predictions turned into logits at once: 512 · 50,432 · 4 bytes = 103 MB."""
CACHE_FACTOR = 4
"""A pass below the roots may hold this many times `batch_tokens` in its cache, and at least SMALLEST_CACHE."""
SMALLEST_CACHE = 8192
EFFICIENT_PART = 8
"""A batch is large enough to be efficient if it has `batch_tokens` divided by this, and SMALLEST_EFFICIENT."""
SMALLEST_EFFICIENT = 256
SHORTEST_FRACTION = 0.8
"""Minimum length of a run in an efficient batch, as a fraction of the longest."""

Found = tuple[Want, float, int]
"""A prediction, the log-probability of its target, and the most likely token."""


@dataclasses.dataclass(frozen=True)
class AnswerScore:
    """The model's score of one answer, token by token."""

    logprobs: NDArray[np.float32]
    """Natural logarithm of each token's probability."""
    predicted: NDArray[np.int32]
    """The most likely token at each position."""
    greedy: bool
    """Whether the answer has the most likely token at every position."""

    @property
    def mean_cross_entropy(self) -> float:
        """Nats per token."""
        return -float(self.logprobs.mean(dtype=np.float64))


def check_vocabulary(items: Iterable[Iterable[Sequence[int]]], vocab_size: int) -> None:
    """Raises: OutOfVocabulary for the first item with a token beyond `vocab_size`."""
    for number, texts in enumerate(items):
        largest = max((max(ids, default=0) for ids in texts), default=0)
        if largest >= vocab_size:
            what = f"the tokenizer gives id {largest}, but the model has {vocab_size} logits"
            error = OutOfVocabulary("vocabulary", what, "pass the tokenizer the model was trained with")
            error.item = number
            raise error


class Scorer:
    """Scores answers with a model; shared parts are forwarded once, and rows of similar length together."""

    def __init__(self, model: LanguageModel, batch_tokens: int, share: bool = True) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self.share = share and model.batching in CACHED
        self.packs = share and model.batching == "packed"
        self.counts = TokenCounts()

    def score(
        self, items: Sequence[Sequence[Pair]], done: Callable[[int], None] = lambda _: None
    ) -> list[list[AnswerScore]]:
        """The scores of every pair of every item. `done` is called with the number of further pairs that have all their
        predictions.

        Raises: OutOfVocabulary; NotFinite.
        """
        check_vocabulary(((ids for pair in pairs for ids in pair) for pairs in items), self.model.vocab_size)
        logprobs = [[np.zeros(len(answer), np.float32) for _, answer in pairs] for pairs in items]
        predicted = [[np.zeros(len(answer), np.int32) for _, answer in pairs] for pairs in items]
        with torch.inference_mode():
            for found in self._read_all(plan(items, self.share)):
                for want, logprob, best in found:
                    logprobs[want.item][want.pair][want.token] = logprob
                    predicted[want.item][want.pair][want.token] = best
                done(sum(want.token == 0 for want, _, _ in found))
        return [
            [
                AnswerScore(lp, best, bool((best == np.asarray(answer, np.int32)).all()))
                for lp, best, (_, answer) in zip(lps, bests, pairs, strict=True)
            ]
            for lps, bests, pairs in zip(logprobs, predicted, items, strict=True)
        ]

    def _read_all(self, forest: list[Branch]) -> Iterator[list[Found]]:
        """The predictions of each batch. A pair's are all in one."""
        packs, forest = pack(forest) if self.packs else ([], forest)
        for span in like_lengths([len(p.tokens) for p in packs], self.batch_tokens, 0):
            yield list(self._read_packs(packs[span]))
        forest = sorted(forest, key=lambda run: len(run.tokens), reverse=True)
        for span in batches([len(run.tokens) for run in forest], self.batch_tokens, self.model):
            yield list(self._walk(forest[span], None, [], 0))

    def _read_packs(self, packs: Sequence[Pack]) -> Iterator[Found]:
        """Read packs, longest first; padding sees only itself."""
        shape = (len(packs), len(packs[0].tokens))
        tokens, positions = np.zeros((2, *shape), np.int64)
        seen = np.tile(np.eye(shape[1], dtype=np.bool_), (len(packs), 1, 1))
        for index, each in enumerate(packs):
            count = len(each.tokens)
            tokens[index, :count], positions[index, :count] = each.tokens, each.positions
            seen[index, :count, :count] = each.seen()
            self.counts.forwarded += count
            self.counts.padding += shape[1] - count
        inputs = (torch.from_numpy(array).to(self.model.device) for array in (tokens, positions, seen))
        hidden = self.model.forward_packed(*inputs)
        yield from self._read(hidden, [(index, want) for index, each in enumerate(packs) for want in each.wants])

    def _walk(self, runs: Sequence[Branch], cache: Cache | None, rows: list[int], filled: int) -> Iterator[Found]:
        """Read `runs` after `filled` slots of `cache` (row `rows[i]` of it is run i's parent), then their children."""
        lengths = torch.tensor([len(run.tokens) for run in runs], device=self.model.device)
        width = int(lengths.max())
        tokens = torch.zeros(len(runs), width, dtype=torch.long)
        for index, run in enumerate(runs):
            tokens[index, : len(run.tokens)] = torch.tensor(run.tokens)
        deeper = any(run.children for run in runs)
        if cache is not None:
            cache = cache.select(torch.tensor(rows, device=self.model.device), filled + width)
        elif deeper:
            cache = self.model.new_cache(len(runs), width)
        self.counts.forwarded += int(lengths.sum())
        self.counts.padding += width * len(runs) - int(lengths.sum())
        hidden = self.model.forward_hidden(tokens.to(self.model.device), cache=cache, lengths=lengths)
        yield from self._read(hidden, [(index, want) for index, run in enumerate(runs) for want in run.wants])
        if deeper:
            assert cache is not None
            children = [(child, index) for index, run in enumerate(runs) for child in run.children]
            children.sort(key=lambda pair: len(pair[0].tokens), reverse=True)
            for span in like_lengths([len(c.tokens) for c, _ in children], self.batch_tokens, filled + width):
                part = children[span]
                yield from self._walk([child for child, _ in part], cache, [row for _, row in part], filled + width)

    def _read(self, hidden: Tensor, wants: list[tuple[int, Want]]) -> Iterator[Found]:
        """Log-probability of the target and most likely token for each requested prediction of `hidden` [B, T, d]."""
        places = list(dict.fromkeys((row, want.position) for row, want in wants))
        number = {place: index for index, place in enumerate(places)}
        by_place: list[list[Want]] = [[] for _ in places]
        for row, want in wants:
            by_place[number[row, want.position]].append(want)
        for start in range(0, len(places), HEAD_ROWS):
            chunk = torch.tensor(places[start : start + HEAD_ROWS], device=hidden.device)
            logits = self.model.head(hidden[chunk[:, 0], chunk[:, 1]])
            total = torch.logsumexp(logits, dim=-1)
            best = logits.argmax(dim=-1).tolist()
            here = [(i, want) for i, wanted in enumerate(by_place[start : start + HEAD_ROWS]) for want in wanted]
            index = torch.tensor([i for i, _ in here], device=hidden.device)
            target = torch.tensor([want.target for _, want in here], device=hidden.device)
            found = (logits[index, target] - total[index]).tolist()
            for (i, want), logprob in zip(here, found, strict=True):
                if not np.isfinite(logprob):
                    raise NotFinite(want.item)
                yield want, logprob, best[i]


def batches(lengths: Sequence[int], batch_tokens: int, model: LanguageModel) -> Iterator[slice]:
    """Cuts runs, longest first, into batches: single runs where the model's scores depend on a row's neighbors."""
    if model.batching == "single":
        return (slice(index, index + 1) for index in range(len(lengths)))
    return like_lengths(lengths, batch_tokens, 0)


def cache_tokens(batch_tokens: int) -> int:
    """Maximum number of tokens in the rows of one cache."""
    return max(CACHE_FACTOR * batch_tokens, SMALLEST_CACHE)


def like_lengths(lengths: Sequence[int], batch_tokens: int, filled: int) -> Iterator[slice]:
    """Cuts runs, longest first, into batches that continue after `filled` slots of cache.

    Padded to the length of its first run, a batch has at most `batch_tokens` (or one run), and a bounded cache. A batch
    that is large enough to be efficient accepts no run much shorter than its first: padding would cost more than a new
    batch.
    """
    efficient = max(batch_tokens // EFFICIENT_PART, SMALLEST_EFFICIENT)
    start = 0
    while start < len(lengths):
        width = lengths[start]
        rows = max(1, min(batch_tokens // width, cache_tokens(batch_tokens) // (filled + width)))
        end = min(start + rows, len(lengths))
        enough = start + math.ceil(efficient / width)
        while end > enough and lengths[end - 1] < SHORTEST_FRACTION * width:
            end -= 1
        yield slice(start, end)
        start = end
