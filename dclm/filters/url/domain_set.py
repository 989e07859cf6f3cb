"""A set of millions of strings in little memory: sorted 64-bit hashes, and the strings to confirm a hit."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit
from numpy.typing import NDArray

from dclm.text.buffers import utf8


@njit(cache=True, nogil=True)
def fnv1a(data: NDArray[np.uint8], offsets: NDArray[np.int32]) -> NDArray[np.uint64]:
    """The 64-bit FNV-1a hash of each value of a string column (see `dclm.text.buffers`)."""
    out = np.empty(len(offsets) - 1, np.uint64)
    for row in range(len(out)):
        value = np.uint64(0xCBF29CE484222325)
        for place in range(offsets[row], offsets[row + 1]):
            value = (value ^ np.uint64(data[place])) * np.uint64(0x100000001B3)
        out[row] = value
    return out


@dataclasses.dataclass(frozen=True)
class DomainSet:
    """Strings that are looked up in batches; needs about 8 bytes per string in addition to its text."""

    hashes: NDArray[np.uint64]
    """Sorted."""
    strings: pa.StringArray
    """In the order of `hashes`."""

    @classmethod
    def build(cls, entries: Sequence[str]) -> DomainSet:
        """The set of these strings."""
        strings = pc.unique(pa.array(entries, pa.string()))
        hashes = fnv1a(*utf8(strings))
        order = np.argsort(hashes, kind="stable")
        return cls(hashes[order], strings.take(order))

    def contains(self, column: pa.StringArray) -> pa.BooleanArray:
        """Which values are in the set."""
        wanted = fnv1a(*utf8(column))
        first = np.searchsorted(self.hashes, wanted, "left")
        last = np.searchsorted(self.hashes, wanted, "right")
        found = np.zeros(len(column), np.bool_)
        for row in np.flatnonzero(last > first):
            value = column[int(row)].as_py()
            found[row] = any(self.strings[place].as_py() == value for place in range(first[row], last[row]))
        return pa.array(found)
