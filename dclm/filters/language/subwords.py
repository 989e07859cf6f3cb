"""fastText's n-grams of letters: their hashes, and the buckets among them that a model has vectors for."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.swar import count_ones

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
SEED, _PRIME = np.uint32(2166136261), np.uint32(16777619)


@njit(cache=True, nogil=True, inline="always")
def mix(value: np.uint32, byte: int) -> np.uint32:
    """One step of FNV-1a over signed bytes."""
    signed = np.uint32(byte) if byte < 128 else np.uint32(byte) | np.uint32(0xFFFFFF00)
    return np.uint32((value ^ signed) * _PRIME)


@lean
def hash_bytes(data: Bytes, start: int, end: int) -> np.uint32:
    """fastText's hash of a word."""
    value = SEED
    for place in range(start, end):
        value = mix(value, data[place])
    return value


@njit(cache=True, nogil=True, inline="always")
def remainder(value: np.uint32, divisor: np.uint32, inverse: np.uint64) -> np.uint32:
    """`value % divisor`, with `inverse` = 2³² // divisor: a product instead of a division.

    The product's quotient is at most one too small. Without that, `less` wraps around to a larger number.
    """
    rest = np.uint32(value - np.uint32((np.uint64(value) * inverse) >> np.uint64(32)) * divisor)
    less = np.uint32(rest - divisor)
    return min(rest, less)


@njit(cache=True, nogil=True, inline="always")
def is_present(present: NDArray[np.uint64], bucket: np.uint32) -> int:
    return int(np.int64((present[bucket >> np.uint32(6)] >> np.uint64(bucket & np.uint32(63))) & np.uint64(1)))


@njit(cache=True, nogil=True, inline="always")
def rank(present: NDArray[np.uint64], before: Ints, bucket: np.uint32) -> int:
    """How many buckets before `bucket` are present."""
    word = bucket >> np.uint32(6)
    bits = present[word] & ((np.uint64(1) << np.uint64(bucket & np.uint32(63))) - np.uint64(1))
    return int(before[word]) + count_ones(bits)


@lean
def subword_buckets(
    marked: Bytes,
    length: int,
    present: NDArray[np.uint64],
    minn: int,
    maxn: int,
    num_buckets: np.uint32,
    inverse: np.uint64,
    found: Ints,
    count: int,
) -> int:
    """Writes the present buckets of the n-grams of a word of `length` bytes (with its marks) to `found`, from `count`
    on; returns where they end."""
    for first in range(length):
        if (marked[first] & 0xC0) == 0x80:
            continue
        value, place, n = SEED, first, 0
        while place < length and n < maxn:
            value = mix(value, marked[place])
            place += 1
            while place < length and (marked[place] & 0xC0) == 0x80:
                value = mix(value, marked[place])
                place += 1
            n += 1
            if n >= minn and not (n == 1 and (first == 0 or place == length)):
                bucket = remainder(value, num_buckets, inverse)
                found[count] = bucket
                count += is_present(present, bucket)
    return count


@lean
def ascii_buckets(
    marked: Bytes,
    length: int,
    present: NDArray[np.uint64],
    num_buckets: np.uint32,
    inverse: np.uint64,
    found: Ints,
    count: int,
) -> int:
    """`subword_buckets` of an ASCII word for n-grams of 2 to 4 letters; `marked` continues for 2 bytes after it.

    Every candidate is written and only counted if it is present: branches that depend on a hash are mispredicted.
    """
    first, second, third = marked[0], marked[1], marked[2]
    for place in range(length - 1):
        fourth = marked[place + 3]
        two = mix(mix(SEED, first), second)
        bucket = remainder(two, num_buckets, inverse)
        found[count] = bucket
        count += is_present(present, bucket)
        three = mix(two, third)
        bucket = remainder(three, num_buckets, inverse)
        found[count] = bucket
        count += is_present(present, bucket) & int(place < length - 2)
        bucket = remainder(mix(three, fourth), num_buckets, inverse)
        found[count] = bucket
        count += is_present(present, bucket) & int(place < length - 3)
        first, second, third = second, third, fourth
    return count
