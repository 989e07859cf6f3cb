"""Equal spans and equal pairs get equal small numbers: open addressing in arrays that the caller allocates.

Keys are compared in full (bytes of spans, both halves of pairs), so that a hash collision costs time but never affects
a count.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

EMPTY = -1
"""Content of a free slot."""


@njit(inline="always")
def mix(value: np.uint64) -> np.uint64:
    """A bijection on 64 bits in which every input bit affects every output bit (the finalizer of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@njit(inline="always")
def hash_span(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """64 bits of the bytes (FNV-1a, mixed), the same on every machine."""
    state = np.uint64(0xCBF29CE484222325)
    for at in range(start, end):
        state = (state ^ np.uint64(data[at])) * np.uint64(0x100000001B3)
    return mix(state)


@njit(cache=True, nogil=True)
def num_slots(num_keys: int) -> int:
    """A power of two that leaves at least half of the slots free."""
    size = 8
    while size < 2 * num_keys:
        size *= 2
    return size


@njit(inline="always")
def intern_span(
    data: NDArray[np.uint8], start: int, end: int, slots: NDArray[np.int32], keys: NDArray[np.int64], num: int
) -> int:
    """The number of the span: that of an equal earlier one, or `num`, which the caller then increments.

    slots: its length is a power of two, initially all EMPTY. keys: start and end of each number's first span, 32 bits
    each.
    """
    mask = len(slots) - 1
    slot = int(np.int64(hash_span(data, start, end))) & mask
    while slots[slot] != EMPTY:
        known = int(slots[slot])
        first = int(keys[known]) >> 32
        if (int(keys[known]) & 0xFFFFFFFF) - first == end - start:
            i = 0
            while i < end - start and data[first + i] == data[start + i]:
                i += 1
            if i == end - start:
                return known
        slot = (slot + 1) & mask
    slots[slot] = num
    keys[num] = (start << 32) | end
    return num


@njit(inline="always")
def intern_pair(left: int, right: int, slots: NDArray[np.int32], keys: NDArray[np.int64], num: int) -> int:
    """The number of the pair of numbers, in the same way."""
    mask = len(slots) - 1
    key = (left << 32) | right
    slot = int(np.int64(mix(np.uint64(key)))) & mask
    while slots[slot] != EMPTY:
        if keys[slots[slot]] == key:
            return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = num
    keys[num] = key
    return num
