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
from dclm.text.swar import eight, skip_above

Floats = NDArray[np.float32]
_LESS, _GREATER = 60, 62
_LABEL = np.frombuffer(b"__label__", np.uint8)
_END_OF_LINE = np.frombuffer(b"</s>", np.uint8)
_FULL = 4096  # rows that are collected before they are added
_MOST_REMEMBERED = 32
_MEMO_BITS = 13
_MEMO_SHIFT = np.uint64(64 - _MEMO_BITS)
_MIX = np.uint64(0x9E3779B97F4A7C15)
_NOTHING = np.uint64(0)


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


class Memo(NamedTuple):
    """The rows of words that were read lately, one word per hash: words repeat, and their n-grams with them.

    For one model, in one thread at a time.
    """

    words: NDArray[np.uint64]
    """[entries, 3]: the bytes of a word of at most 24, followed by zeros, which no word contains."""
    counts: Ints
    """[entries]: number of its rows."""
    rows: Ints
    """[entries, `_MOST_REMEMBERED`]."""

    @staticmethod
    def empty() -> Memo:
        """A memo without words."""
        entries = 1 << _MEMO_BITS
        rows = np.zeros((entries, _MOST_REMEMBERED), np.int32)
        return Memo(np.zeros((entries, 3), np.uint64), np.zeros(entries, np.int32), rows)


@lean
def _word_rows(
    data: Bytes, start: int, end: int, model: LidArrays, marked: Bytes, found: Ints, count: int
) -> tuple[int, bool]:
    """Writes the rows of the word `data[start:end]` to `found`, from `count` on: (where they end, whether the word ends
    the line)."""
    slots, word_bytes, word_ends, present = model.slots, model.word_bytes, model.word_ends, model.present
    size, value, bits = 1, SEED, 0
    marked[0] = _LESS
    for place in range(start, end):
        marked[size] = data[place]
        bits |= data[place]
        value = mix(value, data[place])
        size += 1
    mask = np.uint32(len(slots) - 1)
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
    more = count
    if word >= 0:
        for at in range(model.word_first[word], model.word_first[word + 1]):
            found[more] = model.word_rows[at]
            more += 1
    elif not ended and not _starts_with(marked, _LABEL):
        minn, maxn, num_buckets, inverse = model.minn, model.maxn, model.num_buckets, model.inverse
        if bits < 128 and minn == 2 and maxn == 4:
            more = ascii_buckets(marked, size, present, num_buckets, inverse, found, count)
        else:
            more = subword_buckets(marked, size, present, minn, maxn, num_buckets, inverse, found, count)
        for at in range(count, more):
            found[at] = len(word_ends) - 1 + rank(present, model.before, np.uint32(found[at]))
    return more, ended


@lean
def _sum_text(
    data: Bytes, start: int, end: int, model: LidArrays, hidden: Floats, marked: Bytes, found: Ints, memo: Memo
) -> int:
    """Adds the vectors of all words of a line, and of its end, to `hidden`; returns the number of vectors."""
    words, counts, remembered, rows = memo.words, memo.counts, memo.rows, model.rows
    count, inputs, place, ended = 0, 0, start, False
    while place < end and not ended:
        if _is_separator(data[place]):
            place += 1
            continue
        first = place
        place = skip_above(data, place, end, 32)
        while place < end and not _is_separator(data[place]):  # a control character
            place = skip_above(data, place + 1, end, 32)
        size = place - first
        if size > 24:
            count, ended = _word_rows(data, first, place, model, marked, found, count)
        else:
            low = eight(data, first, place)
            middle = eight(data, first + 8, place) if size > 8 else _NOTHING
            high = eight(data, first + 16, place) if size > 16 else _NOTHING
            entry = ((low ^ ((middle ^ (high * _MIX)) * _MIX)) * _MIX) >> _MEMO_SHIFT
            if words[entry, 0] == low and words[entry, 1] == middle and words[entry, 2] == high:
                for at in range(counts[entry]):
                    found[count + at] = remembered[entry, at]
                count += counts[entry]
            else:
                more, ended = _word_rows(data, first, place, model, marked, found, count)
                if more - count <= _MOST_REMEMBERED and not ended:
                    words[entry, 0], words[entry, 1], words[entry, 2] = low, middle, high
                    counts[entry] = more - count
                    for at in range(more - count):
                        remembered[entry, at] = found[count + at]
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
def predict(data: Bytes, offsets: Ints, model: LidArrays, memo: Memo) -> tuple[Ints, Floats]:
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
        inputs = _sum_text(data, offsets[text], offsets[text + 1], model, hidden, marked, found, memo)
        if inputs:
            hidden *= np.float32(1.0 / inputs)
            label, score = _best_label(hidden, model, stack, scores)
            labels[text] = label
            shares[text] = np.exp(score)
    return labels, shares
