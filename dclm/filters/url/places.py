"""Word boundaries as defined by Python's `re`, for kernels."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.unicode import ALNUM, character_before, decode


@lean
def is_word(code: int, classes: NDArray[np.uint16]) -> bool:
    """Whether `\\w` matches the code point."""
    return code == 0x5F or (classes[code] & ALNUM) != 0


@lean
def is_boundary(data: NDArray[np.uint8], start: int, end: int, place: int, classes: NDArray[np.uint16]) -> bool:
    """Whether `\\b` matches at `place` in the text `data[start:end]`."""
    before = place > start and is_word(character_before(data, start, place)[0], classes)
    after = place < end and is_word(decode(data, place, end)[0], classes)
    return before != after
