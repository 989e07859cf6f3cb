"""All near pairs of a cluster, including those of dropped documents, to predict the effect of other thresholds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.core.arrow import Column
from dclm.dedup.columns import F64, I64, U64, documents_of, row_of, shard_of
from dclm.dedup.minhash.leaders import (
    CANDIDATES,
    Measure,
    containment_index,
    empty_index,
    jaccard_index,
    mask_for,
    num_probes,
    probes_for,
    slot_of,
)


class Pairs(NamedTuple):
    """Pairs of positions, the earlier first, sorted by the second."""

    first: I64
    second: I64
    similarity: F64


def find_pairs(keys: U64, offsets: I64, values: U64, least: float, measure: Measure) -> Pairs:
    """Pairs of documents of one cluster whose similarity is at least `least`.

    Arguments and bounds are those of `find_leaders`: for each of its smallest shingles, a document is compared with the
    `CANDIDATES` most recent others.
    """
    return Pairs(*_find_pairs(keys, offsets, values, least, probes_for(offsets, least), measure == "containment"))


@njit(cache=True, nogil=True)
def _find_pairs(
    keys: np.ndarray, offsets: np.ndarray, values: np.ndarray, least: float, probes: int, contained: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    count = len(keys)
    met = np.full(count, -1)
    stored = len(values) if contained else probes
    slots, shared, owner, following = empty_index(keys, offsets, stored)
    first, second, near = np.empty(16, np.int64), np.empty(16, np.int64), np.empty(16, np.float64)
    filled, start, used, mask = 0, 0, 0, 0
    for i in range(count):
        if i == 0 or keys[i] != keys[start]:
            start, used = i, 0
            mask = mask_for(num_probes(keys, offsets, i, stored))
            slots[: mask + 1] = -1
        mine = values[offsets[i] : offsets[i + 1]]
        for k in range(min(probes, len(mine))):
            entry, steps = slots[slot_of(slots, shared, mine[k], mask)], 0
            while entry >= 0 and steps < CANDIDATES:
                other = owner[entry]
                if met[other] != i:
                    theirs = values[offsets[other] : offsets[other + 1]]
                    found = containment_index(mine, theirs) if contained else jaccard_index(mine, theirs)
                    if found >= least:
                        if filled == len(first):
                            first, second, near = _more(first), _more(second), _more(near)
                        first[filled], second[filled], near[filled] = other, i, found
                        filled += 1
                met[other] = i
                entry, steps = following[entry], steps + 1
        for k in range(min(stored, len(mine))):
            slot = slot_of(slots, shared, mine[k], mask)
            shared[used], owner[used], following[used] = mine[k], i, slots[slot]
            slots[slot] = used
            used += 1
    return first[:filled], second[:filled], near[:filled]


@njit(cache=True, nogil=True)
def _more(values: np.ndarray) -> np.ndarray:
    grown = np.empty(2 * len(values), values.dtype)
    grown[: len(values)] = values
    return grown


def pair_table(found: Pairs, documents: I64) -> pa.Table:
    """Columns shard, row, other_shard, other_row, similarity: a document and one processed before it."""
    ends = documents[found.second], documents[found.first]
    columns: dict[str, Column] = {}
    for prefix, end in zip(("", "other_"), ends, strict=True):
        columns[f"{prefix}shard"] = pa.array(shard_of(end), pa.int32())
        columns[f"{prefix}row"] = pa.array(row_of(end), pa.int64())
    return pa.table({**columns, "similarity": pa.array(found.similarity)})


def dropped_at(pairs: Iterable[pa.Table], thresholds: list[float]) -> list[int]:
    """Number of distinct documents that each threshold would drop; exact copies are dropped at any threshold.

    pairs: as `pair_table` makes them, in the order of the table `pairs`. Thresholds below the lowest similarity in the
    table count as that similarity. Memory: 24 bytes per pair.
    """
    tables = list(pairs)
    second = np.concatenate([np.zeros(0, np.int64), *(documents_of(table) for table in tables)])
    first = np.concatenate([np.zeros(0, np.int64), *(documents_of(table, "other_") for table in tables)])
    near = np.concatenate([np.zeros(0), *(table.column("similarity").to_numpy() for table in tables)])
    documents, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = places[: len(first)], places[len(first) :]
    return [int(_drop(first, second, near, len(documents), threshold)) for threshold in thresholds]


@njit(cache=True, nogil=True)
def _drop(first: np.ndarray, second: np.ndarray, near: np.ndarray, documents: int, threshold: float) -> int:
    gone = np.zeros(documents, np.bool_)
    for i in range(len(first)):
        if near[i] >= threshold and not gone[first[i]]:
            gone[second[i]] = True
    count = 0
    for one in gone:
        if one:
            count += 1
    return count
