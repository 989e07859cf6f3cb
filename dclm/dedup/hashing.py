"""The hash functions of deduplication: they never change, are equal on every machine, and can be called from
kernels."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from dclm.text.kernels import lean
from dclm.text.swar import eight

_C1 = np.uint64(0x87C37B91114253D5)  # MurmurHash3 x64 128, Appleby, public domain
_C2 = np.uint64(0x4CF5AD432745937F)
_F1 = np.uint64(0xFF51AFD7ED558CCD)  # its 64-bit finalizer
_F2 = np.uint64(0xC4CEB9FE1A85EC53)


@njit(cache=True, nogil=True, inline="always")
def mix(h: np.uint64) -> np.uint64:
    """MurmurHash3's 64-bit finalizer: a bijection in which every input bit affects every output bit."""
    h = uint64(h)
    h ^= h >> uint64(33)
    h *= _F1
    h ^= h >> uint64(33)
    h *= _F2
    return h ^ (h >> uint64(33))


@njit(cache=True, nogil=True, inline="always")
def _rotate(x: np.uint64, bits: int) -> np.uint64:
    return (x << uint64(bits)) | (x >> uint64(64 - bits))


@njit(cache=True, nogil=True, inline="always")
def _read(data: np.ndarray, at: int, end: int) -> np.uint64:
    """Up to eight bytes at `at`, little-endian, zeros beyond `end`."""
    return eight(data, at, end) if at < end else uint64(0)


@lean
def hash_bytes(data: np.ndarray, start: int, end: int, seed: np.uint64) -> tuple[np.uint64, np.uint64]:
    """MurmurHash3 x64 128 of `data[start:end]`, both halves started from `seed`."""
    h1 = uint64(seed)
    h2 = uint64(seed)
    whole = start + (end - start) // 16 * 16
    at = int(start)
    while at < whole:
        h1 ^= _rotate(_read(data, at, end) * _C1, 31) * _C2
        h1 = (_rotate(h1, 27) + h2) * uint64(5) + uint64(0x52DCE729)
        h2 ^= _rotate(_read(data, at + 8, end) * _C2, 33) * _C1
        h2 = (_rotate(h2, 31) + h1) * uint64(5) + uint64(0x38495AB5)
        at += 16
    h2 ^= _rotate(_read(data, whole + 8, end) * _C2, 33) * _C1
    h1 ^= _rotate(_read(data, whole, end) * _C1, 31) * _C2
    h1 ^= uint64(end - start)
    h2 ^= uint64(end - start)
    h1 += h2
    h2 += h1
    h1 = mix(h1)
    h2 = mix(h2)
    h1 += h2
    return h1, h2 + h1


@njit(cache=True, nogil=True)
def hash_values(data: np.ndarray, offsets: np.ndarray, seed: np.uint64) -> tuple[np.ndarray, np.ndarray]:
    """`hash_bytes` of every value of a string column (see `dclm.text.buffers`): two uint64 arrays."""
    high = np.empty(len(offsets) - 1, np.uint64)
    low = np.empty(len(offsets) - 1, np.uint64)
    for i in range(len(offsets) - 1):
        high[i], low[i] = hash_bytes(data, offsets[i], offsets[i + 1], seed)
    return high, low
