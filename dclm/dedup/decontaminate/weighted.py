"""Overlap of a question with a text, weighted by how rare its n-grams are: common phrases count for little.

    weight of an n-gram   ln((1 + D) / (1 + d)), with D documents in the corpus, d of which have it
    overlap               weight of a question's n-grams found near each other in a text / weight of all of them

"Near each other" is within `REACH` times the question's own length in words. Only texts with at least half of a
question's n-grams are considered.

The rule is our own: overlap weighted by inverse document frequency, as in decontamination tools, with frequencies
counted over the corpus itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.dedup.columns import F64, I64
from dclm.dedup.decontaminate.item_index import ItemIndex, build_index, expand, find_matches
from dclm.dedup.decontaminate.items import Item

REACH = 2
EXCERPT = 400
"""Maximum bytes of a text quoted in the report."""


class Near(NamedTuple):
    """N-grams that the texts of a batch share with questions."""

    documents: I64
    """Number of texts of the batch that contain each n-gram of the index."""
    rows: I64
    items: I64
    bounds: I64
    """N-grams that row `rows[i]` shares with item `items[i]`: those from `bounds[i]` to `bounds[i + 1]`."""
    grams: I64
    starts: I64
    ends: I64


def question_index(items: Sequence[Item], ngram: int) -> ItemIndex:
    """The n-grams of the questions, or of all strings of an item without a question."""
    return build_index([[item.question] if item.question else list(item.texts) for item in items], ngram)


def near_matches(texts: pa.StringArray, index: ItemIndex) -> Near:
    """The texts that have at least half of a question's n-grams, and the positions of these."""
    found = find_matches(texts, index)
    pairs = np.unique(np.stack([found.grams, found.rows]), axis=1)
    documents = np.bincount(pairs[0], minlength=len(index.hashes)).astype(np.int64)
    place, items = expand(found.grams, index)
    rows, grams = found.rows[place], found.grams[place]
    order = np.lexsort((found.starts[place], items, rows))
    place, rows, items, grams = place[order], rows[order], items[order], grams[order]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (rows[1:] != rows[:-1]) | (items[1:] != items[:-1])
    group = np.cumsum(new) - 1
    distinct = np.unique(np.stack([group, grams]), axis=1)[0]
    first = np.flatnonzero(new)
    enough = 2 * np.bincount(distinct, minlength=len(first)) >= index.sizes[items[first]]
    keep = enough[group] if len(group) else np.zeros(0, np.bool_)
    lengths = np.diff(np.append(first, len(rows)))[enough]
    return Near(
        documents=documents,
        rows=rows[first][enough],
        items=items[first][enough],
        bounds=np.append(0, np.cumsum(lengths)),
        grams=grams[keep],
        starts=found.starts[place][keep],
        ends=found.ends[place][keep],
    )


class Overlaps(NamedTuple):
    """The stretch of each text with the highest overlap with each question."""

    overlap: F64
    starts: I64
    ends: I64


def best_overlaps(near: Near, weights: F64, totals: F64, lengths: I64) -> Overlaps:
    """The highest overlap in any stretch of at most `lengths[item]` bytes.

    weights: one per n-gram of the index. totals: sum of the weights of each item's n-grams.
    """
    return Overlaps(*_best(near.items, near.bounds, near.grams, near.starts, near.ends, weights, totals, lengths))


@njit(cache=True, nogil=True)
def _best(
    items: np.ndarray,
    bounds: np.ndarray,
    grams: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
    weights: np.ndarray,
    totals: np.ndarray,
    lengths: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    overlap = np.zeros(len(items), np.float64)
    first, last = np.zeros(len(items), np.int64), np.zeros(len(items), np.int64)
    times = np.zeros(len(weights), np.int64)
    for i in range(len(items)):
        low = bounds[i]
        inside = 0.0
        for high in range(bounds[i], bounds[i + 1]):
            times[grams[high]] += 1
            if times[grams[high]] == 1:
                inside += weights[grams[high]]
            while ends[high] - starts[low] > lengths[items[i]]:
                times[grams[low]] -= 1
                if times[grams[low]] == 0:
                    inside -= weights[grams[low]]
                low += 1
            share = inside / totals[items[i]] if totals[items[i]] > 0 else 0.0
            if share > overlap[i] + 1e-12:
                overlap[i], first[i], last[i] = min(share, 1.0), starts[low], ends[high]
        for k in range(low, bounds[i + 1]):
            times[grams[k]] -= 1
    return overlap, first, last


def weights_of(documents: I64, total: int) -> F64:
    """ln((1 + total) / (1 + documents)) of each n-gram."""
    weights: F64 = np.log((1.0 + total) / (1.0 + documents))
    return weights
