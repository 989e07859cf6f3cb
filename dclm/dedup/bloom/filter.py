"""A Bloom filter in blocks of one cache line: a lookup touches 64 bytes, whatever the false-positive rate."""

from __future__ import annotations

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from dclm.dedup.columns import U64
from dclm.dedup.hashing import mix
from dclm.text.kernels import lean

BLOCK_BITS = 512
_WORDS = BLOCK_BITS // 64


class Size(NamedTuple):
    """The shape of a filter."""

    blocks: int
    probes: int
    """Bits set by each key."""

    @property
    def bytes(self) -> int:
        return self.blocks * BLOCK_BITS // 8


def false_positive_rate(load: float, probes: int) -> float:
    """Probability that a key that was never inserted is found, with `load` keys per block on average.

    Keys fall into blocks by chance, so their number in one is Poisson distributed; a key finds all its bits set in a
    block of i others with probability (1 − (1 − 1/512)^(i · probes))^probes. Source: Putze, Sanders, Singler, Cache-,
    Hash- and Space-Efficient Bloom Filters (2007), §3.
    """
    total = 0.0
    for i in range(1, int(load + 12 * math.sqrt(load) + 40)):
        weight = math.exp(i * math.log(load) - load - math.lgamma(i + 1))
        total += weight * (1 - (1 - 1 / BLOCK_BITS) ** (i * probes)) ** probes
    return total


@cache
def _best_load(fp_rate: float) -> tuple[float, int]:
    """The maximum number of keys per block (to 0.01, so that rounding in the math library has no effect) and the probes
    for it."""
    best = (0.0, 1)
    for probes in range(1, 41):
        low, high = 0, 50_000
        while low < high:  # hundredths of a key
            middle = (low + high + 1) // 2
            low, high = (middle, high) if false_positive_rate(middle / 100, probes) <= fp_rate else (low, middle - 1)
        best = max(best, (low / 100, probes))
    return best


def size_for(count: int, fp_rate: float) -> Size:
    """The smallest filter in which `count` keys give at most `fp_rate` false positives."""
    load, probes = _best_load(fp_rate)
    return Size(blocks=max(1, math.ceil(count / load)), probes=probes)


def empty_filter(size: Size) -> U64:
    """The words of an empty filter, with blocks aligned to cache lines."""
    words = size.blocks * _WORDS
    room = np.zeros(words + _WORDS, np.uint64)
    start = (-room.ctypes.data % 64) // 8
    return room[start : start + words]


@njit(cache=True, nogil=True, inline="always")
def _word_and_bit(h: np.uint64) -> tuple[np.uint64, np.uint64]:
    return h >> uint64(61), uint64(1) << ((h >> uint64(55)) & uint64(63))


@lean
def contains(words: np.ndarray, probes: int, key: np.uint64) -> bool:
    """Whether `key` was inserted, or appears to have been."""
    base = (key % uint64(len(words) // _WORDS)) * uint64(_WORDS)
    h = mix(key ^ uint64(0x6A09E667F3BCC909))
    step = mix(h) | uint64(1)
    for _ in range(probes):
        word, bit = _word_and_bit(h)
        if words[base + word] & bit == uint64(0):
            return False
        h = (h ^ step) * uint64(0x9E3779B97F4A7C15)
    return True


@lean
def insert(words: np.ndarray, probes: int, key: np.uint64) -> None:
    """Add `key`."""
    base = (key % uint64(len(words) // _WORDS)) * uint64(_WORDS)
    h = mix(key ^ uint64(0x6A09E667F3BCC909))
    step = mix(h) | uint64(1)
    for _ in range(probes):
        word, bit = _word_and_bit(h)
        words[base + word] |= bit
        h = (h ^ step) * uint64(0x9E3779B97F4A7C15)
