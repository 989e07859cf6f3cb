"""The order in which an open_lm run reads a WebDataset folder, so that the run can be repeated.

Source: open_lm's `file_utils.py` (`_single_epoch_string`: the shards of each checkpoint) and `data.py` (shards are
shuffled, dealt to ranks and then to loader workers; each worker shuffles its sequences through a buffer and makes whole
batches; a rank takes its workers' batches in turn), with webdataset's shuffle. It depends on the number of ranks and
workers of that run, but not on those of this one.
"""

from __future__ import annotations

import dataclasses
import itertools
import random
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from dclm.core.config import Count, Positive
from dclm.core.errors import DataError

T = TypeVar("T")
SHARD_BUFFER, SHARD_INITIAL = 2000, 500
SEQUENCE_BUFFER, SEQUENCE_INITIAL = 20_000, 500


@dataclasses.dataclass(frozen=True, kw_only=True)
class OpenLmOrder:
    """The settings of an open_lm run that determine its order. Each names open_lm's argument."""

    ranks: Positive
    """`--world-size`: number of GPUs."""
    workers: Positive = 1
    """`--workers`: loader workers of each GPU."""
    checkpoints: Positive = 5
    """`--epochs`: number of parts in which the run reads its tokens, each from separate shards."""
    seed: Count = 0
    """`--seed`."""
    buffer: bool = True
    """Whether shards and sequences are shuffled; false: `--disable-buffer`."""

    def indices(self, shards: Sequence[int], sequences: int, batch: int, steps: int) -> npt.NDArray[np.int64]:
        """The rows that the updates read, in order: int64 [steps × batch]. shards: number of rows of each file, in the
        order of the manifest. sequences: number of sequences to read in each part. batch: number of rows of an update,
        over all ranks. Raises: DataError if open_lm would run out of shards, or a batch cannot be divided among the
        ranks.
        """
        if batch % self.ranks:
            what = f"found batches of {batch} sequences and {self.ranks} ranks"
            raise DataError("order of open_lm", what, "a batch must be a multiple of the ranks")
        starts = np.concatenate([[0], np.cumsum(shards)])
        found: list[npt.NDArray[np.int64]] = []
        first = done = part = 0
        while done < steps:
            chosen = self._shards(shards, first, sequences)
            first += len(chosen)
            for update in self._updates(chosen, shards, starts, batch, part):
                found.append(update)
                done += 1
                if done == steps:
                    break
            part += 1
        return np.concatenate(found)

    def _shards(self, shards: Sequence[int], first: int, sequences: int) -> range:
        """The shards of a part: as many as it needs, rounded down to a multiple of the number of workers."""
        all_workers = self.ranks * self.workers
        end = first
        while end - first < all_workers or sum(shards[first:end]) < sequences:
            if end == len(shards):
                what = f"the run reads more than the {len(shards)} shards there are"
                raise DataError("order of open_lm", what, "use fewer workers or ranks, or more tokens")
            end += 1
        return range(first, first + (end - first) // all_workers * all_workers)

    def _updates(
        self, chosen: range, shards: Sequence[int], starts: npt.NDArray[np.int64], batch: int, part: int
    ) -> Iterator[npt.NDArray[np.int64]]:
        total = sum(shards[index] for index in chosen)
        each = total // batch // self.workers  # batches per worker
        loaders = [
            [
                self._batches(chosen, shards, starts, batch // self.ranks, part, rank, worker)
                for worker in range(self.workers)
            ]
            for rank in range(self.ranks)
        ]
        for step in range(each * self.workers):
            yield np.concatenate([next(workers[step % self.workers]) for workers in loaders])

    def _batches(
        self,
        chosen: range,
        shards: Sequence[int],
        starts: npt.NDArray[np.int64],
        size: int,
        part: int,
        rank: int,
        worker: int,
    ) -> Iterator[npt.NDArray[np.int64]]:
        """A worker's batches, without end: when its sequences are used up, it reads them again."""
        picks = random.Random(self.seed + part)
        while True:
            order = self._shuffled(chosen, SHARD_BUFFER, SHARD_INITIAL, random.Random(self.seed + part))
            mine = itertools.islice(itertools.islice(order, rank, None, self.ranks), worker, None, self.workers)
            rows = (row for index in mine for row in range(starts[index], starts[index] + shards[index]))
            shuffled = self._shuffled(rows, SEQUENCE_BUFFER, SEQUENCE_INITIAL, picks)
            none = True
            while len(rows_of := list(itertools.islice(shuffled, size))) == size:
                none = False
                yield np.array(rows_of, dtype=np.int64)
            if none:
                what = f"rank {rank}, worker {worker} has fewer than {size} sequences"
                raise DataError("order of open_lm", what, "use fewer workers or ranks")

    def _shuffled(self, items: Iterable[T], size: int, initial: int, picks: random.Random) -> Iterator[T]:
        """webdataset's shuffle: a buffer that grows by two items for each that leaves it at random."""
        source = iter(items)
        if not self.buffer:
            yield from source
            return
        held: list[T] = []
        for item in source:
            held.append(item)
            if len(held) < size:
                held += itertools.islice(source, 1)
            if len(held) >= initial:
                yield _pick(held, picks)
        while held:
            yield _pick(held, picks)


def _pick(held: list[T], picks: random.Random) -> T:
    place = picks.randint(0, len(held) - 1)
    held[place], held[-1] = held[-1], held[place]
    return held.pop()
