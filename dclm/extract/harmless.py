"""Which pages Resiliparse parses in the worker itself: those that cannot take it long, by bounds that cost
microseconds to check."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from dclm.text.kernels import lean
from dclm.text.swar import count_byte, find_byte

_LARGEST_PAGE = 1 << 19
_LARGEST_COST = 1_000_000_000  # tags × characters; 4,000 nested <div> around 250,000 characters take 4 s
_LONGEST_TAG = 1 << 16  # Resiliparse is quadratic in the attributes of a tag: a tag of this length takes 0.5 s
_TAG = 60  # "<"


def is_harmless(page: str, data: bytes | memoryview) -> bool:
    """Whether Resiliparse takes at most a few seconds for a page, by its numbers of characters and tags.

    data: the page in UTF-8. It has at least as many bytes, so that a page of few bytes is not counted again.
    """
    if len(page) > _LARGEST_PAGE:
        return False
    array = np.frombuffer(data, np.uint8)
    tags, fewest = _count_tags(array, _LONGEST_TAG // 2)
    if len(page) * tags > _LARGEST_COST:
        return False
    if fewest > 0 or not _has_gap(array, _LONGEST_TAG):
        return True
    return len(page) < len(data) and not _has_long_tag(page)


@lean
def _count_tags(data: NDArray[np.uint8], block: int) -> tuple[int, int]:
    """Number of "<", and the smallest number in a whole block of this many bytes (1 if the page is shorter)."""
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
    """Whether a "<" or the start is followed by `size` bytes without a "<", and then by another byte."""
    before = 0
    while before + size < len(data):
        at = find_byte(data, before, len(data), _TAG)
        if at - before >= size:
            return True
        before = at + 1
    return False


def _has_long_tag(page: str) -> bool:
    """`_has_gap` in characters."""
    at = 0
    while at + _LONGEST_TAG < len(page):
        tag = page.rfind("<", at, at + _LONGEST_TAG)  # the last one in reach, so that two steps pass it
        if tag < 0:
            return True
        at = tag + 1
    return False
