"""fastText's prediction of one label per text, in a kernel: the same float operations in the same order.

Source: Joulin et al. 2016 (arXiv 1607.01759) and fastText's file format 12. A word's vectors are its own, if it is in
the vocabulary, and those of its character n-grams, with `<` and `>` around the word, hashed into buckets; a pruned
model has few buckets.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Floats = NDArray[np.float32]
_LESS, _GREATER = 60, 62
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END_OF_LINE = np.frombuffer(b"</s>", np.uint8)
_SEED, _PRIME = np.uint32(2166136261), np.uint32(16777619)


class LidArrays(NamedTuple):
    """A model as arrays; V words in the vocabulary, L labels, D dimensions."""

    word_bytes: Bytes
    word_ends: NDArray[np.int64]
    """Word w is `word_bytes[word_ends[w]:word_ends[w + 1]]`."""
    slots: Ints
    """Open-addressing table over the words' hashes: word numbers or -1."""
    word_rows: Ints
    word_first: NDArray[np.int64]
    """The rows of word w are `word_rows[word_first[w]:word_first[w + 1]]`."""
    buckets: Ints
    """Bucket → row minus V, or -1 for most; `present` is checked first because it fits into the cache."""
    present: NDArray[np.uint64]
    """Bit b of word w: whether bucket 64 w + b has a row."""
    rows: Floats
    """[rows, D]: first the words', then the buckets'."""
    output: Floats
    """[L, D]: one row for each inner node of the tree."""
    left: Ints
    right: Ints
    minn: int
    maxn: int
    num_buckets: np.uint32
    end_of_line: int
    """The word `</s>`, which ends every text, or -1."""


@njit(cache=True, nogil=True, inline="always")
def _mix(value: np.uint32, byte: int) -> np.uint32:
    """One step of FNV-1a over signed bytes."""
    signed = np.uint32(byte) if byte < 128 else np.uint32(byte) | np.uint32(0xFFFFFF00)
    return np.uint32((value ^ signed) * _PRIME)


@njit(cache=True, nogil=True)
def hash_bytes(data: Bytes, start: int, end: int) -> np.uint32:
    """fastText's hash of a word."""
    value = _SEED
    for place in range(start, end):
        value = _mix(value, data[place])
    return value


@njit(cache=True, nogil=True)
def subword_rows(
    data: Bytes,
    start: int,
    end: int,
    buckets: Ints,
    present: NDArray[np.uint64],
    minn: int,
    maxn: int,
    num_buckets: np.uint32,
    found: Ints,
) -> int:
    """Writes the buckets' rows of the n-grams of `data[start:end]` (with its marks) to `found`; returns their
    number."""
    count = 0
    for first in range(start, end):
        if (data[first] & 0xC0) == 0x80:
            continue
        value, place, n = _SEED, first, 0
        while place < end and n < maxn:
            value = _mix(value, data[place])
            place += 1
            while place < end and (data[place] & 0xC0) == 0x80:
                value = _mix(value, data[place])
                place += 1
            n += 1
            if n >= minn and not (n == 1 and (first == start or place == end)):
                bucket = value % num_buckets
                if (present[bucket >> np.uint32(6)] >> np.uint64(bucket & np.uint32(63))) & np.uint64(1):
                    found[count] = buckets[bucket]
                    count += 1
    return count


@njit(cache=True, nogil=True)
def _is_separator(byte: int) -> bool:
    return byte == 32 or 9 <= byte <= 13 or byte == 0


@njit(cache=True, nogil=True)
def _starts_with(data: Bytes, start: int, end: int, prefix: Bytes) -> bool:
    if end - start < len(prefix):
        return False
    same = True
    for place in range(len(prefix)):
        same &= data[start + place] == prefix[place]
    return same


@njit(cache=True, nogil=True)
def _find_word(data: Bytes, start: int, end: int, model: LidArrays) -> int:
    """The number of the word `data[start:end]` in the vocabulary, or -1."""
    mask = len(model.slots) - 1
    slot = np.int64(hash_bytes(data, start, end)) & mask
    while model.slots[slot] >= 0:
        word = model.slots[slot]
        first, last = model.word_ends[word], model.word_ends[word + 1]
        if last - first == end - start and _starts_with(data, start, end, model.word_bytes[first:last]):
            return int(word)
        slot = (slot + 1) & mask
    return -1


