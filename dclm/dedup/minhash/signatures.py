"""MinHash signatures: for every permutation the smallest permuted shingle hash of a document."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from numba import njit, uint32, uint64

from dclm.dedup.columns import U32, U64
from dclm.dedup.hashing import mix
from dclm.dedup.minhash.shingles import room_for, shingles
from dclm.text.buffers import Utf8
from dclm.text.kernels import lean

Bits = Literal[32, 64]
_CHUNK = 2048  # hashes that stay in the first-level cache while all permutations process them


class Permutations(NamedTuple):
    """h → multiplier · h + addend (mod 2^bits), one pair per permutation; multipliers are odd."""

    multiplier: U32 | U64
    addend: U32 | U64


def permutations(count: int, seed: int, bits: Bits) -> Permutations:
    """The permutations that datasketch ≥ 2 draws for the same `num_perm`, `seed` and scheme affine32 or affine64."""
    draw = np.random.RandomState(seed)
    if bits == 32:
        odd = draw.randint(0, 1 << 31, count, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
        return Permutations(odd, draw.randint(0, 1 << 32, count, dtype=np.uint32))
    odd64 = draw.randint(0, 1 << 63, count, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
    return Permutations(odd64, draw.randint(0, 1 << 64, count, dtype=np.uint64))


@njit(cache=True, nogil=True, inline="always")
def _mix32(h: np.uint32) -> np.uint32:
    """MurmurHash3's 32-bit finalizer."""
    h = uint32(h ^ (h >> uint32(16)))
    h = uint32(h * uint32(0x85EBCA6B))
    h = uint32(h ^ (h >> uint32(13)))
    h = uint32(h * uint32(0xC2B2AE35))
    return uint32(h ^ (h >> uint32(16)))


@lean
def _update32(out: np.ndarray, hashes: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    for k in range(0, len(a) - 3, 4):  # four at a time: each hash is loaded once for all of them
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        m0, m1, m2, m3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for i in range(len(hashes)):
            h = hashes[i]
            m0 = min(m0, uint32(a0 * h + b0))
            m1 = min(m1, uint32(a1 * h + b1))
            m2 = min(m2, uint32(a2 * h + b2))
            m3 = min(m3, uint32(a3 * h + b3))
        out[k], out[k + 1], out[k + 2], out[k + 3] = m0, m1, m2, m3
    for k in range(len(a) // 4 * 4, len(a)):
        for i in range(len(hashes)):
            out[k] = min(out[k], uint32(a[k] * hashes[i] + b[k]))


@lean
def _update64(out: np.ndarray, hashes: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
    for k in range(0, len(a) - 3, 4):
        a0, a1, a2, a3 = a[k], a[k + 1], a[k + 2], a[k + 3]
        b0, b1, b2, b3 = b[k], b[k + 1], b[k + 2], b[k + 3]
        m0, m1, m2, m3 = out[k], out[k + 1], out[k + 2], out[k + 3]
        for i in range(len(hashes)):
            h = hashes[i]
            m0 = min(m0, a0 * h + b0)
            m1 = min(m1, a1 * h + b1)
            m2 = min(m2, a2 * h + b2)
            m3 = min(m3, a3 * h + b3)
        out[k], out[k + 1], out[k + 2], out[k + 3] = m0, m1, m2, m3
    for k in range(len(a) // 4 * 4, len(a)):
        for i in range(len(hashes)):
            out[k] = min(out[k], a[k] * hashes[i] + b[k])


@njit(cache=True, nogil=True)
def _signatures32(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    unit: int,
    ngram: int,
    a: np.ndarray,
    b: np.ndarray,
    counts: np.ndarray,
    whole: np.ndarray,
) -> np.ndarray:
    out = np.full((len(offsets) - 1, len(a)), uint32(0xFFFFFFFF), np.uint32)
    hashes = np.empty(room_for(offsets), np.uint64)
    chunk = np.empty(_CHUNK, np.uint32)
    for i in range(len(offsets) - 1):
        counts[i] = shingles(data, offsets[i], offsets[i + 1], table, unit, ngram, hashes)
        whole[i] = _digest(hashes, counts[i])
        for start in range(0, counts[i], _CHUNK):
            size = min(_CHUNK, counts[i] - start)
            for k in range(size):
                chunk[k] = _mix32(uint32(hashes[start + k]))
            _update32(out[i], chunk[:size], a, b)
    return out


@njit(cache=True, nogil=True)
def _signatures64(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    unit: int,
    ngram: int,
    a: np.ndarray,
    b: np.ndarray,
    counts: np.ndarray,
    whole: np.ndarray,
) -> np.ndarray:
    out = np.full((len(offsets) - 1, len(a)), uint64(0xFFFFFFFFFFFFFFFF), np.uint64)
    hashes = np.empty(room_for(offsets), np.uint64)
    for i in range(len(offsets) - 1):
        counts[i] = shingles(data, offsets[i], offsets[i + 1], table, unit, ngram, hashes)
        whole[i] = _digest(hashes, counts[i])
        for k in range(counts[i]):
            hashes[k] = mix(hashes[k])
        for start in range(0, counts[i], _CHUNK):
            _update64(out[i], hashes[start : min(start + _CHUNK, counts[i])], a, b)
    return out


@njit(cache=True, nogil=True, inline="always")
def _digest(hashes: np.ndarray, count: int) -> np.uint64:
    h = uint64(count)
    for i in range(count):
        h = (h ^ hashes[i]) * uint64(0x9E3779B97F4A7C15)
        h ^= h >> uint64(29)
    return mix(h)


class Signatures(NamedTuple):
    """Signatures of a batch of documents."""

    values: U32 | U64
    """Shape (documents, permutations); all ones if a document has no shingle."""
    counts: np.ndarray
    """Shingles of each document, with repeats."""
    whole: U64
    """Hash of the sequence of all shingles: equal if normalized texts are equal."""


def signatures(texts: Utf8, table: U32, unit: int, ngram: int, draw: Permutations) -> Signatures:
    """Signatures of the texts of one batch. unit: see `shingles.UNITS`."""
    counts = np.zeros(len(texts.offsets) - 1, np.int64)
    whole = np.zeros(len(texts.offsets) - 1, np.uint64)
    kernel = _signatures32 if draw.multiplier.dtype == np.uint32 else _signatures64
    values = kernel(*texts, table, unit, ngram, *draw, counts, whole)
    return Signatures(values, counts, whole)
