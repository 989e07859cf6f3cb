"""Verification by signatures: the fraction of equal values estimates the Jaccard index without the shingles.

The standard error is at most 0.5 / √(bands · rows). Signatures are compared as sets of (permutation, value): two with m
of n equal values have a Jaccard index of m / (2n − m), which grows with m, so that whatever compares sets of shingles
compares signatures too.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pyarrow as pa
from numba import njit, uint64

from dclm.core.arrow import LargeLists, large_list_array
from dclm.dedup.columns import F64, U64
from dclm.dedup.hashing import mix
from dclm.dedup.minhash.alphabet import Normalization, alphabet
from dclm.dedup.minhash.shingles import UNITS, Unit
from dclm.dedup.minhash.signatures import Bits, Signatures, permutations, signatures
from dclm.text.buffers import utf8
from dclm.text.kernels import lean


@dataclasses.dataclass(frozen=True, kw_only=True)
class Signing:
    """How texts are signed."""

    unit: Unit
    ngram: int
    normalize: Normalization
    permutations: int
    seed: int
    bits: Bits

    def of(self, texts: pa.StringArray) -> Signatures:
        """The signatures of texts."""
        draw = permutations(self.permutations, self.seed, self.bits)
        return signatures(utf8(texts), alphabet(self.normalize), UNITS[self.unit], self.ngram, draw)

    def lists(self, texts: pa.StringArray) -> LargeLists:
        """The values of each signature, in the order of the permutations; none for a text without shingles."""
        found = self.of(texts)
        return _lists(found.counts > 0, found.values[found.counts > 0].astype(np.uint64))

    def sets(self, texts: pa.StringArray) -> LargeLists:
        """The same values as sorted sets of hashes of permutation and value."""
        found = self.of(texts)
        return _lists(found.counts > 0, _as_sets(found.values[found.counts > 0].astype(np.uint64)))

    def set_threshold(self, share: float) -> float:
        """The Jaccard index of sets that lies between that of enough equal values and that of one fewer."""
        enough = math.ceil(share * self.permutations - 1e-9) - 0.5
        return enough / (2 * self.permutations - enough)

    def shares(self, indexes: F64) -> F64:
        """The fraction of equal values, from the Jaccard index of the sets."""
        equal: F64 = np.rint(self.permutations * 2 * indexes / (1 + indexes)) / self.permutations
        return equal


@lean
def equal_share(a: np.ndarray, b: np.ndarray) -> float:
    """The fraction of equal values of two signatures of one length."""
    equal = 0
    for k in range(len(a)):
        equal += a[k] == b[k]
    return equal / len(a)


def _lists(signed: np.ndarray, values: U64) -> LargeLists:
    length = values.shape[1] if values.ndim == 2 else 0
    offsets = np.zeros(len(signed) + 1, np.int64)
    np.cumsum(signed * length, out=offsets[1:])
    return large_list_array(offsets, pa.array(values.reshape(-1), pa.uint64()))


@njit(cache=True, nogil=True)
def _as_sets(values: np.ndarray) -> np.ndarray:
    sets = np.empty_like(values)
    for i in range(len(values)):
        for k in range(values.shape[1]):
            sets[i, k] = mix(values[i, k] ^ mix(uint64(k + 1)))
        sets[i].sort()
    return sets
