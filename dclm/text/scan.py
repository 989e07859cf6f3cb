"""Finds the rows of a column that may contain a short string, many bytes at a time.

A regular expression reads a text byte by byte. If matches are rare, most rows can be ruled out by a few adjacent bytes
that every match contains: they are compared in a loop without branches, which compiles to vector instructions. The
result is a superset of the rows that match.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.text.buffers import utf8
from dclm.text.kernels import lean

Bytes = NDArray[np.uint8]
WIDTH = 6
"""Number of neighboring bytes that are compared."""
_LEAST = 3
_FOLDED_FROM_ELSEWHERE = "iks"
"""Letters that characters beyond ASCII are equal to when case is ignored: İ, ı, K (Kelvin) and ſ."""


class Probe(NamedTuple):
    """For each of `WIDTH` neighboring bytes: whether `(byte | fold) - low <= span`, in eight bits."""

    fold: Bytes
    low: Bytes
    span: Bytes


def make_probe(*ranges: tuple[int, int, int]) -> Probe:
    """A probe from (fold, lowest, highest) of each byte; what is not given may be anything."""
    given = [*ranges, *[(0, 0, 255)] * (WIDTH - len(ranges))]
    fold, low, high = (np.array(values, np.uint8) for values in zip(*given, strict=True))
    return Probe(fold, low, high - low)


def literal_probe(word: str, *, ignore_case: bool, dot_matches_any: bool = False) -> Probe | None:
    """The longest part of `word` that every match contains byte by byte; None if it is too short to rule out much.

    With `ignore_case`, `word` is in lower case, and letters that others fold to are left out.
    """
    unsafe = (_FOLDED_FROM_ELSEWHERE if ignore_case else "") + ("." if dot_matches_any else "")
    runs = itertools.groupby(word, lambda character: character.isascii() and character not in unsafe)
    part = max(("".join(run) for safe, run in runs if safe), key=len, default="")[:WIDTH]
    if len(part) < _LEAST:
        return None
    return make_probe(
        *((32, ord(c), ord(c)) if ignore_case and c.isalpha() else (0, ord(c), ord(c)) for c in part),
    )


def matching_rows(text: pa.StringArray, pattern: str, probes: Sequence[Probe] | None) -> pa.BooleanArray:
    """Whether each text matches `pattern`, which is only tried on texts that one of `probes` fits (None: on all)."""
    if probes is None or text.null_count:
        return pc.match_substring_regex(text, pattern)
    maybe = rows_that_may_match(*utf8(text), probes)
    found = np.zeros(len(text), np.bool_)
    if maybe.any():
        tried = pc.match_substring_regex(text.filter(pa.array(maybe)), pattern)
        found[maybe] = tried.to_numpy(zero_copy_only=False)
    return pa.array(found)


def rows_that_may_match(data: Bytes, offsets: NDArray[np.int32], probes: Sequence[Probe]) -> NDArray[np.bool_]:
    """Whether any of `probes` fits anywhere in a row; also True where it would fit across a row's end."""
    found = np.zeros(len(offsets) - 1, np.bool_)
    for probe in probes:
        _probe_rows(data, offsets, *probe, found)
    return found


@lean
def _probe_rows(
    data: Bytes, offsets: NDArray[np.int32], fold: Bytes, low: Bytes, span: Bytes, found: NDArray[np.bool_]
) -> None:
    f0, f1, f2, f3, f4, f5 = fold[0], fold[1], fold[2], fold[3], fold[4], fold[5]
    l0, l1, l2, l3, l4, l5 = low[0], low[1], low[2], low[3], low[4], low[5]
    s0, s1, s2, s3, s4, s5 = span[0], span[1], span[2], span[3], span[4], span[5]
    one, two, three, four, five = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(5)
    vectors_end = np.int64(max(len(data) - 5, 0))
    for row in range(len(offsets) - 1):
        start, end = np.int64(offsets[row]), np.int64(offsets[row + 1])
        hit = False
        stop = end if end < vectors_end else vectors_end
        stop = stop if stop > start else start
        for at in range(np.uint64(start), np.uint64(stop)):  # unsigned: no index wraps
            hit |= (
                (np.uint8(np.uint8(data[at] | f0) - l0) <= s0)
                & (np.uint8(np.uint8(data[at + one] | f1) - l1) <= s1)
                & (np.uint8(np.uint8(data[at + two] | f2) - l2) <= s2)
                & (np.uint8(np.uint8(data[at + three] | f3) - l3) <= s3)
                & (np.uint8(np.uint8(data[at + four] | f4) - l4) <= s4)
                & (np.uint8(np.uint8(data[at + five] | f5) - l5) <= s5)
            )
        if end > vectors_end:  # the last bytes of all are not probed
            hit = True
        found[row] |= hit