@njit(cache=True, nogil=True)
def _add_rows(hidden: Floats, rows: Floats, wanted: Ints, first: int, last: int, shift: int) -> None:
    flat, dim = rows.reshape(-1), np.uint64(len(hidden))
    for at in range(first, last):
        row = np.uint64(wanted[at] + shift) * dim  # unsigned, so that the inner loop is vectorized
        for d in range(dim):
            hidden[d] += flat[row + d]


@njit(cache=True, nogil=True)
def _sum_text(data: Bytes, start: int, end: int, model: LidArrays, hidden: Floats) -> int:
    """Adds the vectors of all words of a line, and of its end, to `hidden`; returns the number of vectors."""
    marked = np.empty(64, np.uint8)
    found = np.empty(64 * model.maxn, np.int32)
    num_words = len(model.word_ends) - 1
    inputs, place, ended = 0, start, False
    while place < end and not ended:
        if _is_separator(data[place]):
            place += 1
            continue
        first = place
        while place < end and not _is_separator(data[place]):
            place += 1
        length = place - first
        ended = length == len(_END_OF_LINE) and _starts_with(data, first, place, _END_OF_LINE)
        word = _find_word(data, first, place, model)
        if word >= 0:
            _add_rows(hidden, model.rows, model.word_rows, model.word_first[word], model.word_first[word + 1], 0)
            inputs += model.word_first[word + 1] - model.word_first[word]
        elif not ended and not _starts_with(data, first, place, _LABEL):
            if length + 2 > len(marked):
                marked = np.empty(2 * length + 2, np.uint8)
                found = np.empty(model.maxn * len(marked), np.int32)
            marked[0], marked[length + 1] = _LESS, _GREATER
            marked[1 : length + 1] = data[first:place]
            count = subword_rows(
                marked, 0, length + 2, model.buckets, model.present, model.minn, model.maxn, model.num_buckets, found
            )
            _add_rows(hidden, model.rows, found, 0, count, num_words)
            inputs += count
    if not ended and model.end_of_line >= 0:
        inputs += 1
        for d in range(len(hidden)):
            hidden[d] += model.rows[model.end_of_line, d]
    return inputs


@njit(cache=True, nogil=True)
def _best_label(hidden: Floats, model: LidArrays, stack: Ints, scores: Floats) -> tuple[int, np.float32]:
    """The most likely leaf, searched depth first and left first, and its log probability. `stack` and `scores` are
    scratch."""
    labels = len(model.output)
    best, best_score = -1, np.float32(-np.inf)
    least = np.float32(math.log(1e-5))
    stack[0], scores[0], height = len(model.left) - 1, np.float32(0.0), 1
    while height > 0:
        height -= 1
        node, score = stack[height], scores[height]
        if score < least or (best >= 0 and score < best_score):
            continue
        if model.left[node] < 0:
            if best < 0 or score > best_score:
                best, best_score = node, score
            continue
        dot = np.float32(0.0)
        for d in range(len(hidden)):
            dot += model.output[node - labels, d] * hidden[d]
        share = np.float32(1.0 / np.float64(np.float32(1.0) + np.exp(-dot)))
        other = np.float32(1.0 - share)
        stack[height], stack[height + 1] = model.right[node], model.left[node]
        scores[height] = np.float32(score + np.float32(math.log(share + 1e-5)))
        scores[height + 1] = np.float32(score + np.float32(math.log(other + 1e-5)))
        height += 2
    return best, best_score


@njit(cache=True, nogil=True)
def predict(data: Bytes, offsets: Ints, model: LidArrays) -> tuple[Ints, Floats]:
    """The label (-1: none) and its probability for each text; texts must not contain newlines."""
    texts = len(offsets) - 1
    labels = np.full(texts, -1, np.int32)
    shares = np.zeros(texts, np.float32)
    stack = np.empty(2 * len(model.left), np.int32)
    scores = np.empty(2 * len(model.left), np.float32)
    hidden = np.empty(model.rows.shape[1], np.float32)
    for text in range(texts):
        hidden[:] = 0
        inputs = _sum_text(data, offsets[text], offsets[text + 1], model, hidden)
        if inputs:
            hidden *= np.float32(1.0 / inputs)
            label, score = _best_label(hidden, model, stack, scores)
            labels[text] = label
            shares[text] = np.exp(score)
    return labels, shares
