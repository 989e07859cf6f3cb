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

from dclm.filters.language.subwords import SEED, Bytes, Ints, ascii_buckets, mix, rank, subword_buckets
from dclm.text.kernels import lean

Floats = NDArray[np.float32]
_LESS, _GREATER = 60, 62
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END_OF_LINE = np.frombuffer(b"</s>", np.uint8)
_FULL = 4096  # rows that are collected before they are added


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
    present: NDArray[np.uint64]
    """Bit b of word w: whether bucket 64 w + b has a row. Pruned models have rows for a few percent of the buckets."""
    before: Ints
    """Number of buckets with a row before bucket 64 w."""
    rows: Floats
    """[rows, D]: first the words', then those of the buckets that have one, in their order."""
    output: Floats
    """[L, D]: one row for each inner node of the tree."""
    left: Ints
    right: Ints
    minn: int
    maxn: int
    num_buckets: np.uint32
    inverse: np.uint64
    """2³² // `num_buckets`, which is used instead of dividing."""
    end_of_line: int
    """The word `</s>`, which ends every text, or -1."""


@njit(cache=True, nogil=True, inline="always")
def _is_separator(byte: int) -> bool:
    return byte <= 32 and (byte == 32 or byte == 0 or 9 <= byte <= 13)


@njit(cache=True, nogil=True, inline="always")
def _starts_with(marked: Bytes, prefix: Bytes) -> bool:
    """Whether a word begins with `prefix` after its mark; its buffer is longer than any prefix."""
    same = True
    for place in range(len(prefix)):
        same &= marked[place + 1] == prefix[place]
    return same


@lean
def _add_rows(hidden: Floats, rows: Floats, wanted: Ints, count: int) -> None:
    flat, dim = rows.reshape(-1), np.uint64(len(hidden))
    for at in range(count):
        row = np.uint64(wanted[at]) * dim  # unsigned, so that the inner loop is vectorized
        for d in range(dim):
            hidden[d] += flat[row + d]


@lean
def _sum_text(data: Bytes, start: int, end: int, model: LidArrays, hidden: Floats, marked: Bytes, found: Ints) -> int:
    """Adds the vectors of all words of a line, and of its end, to `hidden`; returns the number of vectors."""
    slots, word_bytes, word_ends = model.slots, model.word_bytes, model.word_ends
    word_rows, word_first, present, before, rows = (
        model.word_rows, model.word_first, model.present, model.before, model.rows,
    )  # fmt: skip
    minn, maxn, num_buckets, inverse = model.minn, model.maxn, model.num_buckets, model.inverse
    num_words, mask = len(word_ends) - 1, np.uint32(len(slots) - 1)
    count, inputs, place, ended = 0, 0, start, False
    while place < end and not ended:
        if _is_separator(data[place]):
            place += 1
            continue
        size, value, bits = 1, SEED, 0
        marked[0] = _LESS
        while place < end and not _is_separator(data[place]):
            marked[size] = data[place]
            bits |= data[place]
            value = mix(value, data[place])
            size += 1
            place += 1
        slot, word = value & mask, -1
        while slots[slot] >= 0:
            known = slots[slot]
            at = word_ends[known]
            if word_ends[known + 1] - at == size - 1:
                same = True
                for letter in range(size - 1):
                    same &= word_bytes[at + letter] == marked[letter + 1]
                if same:
                    word = known
                    break
            slot = (slot + np.uint32(1)) & mask
        marked[size], marked[size + 1], marked[size + 2] = _GREATER, 0, 0
        size += 1
        ended = size == len(_END_OF_LINE) + 2 and _starts_with(marked, _END_OF_LINE)
        if word >= 0:
            for at in range(word_first[word], word_first[word + 1]):
                found[count] = word_rows[at]
                count += 1
        elif not ended and not _starts_with(marked, _LABEL):
            if bits < 128 and minn == 2 and maxn == 4:
                more = ascii_buckets(marked, size, present, num_buckets, inverse, found, count)
            else:
                more = subword_buckets(marked, size, present, minn, maxn, num_buckets, inverse, found, count)
            for at in range(count, more):
                found[at] = num_words + rank(present, before, np.uint32(found[at]))
            count = more
        if count > _FULL:
            _add_rows(hidden, rows, found, count)
            inputs, count = inputs + count, 0
    _add_rows(hidden, rows, found, count)
    inputs += count
    if not ended and model.end_of_line >= 0:
        inputs += 1
        for d in range(len(hidden)):
            hidden[d] += rows[model.end_of_line, d]
    return inputs


@lean
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
    longest = 0
    for text in range(texts):
        longest = max(longest, offsets[text + 1] - offsets[text])
    marked = np.empty(longest + 16, np.uint8)
    found = np.empty(_FULL + model.maxn * (longest + 3) + 1, np.int32)
    for text in range(texts):
        hidden[:] = 0
        inputs = _sum_text(data, offsets[text], offsets[text + 1], model, hidden, marked, found)
        if inputs:
            hidden *= np.float32(1.0 / inputs)
            label, score = _best_label(hidden, model, stack, scores)
            labels[text] = label
            shares[text] = np.exp(score)
    return labels, shares
