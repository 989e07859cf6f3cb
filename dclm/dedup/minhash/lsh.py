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


@njit(cache=True, nogil=True)
def _band_keys(values: np.ndarray, counts: np.ndarray, bands: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys (document after document, band after band) and the index of each key's document in the batch."""
    filled = 0
    for count in counts:
        filled += count > 0
    keys = np.empty(filled * bands, np.uint64)
    places = np.empty(filled * bands, np.int64)
    n = 0
    for i in range(len(counts)):
        if counts[i] == 0:
            continue
        for band in range(bands):
            h = mix(uint64(band + 1))
            for k in range(band * rows, (band + 1) * rows):
                h = mix(h ^ uint64(values[i, k])) + uint64(0x9E3779B97F4A7C15)
            keys[n], places[n] = h, i
            n += 1
    return keys, places


def band_keys(signatures: Signatures, bands: int, rows: int) -> tuple[U64, I64]:
    """One key per band of each document that has shingles, and the document's index in the batch."""
    keys, places = _band_keys(signatures.values, signatures.counts, bands, rows)
    return keys, places


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
        ends = ends[np.argsort(documents[ends])]
        rows = ends[run_starts(documents[ends])]  # all rows of a document have the same values
        linked = documents[rows]
        places = {end: np.searchsorted(linked, columns[end]) for end in ("first", "second")}
    for name in carried:
        values = keys.column(name).to_numpy()[rows]
        for end in ("first", "second"):
            columns[f"{name}_{end}"] = values[places[end]]
    return pa.Table.from_pydict(columns)
