"""Signatures → band keys → candidate links: documents that agree in all rows of one band become candidates."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit, uint64

from dclm.dedup.columns import I64, U64, documents_of, hashes, run_starts
from dclm.dedup.groups.components import Links, rows_of_equal_keys, spanning_links
from dclm.dedup.hashing import mix
from dclm.dedup.minhash.signatures import Signatures
from dclm.text.kernels import lean


@njit(cache=True, nogil=True, inline="always")
def _with(h: np.uint64, value: np.uint64) -> np.uint64:
    """The hash of a sequence with one more value."""
    return mix(h ^ uint64(value)) + uint64(0x9E3779B97F4A7C15)


@lean
def _write_keys(signature: np.ndarray, bands: int, rows: int, keys: np.ndarray) -> None:
    """Write one key per band of a signature."""
    band = 0
    while band + 4 <= bands:  # four at a time: a step of one hash waits for the one before it
        h0, h1 = mix(uint64(band + 1)), mix(uint64(band + 2))
        h2, h3 = mix(uint64(band + 3)), mix(uint64(band + 4))
        for k in range(band * rows, (band + 1) * rows):
            h0, h1 = _with(h0, signature[k]), _with(h1, signature[k + rows])
            h2, h3 = _with(h2, signature[k + 2 * rows]), _with(h3, signature[k + 3 * rows])
        keys[band], keys[band + 1], keys[band + 2], keys[band + 3] = h0, h1, h2, h3
        band += 4
    while band < bands:
        h = mix(uint64(band + 1))
        for k in range(band * rows, (band + 1) * rows):
            h = _with(h, signature[k])
        keys[band] = h
        band += 1


@lean
def _write_all_keys(values: np.ndarray, documents: np.ndarray, rows: int, keys: np.ndarray) -> None:
    for n in range(len(documents)):
        _write_keys(values[documents[n]], keys.shape[1], rows, keys[n])


def band_keys(signatures: Signatures, bands: int, rows: int) -> tuple[U64, I64]:
    """One key per band of each document that has shingles, and the document's index in the batch."""
    documents = np.flatnonzero(signatures.counts)
    keys = np.empty((len(documents), bands), np.uint64)
    _write_all_keys(signatures.values, documents, rows, keys)
    return keys.ravel(), np.repeat(documents, bands)


def candidate_links(keys: pa.Table) -> pa.Table:
    """Links between documents that share a key, only as many as are needed to connect them: columns first, second.

    `whole_first` and `whole_second` are the documents' values of the key column `whole`; other key columns are carried
    in the same way.
    """
    documents = documents_of(keys)
    equal = rows_of_equal_keys(hashes(keys, "key"), documents)
    links = spanning_links(Links(documents[equal.first], documents[equal.second]))
    columns: dict[str, npt.NDArray[np.generic]] = {"first": links.first, "second": links.second}
    carried = [name for name in keys.column_names if name not in ("key", "shard", "row")]
    if carried:
        ends = np.concatenate(equal)
        of_ends = documents[ends]
        order = np.argsort(of_ends)
        firsts = order[run_starts(of_ends[order])]  # all rows of a document have the same values
        rows, linked = ends[firsts], of_ends[firsts]
        places = {end: np.searchsorted(linked, columns[end]) for end in ("first", "second")}
    for name in carried:
        values = keys.column(name).to_numpy()[rows]
        for end in ("first", "second"):
            columns[f"{name}_{end}"] = values[places[end]]
    return pa.Table.from_pydict(columns)
