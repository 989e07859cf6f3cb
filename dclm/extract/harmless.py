"""Which pages Resiliparse parses in the worker itself: those that cannot take it long, by bounds that cost
microseconds to check."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.swar import count_byte, find_byte

_LARGEST_PAGE = 1 << 19
_LARGEST_COST = 1_000_000_000  # tags × bytes; 4,000 nested <div> around 250,000 characters take 4 s
_LONGEST_TAG = 1 << 16  # Resiliparse is quadratic in the attributes of a tag: a tag of this length takes 0.5 s
_TAG = 60  # "<"


def is_harmless(page: bytes | memoryview) -> bool:
    """Whether Resiliparse takes at most a few seconds for a page in UTF-8."""
    size = len(page)
    if size > _LARGEST_PAGE:
        return False
    data = np.frombuffer(page, np.uint8)
    tags, fewest = _count_tags(data, _LONGEST_TAG // 2)
    return size * tags <= _LARGEST_COST and (fewest > 0 or not _has_gap(data, _LONGEST_TAG))


@lean
def _count_tags(data: NDArray[np.uint8], block: int) -> tuple[int, int]:
    """Number of "<" in the page, and the smallest number in a whole block of this many bytes (1 if it is shorter)."""
    total, fewest, start = 0, 1, 0
    while start < len(data):
        count = count_byte(data, start, min(start + block, len(data)), _TAG)
        total += count
        if start + block <= len(data):
            fewest = min(fewest, count)
        start += block
    return total, fewest


@lean
def _has_gap(data: NDArray[np.uint8], size: int) -> bool:
    """Whether there are more than `size` bytes without a "<"."""
    before = 0
    while before < len(data):
        at = find_byte(data, before, len(data), _TAG)
        if at - before > size:
            return True
        before = at + 1
    return False
