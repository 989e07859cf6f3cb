"""A partition's keys from all shards as tables of bounded size: an external merge by ranges of the key."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Keys = npt.NDArray[np.uint64]

PIECE_BYTES = 64 << 20
"""Of keys in memory at once; part of the bytes of reduced tables, so it is no setting."""
_SAMPLES = 256  # a piece


def pieces(parts: Sequence[pa.Table], piece_bytes: int | None = None) -> Iterator[pa.Table]:
    """The rows of all `parts` in order of (key, part), in tables of about `PIECE_BYTES`; at least one, if empty.

    Each part is sorted by its uint64 column `key`, whose order within the part stays. All rows of one key are in the
    same piece, which is larger than wanted where they are. Parts may be memory-mapped: a piece's rows are all it reads.
    """
    keys = [part.column("key").to_numpy() for part in parts]
    bounds = _bounds(keys, math.ceil(sum(part.nbytes for part in parts) / (piece_bytes or PIECE_BYTES)))
    edges = [[0, *np.searchsorted(key, bounds).tolist(), len(key)] for key in keys]
    for i in range(len(bounds) + 1):
        piece = pa.concat_tables([p.slice(e[i], e[i + 1] - e[i]) for p, e in zip(parts, edges, strict=True)])
        yield piece.take(pa.array(np.argsort(piece.column("key").to_numpy(), kind="stable")))


def _bounds(keys: Sequence[Keys], count: int) -> Keys:
    """Keys that cut all of them into about `count` runs of even length, found from every n-th key."""
    if count <= 1:
        return np.zeros(0, np.uint64)
    every = max(1, sum(map(len, keys)) // (count * _SAMPLES))
    samples = []
    skip = 0
    for key in keys:
        samples.append(key[skip::every])
        skip = (skip - len(key)) % every
    sample = np.sort(np.concatenate(samples))
    return np.unique(sample[np.arange(1, count) * len(sample) // count])
