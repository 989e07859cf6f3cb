"""The number of words as a column, and the fraction of them that later edits may remove."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pyarrow as pa

from dclm.core.config import Fraction
from dclm.core.errors import ConfigError
from dclm.curate.measured import MeasuringFilter
from dclm.curate.quantity import Rule, at_most, where
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.rules.length import WORD_FEATURES, WordKind
from dclm.text.features import counts


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordCount(Map):
    """Adds a column with the number of words.

    Source: DCLM `word_counter_enricher` (key, model, ignore_punctuation).
    """

    name: ClassVar[str] = "word_count"
    version: ClassVar[int] = 3

    column: str = "word_count"
    """Name of the int64 column; it must not exist."""
    words: WordKind = "fasttext"
    """Definition of a word: see `page_length`."""
    ignore_punctuation: bool = True
    """Count only words whose first character is a letter or a number."""

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on what is counted
        return (WORD_FEATURES[self.words, self.ignore_punctuation][0],)

    def open(self, context: Context) -> MapFunction:
        feature, number = WORD_FEATURES[self.words, self.ignore_punctuation]

        def add(batch: pa.RecordBatch) -> pa.RecordBatch:
            if self.column in batch.schema.names:
                hint = "give `column` another name"
                raise ConfigError(
                    f"step {self.name}", f"the column `{self.column}` already exists, allowed: a new name", hint
                )
            return batch.append_column(self.column, pa.array(counts(batch, feature, number)))

        return add


@dataclasses.dataclass(frozen=True, kw_only=True)
class WordRemovalRatio(MeasuringFilter):
    """Keeps documents that lost at most `max_fraction` of the words that `column` counted; drops those that had none.

    Source: DCLM `word_removal_ratio_filter` (prev_word_count_key, max_removed_ratio, model, ignore_punctuation).
    """

    name: ClassVar[str] = "word_removal_ratio"
    version: ClassVar[int] = 3

    column: str = "word_count"
    """Column that `word_count` added before the edits."""
    max_fraction: Fraction = 0.05
    """Maximum fraction of the original words that may be removed."""
    words: WordKind = "fasttext"
    """Definition of a word: the same as for `word_count`."""
    ignore_punctuation: bool = True
    """Count only words whose first character is a letter or a number: the same as for `word_count`."""

    @property
    def features(self) -> tuple[str, ...]:  # type: ignore[override]  # depends on what is counted
        return (WORD_FEATURES[self.words, self.ignore_punctuation][0],)

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        feature, number = WORD_FEATURES[self.words, self.ignore_punctuation]

        def rule(batch: pa.RecordBatch) -> Rule:
            if self.column not in batch.schema.names:
                hint = "put `word_count` with this column before the editing steps"
                raise ConfigError(
                    f"step {self.name}", f"found no column `{self.column}`, allowed: {batch.schema.names}", hint
                )
            before = batch.column(self.column).to_numpy(zero_copy_only=False)
            lost = (before - counts(batch, feature, number)) / np.maximum(before, 1)
            return where(before > 0, at_most("max_fraction", lost, self.max_fraction))

        return rule
