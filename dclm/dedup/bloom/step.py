"""`bloom`: removes paragraphs and documents whose n-grams have nearly all been seen before, in document order."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple

import numpy as np
import pyarrow as pa
from numba import njit

from dclm.core.arrow import buffer_of
from dclm.core.config import Fraction, Positive, Range
from dclm.core.errors import ConfigError
from dclm.curate.step import Context, MapFunction, Ordered
from dclm.dedup.bloom import bff
from dclm.dedup.bloom.filter import Size, empty_filter, size_for
from dclm.dedup.bloom.stored import merged, stored_size
from dclm.dedup.bloom.tokens import is_blank, tokenize, trimmed_end
from dclm.dedup.columns import I64, U8, U64, Bool
from dclm.dedup.index.indexed import Indexed, addresses
from dclm.dedup.memory import FRACTION, room_bytes, show_bytes
from dclm.text.buffers import utf8
from dclm.text.kernels import lean
from dclm.text.swar import copy_bytes
from dclm.text.unicode import class_table

Mode = Literal["paragraph", "document", "old-both", "both", "exact"]
_MODES: dict[Mode, int] = {
    "paragraph": bff.PARAGRAPH, "document": bff.DOCUMENT, "old-both": bff.OLD_BOTH, "both": bff.BOTH, "exact": bff.EXACT
}  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class Bloom(Indexed, Ordered):
    """BFF's deduplication with a Bloom filter, sized from a count of the n-grams.

    Drops documents left with only whitespace, and counts removed paragraphs in `_edits`.

    Source: DCLM's dedup/bff (see `.bff`), with the defaults used for DCLM-Baseline. Differences: documents are
    processed in order instead of by racing threads; hashes are fixed; the filter consists of blocks of one cache line;
    `both` tests every paragraph, while the reference's counter stays at the first; its faulty `naive-both` is not
    available.
    """

    name: ClassVar[str] = "bloom"
    version: ClassVar[int] = 3

    mode: Mode = "old-both"
    """What is judged: paragraphs; whole documents; paragraphs and then, by the same count, the document (old-both);
    `both`, where n-grams cross paragraphs and the document is judged first; or documents by their whole text. The two
    differ: in old-both a paragraph repeated within its document is also removed, n-grams across paragraphs do not
    count, and more than `threshold` is needed; in `both` all n-grams are looked up before any is inserted, and
    `threshold` is enough."""
    min_ngram: Positive = 13
    """A unit shorter than `max_ngram` is one n-gram if it has at least this many words, and none otherwise."""
    max_ngram: Positive = 13
    """Number of words in an n-gram."""
    threshold: Fraction = 0.8
    """A unit is removed if more than this fraction of its n-grams is known (`both`: at least this fraction)."""
    fp_rate: Annotated[float, Range(1e-12, 0.5)] = 0.01
    """Probability that an n-gram that was never seen appears known, once all are inserted."""
    partitions: Positive = 1
    """Number of filters: shard i is deduplicated against the shards whose number has the same remainder."""
    against: tuple[str, ...] = ()
    """Indexes of other documents, made by `dclm dedup index` with room for these documents: what they contain counts as
    seen. Several indexes must have the same size. Needs `partitions: 1`."""

    def __post_init__(self) -> None:
        if self.against and self.partitions > 1:
            raise ValueError(f"`against` needs one partition, found partitions: {self.partitions}")
        if self.min_ngram > self.max_ngram:
            raise ValueError(f"min_ngram {self.min_ngram} > max_ngram {self.max_ngram}")

    @property
    def memory(self) -> str:
        each = size_for(1_000_000, self.fp_rate).bytes / 1_000_000
        found = f"{each:.3g} B per n-gram of one partition of {self.partitions}"
        return f"{found}; n-grams are counted first, and the step does not start if memory is short"

    def measure(self, context: Context) -> Callable[[pa.RecordBatch], int]:
        mode, classes = _MODES[self.mode], class_table()

        def count(batch: pa.RecordBatch) -> int:
            texts = utf8(batch.column("text"))
            return int(bff.count_ngrams(texts.data, texts.offsets, classes, mode, self.min_ngram, self.max_ngram))

        return count

    def index_settings(self) -> Mapping[str, object]:
        return {name: getattr(self, name) for name in ("mode", "min_ngram", "max_ngram", "threshold", "fp_rate")}

    def holds(self, total: int) -> int:
        if self.against:
            return stored_size(self.against[0]).bytes
        return size_for(total, self.fp_rate).bytes

    def begin(self, context: Context, total: int, partition: int) -> MapFunction:
        if self.against:
            found = addresses(self.against, context)
            size = stored_size(found[0])
            self.check_memory(size, total, partition)
            return self.into(merged(found, total, self.name), size.probes)
        size = size_for(total, self.fp_rate)
        self.check_memory(size, total, partition)
        return self.into(empty_filter(size), size.probes)

    def into(self, words: U64, probes: int) -> MapFunction:
        """The function that deduplicates batches with this filter and adds them to it."""
        classes = class_table()
        settings = (_MODES[self.mode], self.min_ngram, self.max_ngram, self.threshold)

        def deduplicate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = utf8(batch.column("text"))
            left = _Left(*_deduplicate(texts.data, texts.offsets, classes, *settings, words, probes))
            return _with_result(batch, left)

        return deduplicate

    def check_memory(self, size: Size, total: int, partition: int) -> None:
        room = room_bytes()
        if size.bytes > room:
            enough = self.partitions * math.ceil(size.bytes / max(room, 1))
            needs = f"{total:,} n-grams at fp_rate {self.fp_rate:g} need {show_bytes(size.bytes)}"
            machine = show_bytes(int(size.bytes / FRACTION))
            raise ConfigError(
                f"bloom, partition {partition}",
                f"{needs}; {show_bytes(room)} available",
                f"use partitions: {enough}, or a machine with {machine} free",
            )


class _Left(NamedTuple):
    """The result for a batch."""

    data: U8
    offsets: I64
    removed: I64
    """Number of units removed from each document."""
    dropped: Bool


def _with_result(batch: pa.RecordBatch, left: _Left) -> pa.RecordBatch:
    offsets = buffer_of(left.offsets.astype(np.int32))
    text = pa.StringArray.from_buffers(batch.num_rows, offsets, buffer_of(left.data))
    batch = batch.set_column(batch.schema.get_field_index("text"), batch.schema.field("text"), text)
    for name, column in (("_drop", pa.array(left.dropped)), ("_edits", pa.array(left.removed))):
        batch = batch.append_column(name, column)
    return batch


@lean
def _copy_kept(
    data: np.ndarray, bounds: np.ndarray, removed: np.ndarray, out: np.ndarray, filled: int
) -> tuple[int, int]:
    """(where the output ends after the kept units, number of removed units)"""
    num_removed = unit = 0
    while unit < len(removed):
        first = unit
        while unit < len(removed) and not removed[unit]:
            unit += 1
        copy_bytes(out, filled, data, bounds[first], bounds[unit])
        filled += bounds[unit] - bounds[first]
        if unit < len(removed):
            num_removed += 1
            unit += 1
    return filled, num_removed


@njit(cache=True, nogil=True)
def _deduplicate(
    data: np.ndarray,
    offsets: np.ndarray,
    classes: np.ndarray,
    mode: int,
    min_ngram: int,
    max_ngram: int,
    threshold: float,
    words: np.ndarray,
    probes: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    rows = len(offsets) - 1
    out = np.empty(int(offsets[rows]) - int(offsets[0]), np.uint8)
    out_offsets = np.zeros(rows + 1, np.int64)
    counts = np.zeros(rows, np.int64)
    dropped = np.zeros(rows, np.bool_)
    filled = 0
    for row in range(rows):
        start, end = int(offsets[row]), int(offsets[row + 1])
        bounds = bff.cut(data, start, end, mode != bff.DOCUMENT and mode != bff.EXACT)
        removed = np.zeros(len(bounds) - 1, np.bool_)
        trim = False
        if mode == bff.EXACT:
            removed[0] = bff.judge_exact(data, start, end, words, probes)
        else:
            hashes, starts = tokenize(data, start, end, classes)
            if mode == bff.BOTH:
                trim = bff.judge_both(bounds, hashes, starts, removed, min_ngram, max_ngram, threshold, words, probes)
            else:
                whole = mode == bff.OLD_BOTH
                ngrams = np.empty(len(hashes), np.uint64)
                bff.judge_units(
                    bounds, hashes, starts, ngrams, removed, whole, min_ngram, max_ngram, threshold, words, probes
                )
        filled, counts[row] = _copy_kept(data, bounds, removed, out, filled)
        if trim:
            filled = trimmed_end(out, out_offsets[row], filled, classes)
        dropped[row] = is_blank(out, out_offsets[row], filled, classes)
        out_offsets[row + 1] = filled
    return out[:filled], out_offsets, counts, dropped
