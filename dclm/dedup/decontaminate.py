"""`decontaminate`: finds documents that share long n-grams with evaluation items."""

from __future__ import annotations

import dataclasses
import gzip
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit, uint64

from dclm.config import Positive
from dclm.dedup.alphabet import Normalization, alphabet
from dclm.dedup.columns import I64, U64, distinct
from dclm.dedup.shingles import room_for, shingles
from dclm.errors import ConfigError, DataError
from dclm.step import Context, Map, MapFunction
from dclm.text.buffers import utf8

_TOP_BITS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decontaminate(Map):
    """Adds `contamination`, how many n-grams of a document occur in evaluation items, and may drop by it.

    Items are the lines of JSONL files; each of their strings (questions, answers, choices, passages) counts by itself,
    and one shorter than an n-gram has none. Words are lower-cased and lose ASCII punctuation.

    Source: 13-grams as in GPT-3 (Brown et al. 2020, appendix C). DCLM's own rule (question and one option) is another.
    """

    name: ClassVar[str] = "decontaminate"

    items: tuple[str, ...]
    """Evaluation files: asset names or paths of .jsonl or .jsonl.gz."""
    ngram: Positive = 13
    """Words in an n-gram."""
    action: Literal["drop", "report"] = "drop"
    """Whether documents go or are only annotated."""
    min_matches: Positive = 1
    """N-grams found (repeats included) from which on a document is contaminated."""
    column: str = "contamination"

    def __post_init__(self) -> None:
        if not self.items:
            raise ValueError("`items` needs at least one file")

    @property
    def assets(self) -> tuple[str, ...]:
        return self.items

    def open(self, context: Context) -> MapFunction:
        index = build_index([context.file(name) for name in self.items], self.ngram)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            found = count_matches(batch.column("text"), index, self.ngram)
            batch = batch.append_column(pa.field(self.column, pa.int64()), pa.array(found))
            if self.action == "drop":
                batch = batch.append_column("_drop", pa.array(found >= self.min_matches))
            return batch

        return annotate


class Index(NamedTuple):
    """A set of hashes that kernels look into."""

    hashes: U64
    """Sorted, distinct."""
    starts: I64
    """Where the hashes with each value of the top bits begin."""


NORMALIZATION: Normalization = "lower_no_punctuation"


def build_index(files: Sequence[Path], ngram: int) -> Index:
    """The n-grams of all evaluation items.

    Raises: DataError for a line that is no JSON; ConfigError if no string is as long as an n-gram.
    """
    texts = [text for file in files for text in _strings(file)]
    column = utf8(pa.array(texts, pa.string()))
    ngrams: U64 = _long_shingles(column.data, column.offsets, alphabet(NORMALIZATION), ngram)
    found = distinct(ngrams)
    if not len(found):
        names = ", ".join(file.name for file in files)
        raise ConfigError("decontaminate", f"no string in {names} has {ngram} words", "lower `ngram`")
    tops = (found >> np.uint64(64 - _TOP_BITS)).astype(np.int64)
    return Index(found, np.searchsorted(tops, np.arange((1 << _TOP_BITS) + 1)).astype(np.int64))


def count_matches(texts: pa.StringArray, index: Index, ngram: int) -> I64:
    """For each text how many of its n-grams are in the index."""
    column = utf8(texts)
    found: I64 = _count_matches(column.data, column.offsets, alphabet(NORMALIZATION), ngram, *index)
    return found


def _strings(file: Path) -> Iterator[str]:
    opened = gzip.open if file.name.endswith(".gz") else open
    with opened(file, "rt", encoding="utf-8") as lines:
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    yield from _leaves(json.loads(line))
                except ValueError as error:
                    raise DataError(f"{file}:{number}", f"not JSON: {error}") from None


def _leaves(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _leaves(item)


@njit(cache=True, nogil=True)
def _long_shingles(data: np.ndarray, offsets: np.ndarray, table: np.ndarray, ngram: int) -> np.ndarray:
    """Shingles of the texts that have at least `ngram` words."""
    out = np.empty(int(offsets[-1]) - int(offsets[0]), np.uint64)
    single = np.empty(room_for(offsets), np.uint64)
    filled = 0
    for row in range(len(offsets) - 1):
        count = shingles(data, offsets[row], offsets[row + 1], table, True, 1, single)
        if count >= ngram:
            filled += shingles(data, offsets[row], offsets[row + 1], table, True, ngram, out[filled:])
    return out[:filled].copy()


@njit(cache=True, nogil=True)
def _count_matches(data: np.ndarray, offsets: np.ndarray, table: np.ndarray, ngram: int,
                   known: np.ndarray, starts: np.ndarray) -> np.ndarray:  # fmt: skip
    found = np.zeros(len(offsets) - 1, np.int64)
    hashes = np.empty(room_for(offsets), np.uint64)
    for row in range(len(offsets) - 1):
        count = shingles(data, offsets[row], offsets[row + 1], table, True, ngram, hashes)
        for i in range(count):  # a text too short for an n-gram has one of fewer words, which the index has not
            top = hashes[i] >> uint64(64 - _TOP_BITS)
            for k in range(starts[top], starts[top + uint64(1)]):
                if known[k] >= hashes[i]:
                    found[row] += known[k] == hashes[i]
                    break
    return found
