"""Stop words of any list or language in a batch of texts, with words of several kinds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit
from numpy.typing import NDArray

from dclm.core.arrow import strings, to_list
from dclm.filters.url.word_trie import build_trie, longest_word
from dclm.text.buffers import utf8
from dclm.text.counting.stop_lists import StopList, find_stop_list, shipped_languages
from dclm.text.fold import fold, fold_word
from dclm.text.kernels import lean
from dclm.text.lower import lower
from dclm.text.unicode import SPACE, class_table, decode
from dclm.text.words import next_word

Bytes = NDArray[np.uint8]
Ints = NDArray[np.int32]
Classes = NDArray[np.uint16]
StopWordKind = Literal["whitespace", "unicode", "folded"]
BY_LANGUAGE = "by_language"
"""Used as a list's name: each document uses the list of its column `language`."""
_NO_LIST = -1


class Counted(NamedTuple):
    """Stop words found in each text of a batch."""

    words: NDArray[np.int64]
    kinds: NDArray[np.int64]
    """Number of distinct stop words."""
    known: NDArray[np.bool_]
    """Whether there is a list for the text; without one, the counts are 0 and meaningless."""


def check_list(stop_words: str | Sequence[str]) -> None:
    """Raises: ValueError for a language that has no list, or an empty list."""
    if isinstance(stop_words, str):
        if stop_words != BY_LANGUAGE and find_stop_list(stop_words) is None:
            allowed = ", ".join(shipped_languages())
            raise ValueError(f"`stop_words` is {stop_words}, allowed: {BY_LANGUAGE}, a list of words, or {allowed}")
    elif not [word for word in stop_words if word]:
        raise ValueError("`stop_words` is empty; to require none, set the minimum to 0")


def count_stop_words(
    batch: pa.RecordBatch, stop_words: str | Sequence[str], words: StopWordKind, *, lower_case: bool
) -> Counted:
    """Stop words of each text. `lower_case`: compare in lower case; folded words always are.

    `whitespace`: words between whitespace, punctuation included. `unicode`: UAX #29's. `folded`: words of the folded
    text (`dclm.text.fold`), so that “The”, _the_ and the\u200b are all `the`.
    """
    text = strings(batch.column("text"))
    text = fold(text) if words == "folded" else lower(text) if lower_case else text
    lists, of_row = _lists(batch, stop_words)
    counts = np.zeros((2, len(text)), np.int64)
    for number, one in enumerate(lists):
        entries = {fold_word(word) if words == "folded" else word for word in one.words} - {""}
        trie = build_trie(entries)
        rows = np.flatnonzero(of_row == number)
        data, offsets = utf8(text)
        nodes = (trie.first, trie.edges, trie.targets, trie.word)
        kind = 2 if one.anywhere else int(words == "unicode")
        _count(data, offsets, rows, class_table(), kind, len(entries), counts, *nodes)
    return Counted(counts[0], counts[1], of_row != _NO_LIST)


def _lists(batch: pa.RecordBatch, stop_words: str | Sequence[str]) -> tuple[list[StopList], NDArray[np.int64]]:
    """The lists of a batch, and the number of each row's own, or -1."""
    if stop_words != BY_LANGUAGE:
        found = find_stop_list(stop_words) if isinstance(stop_words, str) else StopList(tuple(stop_words))
        assert found is not None  # ensured by `check_list`
        return [found], np.zeros(batch.num_rows, np.int64)
    encoded = batch.column("language").dictionary_encode()
    lists: list[StopList] = []
    numbers = []
    for language in to_list(encoded.dictionary):
        found = find_stop_list(language)
        numbers.append(_NO_LIST if found is None else len(lists))
        lists += [] if found is None else [found]
    places = encoded.indices.fill_null(len(numbers)).to_numpy(zero_copy_only=False).astype(np.int64)
    return lists, np.array([*numbers, _NO_LIST], np.int64)[places]


@lean
def _is_match(
    data: Bytes, start: int, end: int, classes: Classes, first: Ints, edges: Bytes, targets: Ints, word: Ints
) -> int:
    """The number of the word `data[start:end]`, or -1."""
    found, found_end = longest_word(data, start, end, start, classes, False, first, edges, targets, word)
    return found if found_end == end else -1


@njit(cache=True, nogil=True)
def _count(
    data: Bytes,
    offsets: Ints,
    rows: NDArray[np.int64],
    classes: Classes,
    kind: int,
    num_words: int,
    counts: NDArray[np.int64],
    first: Ints,
    edges: Bytes,
    targets: Ints,
    word: Ints,
) -> None:
    """Adds to counts[2, rows]. `kind` 0: words between whitespace, 1: UAX #29's, 2: wherever they occur."""
    seen = np.full(num_words, -1, np.int64)
    for row in rows:
        at, end = int(offsets[row]), int(offsets[row + 1])
        while at < end:
            found = -1
            if kind == 2:
                found, stop = longest_word(data, at, end, at, classes, False, first, edges, targets, word)
                if found < 0:
                    _, stop = decode(data, at, end)
            elif kind == 1:
                stop, _, _ = next_word(data, at, end, classes)
                found = _is_match(data, at, stop, classes, first, edges, targets, word)
            else:
                code, stop = decode(data, at, end)
                if not classes[code] & SPACE:
                    while stop < end:
                        code, after = decode(data, stop, end)
                        if classes[code] & SPACE:
                            break
                        stop = after
                    found = _is_match(data, at, stop, classes, first, edges, targets, word)
            if found >= 0:
                counts[0, row] += 1
                counts[1, row] += seen[found] != row
                seen[found] = row
            at = stop
