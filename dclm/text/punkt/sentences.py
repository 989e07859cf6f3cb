"""Sentences as Punkt (Kiss & Strunk 2006) splits them, in time linear in the text.

A sentence can end at ".", "?" or "!" before another mark or before whitespace and a word. The text around such a
position (the word before it, and the mark or word after it) is split into tokens, and these decide.

Source: NLTK 3.8.1, `PunktSentenceTokenizer.span_tokenize` (with `realign_boundaries`), which DCLM calls for C4's `nltk`
sentences. Its regular expressions are spelled out below. NLTK 3.10 treats curly quotes as straight ones; 3.8 did not,
nor does this.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from dclm.text.counting.segments import strip
from dclm.text.kernels import lean
from dclm.text.punkt.model import PunktModel
from dclm.text.punkt.tokens import BEHIND, CLOSER, DASH, END, KINDS, breaks, skip_space
from dclm.text.unicode import SPACE, decode

Bytes = NDArray[np.uint8]
Classes = NDArray[np.uint16]


@njit(cache=True, nogil=True)
def count_sentences(data: Bytes, offsets: NDArray[np.int32], classes: Classes, model: PunktModel) -> NDArray[np.int64]:
    """The number of sentences of each row, ignoring those that are only whitespace."""
    out = np.zeros(len(offsets) - 1, np.int64)
    word = np.empty(model.longest, np.uint8)
    for row in range(len(out)):
        out[row] = _count(data, int(offsets[row]), int(offsets[row + 1]), classes, model, word)
    return out


@lean
def _count(data: Bytes, start: int, end: int, classes: Classes, model: PunktModel, room: Bytes) -> int:
    num = 0
    first, last = start, start  # the sentence that is complete except for closing marks after it
    sentence = start  # start of the sentence being read
    mark, word, behind, follower = -1, start, start, -1
    while True:
        after, after_behind, after_follower = _next_mark(data, max(mark + 1, start), end, classes)
        after_word = _word_start(data, max(mark, start), after, word) if after < end else end
        if mark >= 0 and mark <= after_word and breaks(data, word, behind, classes, model, room):
            known = _skip_closers(data, sentence, mark + 1, classes) if last > start else sentence
            num += known > sentence or _is_text(data, first, last, classes)
            first, last = known, mark + 1
            sentence = follower if follower >= 0 else mark + 1
        if after == end:
            break
        mark, word, behind, follower = after, after_word, after_behind, after_follower
    stop = max(strip(data, start, end, classes)[1], start)
    known = _skip_closers(data, sentence, stop, classes) if last > start else sentence
    return num + (known > sentence or _is_text(data, first, last, classes)) + _is_text(data, known, stop, classes)


@lean
def _next_mark(data: Bytes, at: int, end: int, classes: Classes) -> tuple[int, int, int]:
    """(position of the next possible end, end of the text after it, start of the next word or -1).

    Expression: [.?!](?=[)";}\\]*:@'({[?!]|\\s+\\S+)
    """
    while at < end:
        if KINDS[data[at]] & END and at + 1 < end:
            if KINDS[data[at + 1]] & BEHIND:
                return at, at + 2, -1
            word = skip_space(data, at + 1, end, classes)
            if at + 1 < word < end:
                return at, _word_end(data, word, end, classes), word
        at += 1
    return end, end, -1


@lean
def _word_start(data: Bytes, before: int, mark: int, known: int) -> int:
    """After the last ASCII whitespace between the previous mark and this one; otherwise where the word before it
    begins."""
    for at in range(mark - 1, before, -1):
        if data[at] == 32 or 9 <= data[at] <= 13:
            return at + 1
    return known


@lean
def _word_end(data: Bytes, at: int, end: int, classes: Classes) -> int:
    while at < end:
        code, after = decode(data, at, end)
        if classes[code] & SPACE:
            break
        at = after
    return at


@lean
def _is_text(data: Bytes, at: int, end: int, classes: Classes) -> bool:
    return skip_space(data, at, end, classes) < end


@lean
def _skip_closers(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """After the marks (and whitespace) that close the previous sentence; `start` if none exist.

    Expression: ["')\\]}]+?(?:\\s+|(?=--)|$)
    """
    at = start
    while at < end and KINDS[data[at]] & CLOSER:
        at += 1
    if at in (start, end):
        return at
    if at + 1 < end and data[at] == DASH and data[at + 1] == DASH:
        return at
    after = skip_space(data, at, end, classes)
    return after if after > at else start
