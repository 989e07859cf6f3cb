"""The number of words as a column, and how much of them later edits may take away."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa

from dclm.config import Fraction
from dclm.errors import ConfigError
from dclm.step import Context, Filter, FilterFunction, Map, MapFunction
from dclm.text.features import counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordCount(Map):
    """Adds a column with the number of fastText's tokens that start with a letter or a number.

    Source: DCLM `word_counter_enricher` (key, ignore_punctuation=True).
    """

    name: ClassVar[str] = "word_count"
    features: ClassVar[tuple[str, ...]] = ("tokens",)

    column: str = "word_count"
    """Name of the int64 column; it must not exist."""

    def open(self, context: Context) -> MapFunction:
        def add(batch: pa.RecordBatch) -> pa.RecordBatch:
            if self.column in batch.schema.names:
                hint = "give `column` another name"
                raise ConfigError(
                    f"step {self.name}", f"found a column `{self.column}` already, allowed: a new one", hint
                )
            return batch.append_column(self.column, pa.array(counts(batch, "tokens", "token_words")))

        return add


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordRemovalRatio(Filter):
    """Keeps documents that lost at most `max_fraction` of the words that `column` counted before; none that had none.

    Source: DCLM `word_removal_ratio_filter` (prev_word_count_key, max_removed_ratio).
    """

    name: ClassVar[str] = "word_removal_ratio"
    features: ClassVar[tuple[str, ...]] = ("tokens",)

    column: str = "word_count"
    """What `word_count` added before the edits."""
    max_fraction: Fraction = 0.05
    """Greatest loss allowed, of the words before."""

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            if self.column not in batch.schema.names:
                hint = "put `word_count` with this column before the steps that edit"
                raise ConfigError(
                    f"step {self.name}", f"found no column `{self.column}`, allowed: {batch.schema.names}", hint
                )
            before = batch.column(self.column).to_numpy(zero_copy_only=False)
            lost = (before - counts(batch, "tokens", "token_words")) / np.maximum(before, 1)
            return pa.array((before > 0) & (lost <= self.max_fraction))

        return keep
