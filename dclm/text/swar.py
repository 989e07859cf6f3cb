"""Bytes in groups of eight: SIMD within a register (SWAR).

Texts are made of short runs, of words and lines. A loop over their bytes spends most of its time on mispredicted exits,
and is over before vector instructions pay. Masks have the highest bit of each byte that a test is true for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from dclm.text.kernels import lean

HIGH = np.uint64(0x8080808080808080)
_LOW = np.uint64(0x7F7F7F7F7F7F7F7F)
ONES = np.uint64(0x0101010101010101)
_CASE = np.uint64(0x2020202020202020)
_ZERO = np.uint64(0)
_FULL = np.uint64(0xFFFFFFFFFFFFFFFF)
Signature = tuple[Any, Any]
_memcpy: Callable[..., object] = cgutils.raw_memcpy
_intrinsic: Callable[[Callable[..., Signature]], Callable[..., Any]] = intrinsic


@_intrinsic
def _load(typing: Any, data: Any, at: Any) -> Signature:
    """Eight bytes of a contiguous array from `data[at]` on as a number, on little-endian machines the first one lowest.
    Not checked."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.gep(array.data, [arguments[1]])
        return builder.load(builder.bitcast(place, ir.IntType(64).as_pointer()), align=1)

    return types.uint64(data, types.int64), generate


@_intrinsic
def _count_ones(typing: Any, word: Any) -> Signature:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@_intrinsic
def _trailing_zeros(typing: Any, word: Any) -> Signature:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], cgutils.true_bit)

    return types.int64(types.uint64), generate


@_intrinsic
def copy_bytes(typing: Any, out: Any, place: Any, data: Any, start: Any, end: Any) -> Signature:
    """Copy `data[start:end]` to `out[place:]`; the two do not overlap. Unlike an assignment, it needs no memory."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        to, place, of, start, end = arguments
        target = context.make_array(signature.args[0])(context, builder, to)
        source = context.make_array(signature.args[2])(context, builder, of)
        places = builder.gep(target.data, [place]), builder.gep(source.data, [start])
        _memcpy(builder, *places, builder.sub(end, start), 1)
        return context.get_dummy_value()

    return types.none(out, types.int64, data, types.int64, types.int64), generate


@njit(inline="always")
def count_ones(word: np.uint64) -> int:
    """Number of bits that are set."""
    return int(_count_ones(word))


@njit(inline="always")
def first_of(mask: np.uint64) -> int:
    """The number of the first byte that is marked in a mask that is not 0."""
    return int(_trailing_zeros(mask)) >> 3


@lean
def _short(data: NDArray[np.uint8], at: int) -> np.uint64:
    word = _ZERO
    for i in range(at, len(data)):
        word |= np.uint64(data[i]) << np.uint64(8 * (i - at))
    return word


@njit(inline="always")
def eight(data: NDArray[np.uint8], at: int, end: int) -> np.uint64:
    """The bytes `data[at:at + 8]`, of which those from `end` on are 0; `at` < `end`."""
    if len(data) < 8:
        word = _short(data, at)
    else:
        place = min(at, len(data) - 8)
        word = _load(data, place) >> np.uint64(8 * (at - place))
    left = end - at
    return word if left >= 8 else word & (_FULL >> np.uint64(64 - 8 * left))


@njit(inline="always")
def equal_to(word: np.uint64, byte: int) -> np.uint64:
    """Mask of the bytes that are `byte`."""
    other = word ^ (np.uint64(byte) * ONES)
    return ~(((other & _LOW) + _LOW) | other) & HIGH


@njit(inline="always")
def in_range(word: np.uint64, low: int, high: int) -> np.uint64:
    """Mask of the bytes from `low` to `high`; 0 < `low` ≤ `high` < 128."""
    low_bits = word & _LOW
    from_low = low_bits + np.uint64(0x80 - low) * ONES
    above_high = low_bits + np.uint64(0x7F - high) * ONES
    return from_low & ~above_high & ~word & HIGH


@njit(inline="always")
def not_ascii(word: np.uint64) -> np.uint64:
    """Mask of the bytes from 128 on."""
    return word & HIGH


@njit(inline="always")
def trails(word: np.uint64) -> np.uint64:
    """Mask of UTF-8's continuation bytes."""
    return word & ~(word << np.uint64(1)) & HIGH


@njit(inline="always")
def letters(word: np.uint64) -> np.uint64:
    """Mask of A … Z and a … z."""
    return in_range(word | _CASE, 97, 122)


@njit(inline="always")
def letters_and_digits(word: np.uint64) -> np.uint64:
    """Mask of A … Z, a … z and 0 … 9."""
    return letters(word) | in_range(word, 48, 57)


@njit(inline="always")
def skip_letters(data: NDArray[np.uint8], at: int, end: int) -> int:
    """After the A … Z and a … z that start at `at`: most of most texts, and always one word."""
    while at < end:
        others = ~letters(eight(data, at, end)) & HIGH
        if others != _ZERO:
            return min(at + first_of(others), end)
        at += 8
    return end


@njit(inline="always")
def skip_letters_and_digits(data: NDArray[np.uint8], at: int, end: int) -> int:
    """After the A … Z, a … z and 0 … 9 that start at `at`."""
    while at < end:
        others = ~letters_and_digits(eight(data, at, end)) & HIGH
        if others != _ZERO:
            return min(at + first_of(others), end)
        at += 8
    return end


@njit(inline="always")
def skip_above(data: NDArray[np.uint8], at: int, end: int, most: int) -> int:
    """After the bytes above `most` < 127 that start at `at`."""
    while at < end:
        word = eight(data, at, end)
        others = ~(in_range(word, most + 1, 127) | word) & HIGH
        if others != _ZERO:
            return min(at + first_of(others), end)
        at += 8
    return end


@njit(inline="always")
def find_byte(data: NDArray[np.uint8], at: int, end: int, byte: int) -> int:
    """The place of the next `byte`, which is not 0; `end` if it does not occur."""
    while at < end:
        found = equal_to(eight(data, at, end), byte)
        if found != _ZERO:
            return at + first_of(found)
        at += 8
    return end


@njit(inline="always")
def count_byte(data: NDArray[np.uint8], at: int, end: int, byte: int) -> int:
    """How often `byte`, which is not 0, occurs."""
    count = 0
    while at < end:
        count += count_ones(equal_to(eight(data, at, end), byte))
        at += 8
    return count


@njit(inline="always")
def same_bytes(data: NDArray[np.uint8], one: int, other: int, length: int) -> bool:
    """Whether the spans of this length that start at `one` and `other` are equal."""
    done = 0
    while done < length:
        if eight(data, one + done, one + length) != eight(data, other + done, other + length):
            return False
        done += 8
    return True
