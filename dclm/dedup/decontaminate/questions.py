"""DCLM's rule of contamination: a document contains the whole text of a question and of one of its options."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.dedup.columns import I64, U64
from dclm.dedup.decontaminate.item_index import NORMALIZATION, Found, ItemIndex, build_index, expand, find_matches
from dclm.dedup.decontaminate.items import Item
from dclm.dedup.minhash.alphabet import alphabet
from dclm.dedup.minhash.shingles import word_hashes, word_places
from dclm.text.buffers import utf8

ANCHOR = 5
"""Minimum number of words of a question: shorter ones occur everywhere."""
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


class Sequences(NamedTuple):
    """Texts as word hashes: text i is `words[bounds[i]:bounds[i + 1]]`."""

    words: U64
    bounds: I64


class QuestionIndex(NamedTuple):
    """Questions and their options, as kernels compare them."""

    anchors: ItemIndex
    """N-grams of the questions."""
    questions: Sequences
    options: Sequences
    options_of: I64
    """Options of item i: numbers `options_of[i]` … `options_of[i + 1]`."""
    sizes: I64
    """Number of n-grams by which each item can be found."""


class SharedQuestions(NamedTuple):
    """Finds items whose question occurs in a text that also contains one of its options."""

    known: QuestionIndex

    @property
    def sizes(self) -> I64:
        """0 for items that cannot be found."""
        return self.known.sizes

    def __call__(self, texts: pa.StringArray) -> Found:
        """The positions of question and options."""
        index = self.known
        near = find_matches(texts, index.anchors)
        place, items = expand(near.grams, index.anchors)
        rows, starts = near.rows[place], near.starts[place]
        order = np.lexsort((starts, items, rows))
        found = _find_questions(
            *utf8(texts),
            alphabet(NORMALIZATION),
            rows[order],
            items[order],
            starts[order],
            *index.questions,
            *index.options,
            index.options_of,
        )
        found.sort()
        return Found(*np.array(found, np.int64).reshape(-1, 4).T)


def build_questions(items: Sequence[Item], last_sentence: bool) -> QuestionIndex:
    """`last_sentence`: only the last sentence of each question counts. An item without options is not searched for."""
    texts = [_SENTENCE_END.split(item.question)[-1] if last_sentence else item.question for item in items]
    options = [option for item in items for option in item.options]
    anchors = build_index([[text] if item.options else [] for text, item in zip(texts, items, strict=True)], ANCHOR)
    options_of = np.cumsum([0, *(len(item.options) for item in items)])
    return QuestionIndex(anchors, _sequences(texts), _sequences(options), options_of, anchors.sizes)


def _sequences(texts: Sequence[str]) -> Sequences:
    column = utf8(pa.array(texts, pa.string()))
    words, bounds = _words(column.data, column.offsets, alphabet(NORMALIZATION))
    return Sequences(words, bounds)


@njit(cache=True, nogil=True)
def _words(data: np.ndarray, offsets: np.ndarray, table: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    out = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint64)
    bounds = np.zeros(len(offsets), np.int64)
    for row in range(len(offsets) - 1):
        filled = bounds[row]
        bounds[row + 1] = filled + word_hashes(data, offsets[row], offsets[row + 1], table, out[filled:])
    return out[: bounds[-1]].copy(), bounds


@njit(cache=True, nogil=True, inline="always")
def _stands_at(words: np.ndarray, count: int, at: int, wanted: np.ndarray) -> bool:
    k = 0
    while k < len(wanted) and at + k < count and words[at + k] == wanted[k]:
        k += 1
    return k == len(wanted)


@njit(cache=True, nogil=True)
def _find_questions(
    data: np.ndarray,
    offsets: np.ndarray,
    table: np.ndarray,
    rows: np.ndarray,
    items: np.ndarray,
    starts: np.ndarray,
    questions: np.ndarray,
    question_bounds: np.ndarray,
    options: np.ndarray,
    option_bounds: np.ndarray,
    options_of: np.ndarray,
) -> list[tuple[int, int, int, int]]:
    """(row, item, start, end) of questions that occur where `starts` says, if an option occurs too, and of those
    options."""
    found = [(0, 0, 0, 0) for _ in range(0)]
    hashes, places = np.empty(0, np.uint64), np.empty((0, 2), np.int64)
    current, count = -1, 0
    for i in range(len(rows)):
        row, item, first = rows[i], items[i], int(offsets[rows[i]])
        if row != current:
            current = row
            room = int(offsets[row + 1]) - first
            hashes, places = np.empty(room, np.uint64), np.empty((room, 2), np.int64)
            count = word_hashes(data, first, offsets[row + 1], table, hashes)
            word_places(data, first, offsets[row + 1], table, places)
        at = np.searchsorted(places[:count, 0], first + starts[i])
        question = questions[question_bounds[item] : question_bounds[item + 1]]
        if not _stands_at(hashes, count, at, question):
            continue
        before = len(found)
        for option in range(options_of[item], options_of[item + 1]):
            wanted = options[option_bounds[option] : option_bounds[option + 1]]
            for k in range(count if len(wanted) else 0):
                outside = k + len(wanted) <= at or k >= at + len(question)
                if outside and _stands_at(hashes, count, k, wanted):
                    found.append((row, item, places[k, 0] - first, places[k + len(wanted) - 1, 1] - first))
        if len(found) > before:
            found.append((row, item, places[at, 0] - first, places[at + len(question) - 1, 1] - first))
    return found
