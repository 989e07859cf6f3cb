"""Spans of tokens as hashes: a few from which every long repeat can be found, and all spans near given positions."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from dclm.dedup.bloom.tokens import count_tokens, tokenize
from dclm.dedup.columns import I64, U64
from dclm.dedup.hashing import mix
from dclm.dedup.minhash.shingles import combine
from dclm.text.buffers import Utf8
from dclm.text.kernels import lean
from dclm.text.unicode import class_table

_OTHER = np.uint64(0xD1B54A32D192ED03)  # distinguishes tokens in the second hash of a window


class Anchors(NamedTuple):
    """Chosen short spans of a column's texts."""

    hashes: U64
    rows: I64
    tokens: I64
    """Index of the span's first token among those of its text."""


class Windows(NamedTuple):
    """Spans of a column's texts, in order, each of the requested length."""

    high: U64
    low: U64
    """Two hashes that are equal if the tokens are; equal by chance with a probability of 2⁻¹²⁸."""
    rows: I64
    starts: I64
    """First byte in the text."""
    ends: I64
    """Byte after the whitespace up to the next token: whitespace belongs to the token before it."""


def anchor_length(length: int) -> int:
    """Number of tokens in the short spans that represent spans of `length`: half of them."""
    return (length + 1) // 2


def choose_anchors(texts: Utf8, length: int) -> Anchors:
    """Short spans, such that any two equal spans of `length` tokens contain equal ones at the same position.

    Texts with fewer tokens have none. About 4 of every `length` short spans are chosen: of each run within a span of
    `length` tokens, the one with the smallest hash (the last of equal ones). Source: winnowing (Schleimer, Wilkerson
    and Aiken 2003), which gives this guarantee.
    """
    return Anchors(*_choose(*texts, class_table(), length, anchor_length(length)))


def windows_near(texts: Utf8, anchors: I64, bounds: I64, length: int) -> Windows:
    """All spans of `length` tokens that contain an anchor: text i has `anchors[bounds[i]:bounds[i + 1]]`, sorted."""
    return Windows(*_windows(*texts, class_table(), anchors, bounds, length, anchor_length(length)))


def all_windows(texts: Utf8, length: int) -> Windows:
    """All spans of `length` tokens."""
    short = anchor_length(length)
    counts = _count_short(*texts, class_table(), short)
    bounds = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=bounds[1:])
    places = np.arange(bounds[-1]) - np.repeat(bounds[:-1], counts)
    return Windows(*_windows(*texts, class_table(), places, bounds, length, short))


@njit(cache=True, nogil=True)
def _count_short(data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, short: int) -> np.ndarray:
    """How many short spans each text has."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    for row in range(len(counts)):
        counts[row] = max(0, count_tokens(data, offsets[row], offsets[row + 1], classes) - short + 1)
    return counts


@njit(cache=True, nogil=True)
def _choose(
    data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, length: int, short: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    texts = len(offsets) - 1
    room = (int(offsets[texts]) - int(offsets[0])) // 2 + 1  # memory that is not written is not allocated
    hashes, rows, places = np.empty(room, np.uint64), np.empty(room, np.int64), np.empty(room, np.int64)
    filled = 0
    run = length - short + 1
    for row in range(texts):
        tokens, _ = tokenize(data, offsets[row], offsets[row + 1], classes)
        if len(tokens) < length:
            continue
        count = combine(tokens, len(tokens), short, tokens)
        if filled + count > len(hashes):
            size = 2 * (filled + count)
            hashes, rows, places = _longer(hashes, size), _longer(rows, size), _longer(places, size)
        least = -1
        for end in range(run, count + 1):
            start = end - run
            chosen = least
            if least < start:
                chosen = start
                for i in range(start + 1, end):
                    chosen = i if tokens[i] <= tokens[chosen] else chosen
            elif tokens[end - 1] <= tokens[least]:
                chosen = end - 1
            if chosen != least:
                hashes[filled], rows[filled], places[filled] = mix(tokens[chosen]), row, chosen
                filled += 1
                least = chosen
    return hashes[:filled].copy(), rows[:filled].copy(), places[:filled].copy()


@njit(cache=True, nogil=True)
def _longer(values: np.ndarray, size: int) -> np.ndarray:
    grown = np.empty(size, values.dtype)
    grown[: len(values)] = values
    return grown


@lean
def _count_near(anchors: np.ndarray, bounds: np.ndarray, reach: int) -> int:
    """Maximum number of spans that contain an anchor; fewer if a text ends sooner."""
    total = 0
    for row in range(len(bounds) - 1):
        done = -1
        for anchor in anchors[bounds[row] : bounds[row + 1]]:
            total += anchor - max(done, anchor - reach - 1)
            done = anchor
    return total


@njit(cache=True, nogil=True)
def _windows(
    data: np.ndarray,
    offsets: np.ndarray,
    classes: np.ndarray,
    anchors: np.ndarray,
    bounds: np.ndarray,
    length: int,
    short: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    reach = length - short  # a span contains an anchor if it begins at most this many tokens before it
    room = _count_near(anchors, bounds, reach)
    high, low, rows = np.empty(room, np.uint64), np.empty(room, np.uint64), np.empty(room, np.int64)
    starts, ends = np.empty(room, np.int64), np.empty(room, np.int64)
    filled = 0
    for row in range(len(offsets) - 1):
        if bounds[row] == bounds[row + 1]:
            continue
        first, end = int(offsets[row]), int(offsets[row + 1])
        tokens, places = tokenize(data, first, end, classes)
        others = np.empty(len(tokens), np.uint64)
        for i in range(len(tokens)):
            others[i] = mix(tokens[i] ^ uint64(_OTHER))
        count = combine(tokens, len(tokens), length, tokens)
        combine(others, len(others), length, others)
        done = -1
        for anchor in anchors[bounds[row] : bounds[row + 1]]:
            for i in range(max(done + 1, anchor - reach), min(anchor + 1, count)):
                high[filled], low[filled], rows[filled] = tokens[i], others[i], row
                starts[filled] = places[i] - first
                ends[filled] = (places[i + length] if i + length < len(places) else end) - first
                filled += 1
            done = anchor
    return high[:filled], low[:filled], rows[:filled], starts[:filled], ends[:filled]
