"""Places between characters, for kernels: the character before, and word boundaries as Python's `re` has them."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.unicode import ALNUM, decode


@njit(cache=True, nogil=True)
def character_before(data: NDArray[np.uint8], start: int, at: int) -> tuple[int, int]:
    """The code point that ends at byte `at`, and the place where it starts; never looks before `start`."""
    place = at - 1
    while place > start and at - place < 4 and (data[place] & 0xC0) == 0x80:
        place -= 1
    code, following = decode(data, place, at)
    return (code, place) if following == at else (0xFFFD, at - 1)


@njit(cache=True, nogil=True)
def is_word(code: int, classes: NDArray[np.uint16]) -> bool:
    """Whether `\\w` matches the code point."""
    return code == 0x5F or (classes[code] & ALNUM) != 0


@njit(cache=True, nogil=True)
def is_boundary(data: NDArray[np.uint8], start: int, end: int, place: int, classes: NDArray[np.uint16]) -> bool:
    """Whether `\\b` matches at `place` in the text `data[start:end]`."""
    before = place > start and is_word(character_before(data, start, place)[0], classes)
    after = place < end and is_word(decode(data, place, end)[0], classes)
    return before != after
