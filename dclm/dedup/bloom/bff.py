"""The rules of BFF (Big Friendly Filter) for one document: which paragraphs are removed, which n-grams are remembered.

Source: dedup/bff/src/main.rs in DCLM's repository, functions process_line, process_line_oldboth, process_line_both and
process_line_exact. For tokens see `dclm.dedup.bloom.tokens`.
"""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from dclm.dedup.bloom.filter import contains, insert
from dclm.dedup.bloom.tokens import count_tokens
from dclm.dedup.hashing import hash_bytes
from dclm.dedup.minhash.shingles import combine
from dclm.text.kernels import lean
from dclm.text.swar import count_byte, find_byte

PARAGRAPH, DOCUMENT, OLD_BOTH, BOTH, EXACT = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True, inline="always")
def _unit_end(data: np.ndarray, start: int, end: int) -> int:
    """The end of the paragraph that begins at `start`: before the next newline."""
    return find_byte(data, start + 1, end, 10)


@lean
def _count_newlines(data: np.ndarray, at: int, end: int) -> int:
    return count_byte(data, at, end, 10)


@lean
def _find_newlines(data: np.ndarray, at: int, end: int, bounds: np.ndarray) -> None:
    number = 1
    at = find_byte(data, at, end, 10)
    while at < end:
        bounds[number] = at
        number += 1
        at = find_byte(data, at + 1, end, 10)


@njit(cache=True, nogil=True)
def cut(data: np.ndarray, start: int, end: int, lines: bool) -> np.ndarray:
    """Bounds of a document's units: the whole text, or its paragraphs, each but the first with the newline before
    it."""
    bounds = np.empty(2 + _count_newlines(data, start, end) if lines else 2, np.int64)
    bounds[0], bounds[-1] = start, end
    if lines:
        _find_newlines(data, start, end, bounds)
    return bounds


@njit(cache=True, nogil=True, inline="always")
def num_ngrams(tokens: int, min_ngram: int, max_ngram: int) -> int:
    """N-grams of a unit: windows of `max_ngram` tokens; a shorter unit of at least `min_ngram` tokens is a single
    one."""
    if tokens >= max_ngram:
        return tokens - max_ngram + 1
    return 1 if tokens >= min_ngram and tokens > 0 else 0


@lean
def count_ngrams(
    data: np.ndarray, offsets: np.ndarray, classes: np.ndarray, mode: int, min_ngram: int, max_ngram: int
) -> int:
    """Number of n-grams in the documents of a batch: the maximum number of insertions."""
    if mode == EXACT:
        return len(offsets) - 1
    total = 0
    for row in range(len(offsets) - 1):
        at, end = int(offsets[row]), int(offsets[row + 1])
        while at < end:
            stop = end if mode in (DOCUMENT, BOTH) else _unit_end(data, at, end)
            total += num_ngrams(count_tokens(data, at, stop, classes), min_ngram, max_ngram)
            at = stop
    return total


@lean
def _num_contained(words: np.ndarray, probes: int, ngrams: np.ndarray, count: int) -> int:
    contained = 0
    for i in range(count):
        contained += contains(words, probes, ngrams[i])
    return contained


@lean
def judge_units(
    bounds: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    ngrams: np.ndarray,
    removed: np.ndarray,
    whole: bool,
    min_ngram: int,
    max_ngram: int,
    threshold: float,
    words: np.ndarray,
    probes: int,
) -> None:
    """Process units in order: a unit is removed if more than `threshold` of its n-grams are known; otherwise its
    n-grams become known.

    With `whole` (old-both), all units are finally removed if the same holds for all n-grams of the document together;
    insertions by its surviving units stay. A unit without n-grams is always kept. ngrams: room for as many as hashes.
    """
    total, total_contained, token = 0, 0, 0
    for unit in range(len(bounds) - 1):
        first = token
        while token < len(starts) and starts[token] < bounds[unit + 1]:
            token += 1
        count = num_ngrams(token - first, min_ngram, max_ngram)
        if count == 0:
            continue
        combine(hashes[first:token], token - first, max_ngram, ngrams)
        contained = _num_contained(words, probes, ngrams, count)
        total += count
        total_contained += contained
        if contained / count > threshold:
            removed[unit] = True
        else:
            for i in range(count):
                insert(words, probes, ngrams[i])
    if whole and total > 0 and total_contained / total > threshold:
        removed[:] = True


@njit(cache=True, nogil=True)
def judge_both(
    bounds: np.ndarray,
    hashes: np.ndarray,
    starts: np.ndarray,
    removed: np.ndarray,
    min_ngram: int,
    max_ngram: int,
    threshold: float,
    words: np.ndarray,
    probes: int,
) -> bool:
    """Remove the document if at least `threshold` of its n-grams are known, otherwise each paragraph for which that
    holds.

    N-grams cross paragraph bounds; those inside a paragraph decide about it. All are looked up before any is inserted,
    and only those that touch no removed paragraph are inserted. Returns False if the document has no n-grams and there
    is nothing to do.
    """
    count = num_ngrams(len(hashes), min_ngram, max_ngram)
    if count == 0:
        return False
    ngrams = np.empty(len(hashes), np.uint64)
    combine(hashes, len(hashes), max_ngram, ngrams)
    units = len(bounds) - 1
    unit_of = np.searchsorted(bounds[1:units], starts, side="right")
    span = min(max_ngram, len(hashes)) - 1
    inside, known = np.zeros(units, np.int64), np.zeros(units, np.int64)
    total_known = 0
    for i in range(count):
        is_known = contains(words, probes, ngrams[i])
        total_known += is_known
        if unit_of[i] == unit_of[i + span] and span == max_ngram - 1:
            inside[unit_of[i]] += 1
            known[unit_of[i]] += is_known
    if total_known / count >= threshold:
        removed[:] = True
        return True
    before = np.zeros(units + 1, np.int64)
    for unit in range(units):
        removed[unit] = inside[unit] > 0 and known[unit] / inside[unit] >= threshold
        before[unit + 1] = before[unit] + removed[unit]
    for i in range(count):
        if before[unit_of[i]] == before[unit_of[i + span] + 1]:
            insert(words, probes, ngrams[i])
    return True


@lean
def judge_exact(data: np.ndarray, start: int, end: int, words: np.ndarray, probes: int) -> bool:
    """Whether the whole text is already known; inserts it if not."""
    key, _ = hash_bytes(data, start, end, uint64(0))
    if contains(words, probes, key):
        return True
    insert(words, probes, key)
    return False
