"""The eight English stop words of Gopher, recognized from their bytes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dclm.text.kernels import lean

STOP_WORDS = ("the", "be", "to", "of", "and", "that", "have", "with")
"""Source: Gopher (Rae et al. 2021), A1.1."""

_PACKED = tuple(int.from_bytes(word.encode(), "little") for word in STOP_WORDS)


@lean
def stop_word_bit(data: NDArray[np.uint8], start: int, end: int, fold_case: bool) -> int:
    """1 << index of the word in STOP_WORDS, or 0. No other script has letters whose lower case spells one of them."""
    if end - start > 4:
        return 0
    packed = 0
    for at in range(start, end):
        byte = int(data[at])
        if byte == 0:  # "be" and "be\0" are packed alike
            return 0
        if fold_case and 65 <= byte <= 90:
            byte += 32
        packed |= byte << (8 * (at - start))
    bit = 1
    for word in _PACKED:
        if packed == word:
            return bit
        bit <<= 1
    return 0


@lean
def num_bits(seen: int) -> int:
    """Number of distinct stop words in a union of bits."""
    num = 0
    while seen:
        num += seen & 1
        seen >>= 1
    return num
