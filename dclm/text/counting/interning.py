"""Equal spans and equal pairs get equal small numbers: open addressing in arrays that the caller allocates.

Keys are compared in full (bytes of spans, both halves of pairs), so that a hash collision costs time but never affects
a count.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.swar import count_ones, eight, same_bytes

EMPTY = -1
"""Content of a free slot."""


_FACTOR = np.uint64(0x9E3779B97F4A7C15)
"""2⁶⁴ divided by the golden ratio: the high bits of a product depend on all bits of the other factor."""


@njit(inline="always")
def mix(value: np.uint64) -> np.uint64:
    """A bijection on 64 bits in which every input bit affects every output bit (the finalizer of splitmix64)."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))


@lean
def num_slots(num_keys: int) -> int:
    """A power of two that leaves at least half of the slots free."""
    size = 8
    while size < 2 * num_keys:
        size *= 2
    return size


@njit(inline="always")
def first_slot(value: np.uint64, slots: NDArray[np.int32]) -> int:
    """Where to look first for a key with this value."""
    return int(np.int64((value * _FACTOR) >> np.uint64(64 - count_ones(np.uint64(len(slots) - 1)))))


@njit(inline="always")
def value_of_span(data: NDArray[np.uint8], start: int, end: int) -> np.uint64:
    """64 bits that depend on all bytes of a span and on its length."""
    value = eight(data, start, end) ^ (np.uint64(end - start) << np.uint64(56))
    at = start + 8
    while at < end:
        value = (value * _FACTOR) ^ (value >> np.uint64(29)) ^ eight(data, at, end)
        at += 8
    return value


@njit(inline="always")
def intern_span(
    data: NDArray[np.uint8], start: int, end: int, slots: NDArray[np.int32], keys: NDArray[np.int64], num: int
) -> int:
    """The number of the span: that of an equal earlier one, or `num`, which the caller then increments.

    slots: its length is a power of two, initially all EMPTY. keys: start and end of each number's first span, 32 bits
    each. A span is not empty.
    """
    mask, length = len(slots) - 1, end - start
    slot = first_slot(value_of_span(data, start, end), slots)
    while slots[slot] != EMPTY:
        known = int(slots[slot])
        first = int(keys[known]) >> 32
        if (int(keys[known]) & 0xFFFFFFFF) - first == length and same_bytes(data, first, start, length):
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
    slot = first_slot(mix(np.uint64(key)), slots)
    while slots[slot] != EMPTY:
        if keys[slots[slot]] == key:
            return int(slots[slot])
        slot = (slot + 1) & mask
    slots[slot] = num
    keys[num] = key
    return num
