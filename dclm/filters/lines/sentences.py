"""Keeps pages with enough sentences."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.config import Count
from dclm.curate.quantity import Rule, at_least, at_most, judged
from dclm.curate.step import Context, Filter, FilterFunction, JudgeFunction, RuleFunction
from dclm.filters.lines.table import split_lines
from dclm.text.buffers import utf8
from dclm.text.punkt.model import load_punkt
from dclm.text.punkt.sentences import count_sentences
from dclm.text.unicode import class_table


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sentences(Filter):
    """Keeps pages with `min` … `max` sentences, inclusive.

    Source: C4's three (code) or five (paper) sentences; DCLM's `page_length_filter` with `length_type: sentence` and
    `tokenizer: nltk`, which is NLTK's Punkt with its English model.
    """

    name: ClassVar[str] = "sentences"
    version: ClassVar[int] = 3

    min: Count = 1
    """Minimum number of sentences."""
    max: Count | None = None
    """Maximum number of sentences; null: no maximum."""
    by_line: bool = False
    """Split every line separately, so that no sentence continues after a "\\n", as in datatrove's `C4QualityFilter`."""
    model: str = "punkt-english"
    """A Punkt model: asset name or path."""

    def __post_init__(self) -> None:
        if self.max is not None and self.min > self.max:
            raise ValueError(f"min is {self.min} and max is {self.max}, allowed: min ≤ max")

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.model,)

    def open(self, context: Context) -> FilterFunction:
        judge = self.open_judge(context)
        return lambda batch: judge(batch)[0]

    def open_judge(self, context: Context) -> JudgeFunction:
        model, classes = load_punkt(context.file(self.model)), class_table()

        def judge(batch: pa.RecordBatch) -> tuple[pa.BooleanArray, list[Rule]]:
            data, offsets = utf8(batch["text"])
            if self.by_line:
                starts, _, first = split_lines(data, offsets)
                in_lines = count_sentences(data, np.append(starts, offsets[-1:]), classes, model)
                found = np.diff(np.append(0, np.cumsum(in_lines))[first])
            else:
                found = count_sentences(data, offsets, classes, model)
            rules = [at_least("min", found, self.min)]
            rules += [] if self.max is None else [at_most("max", found, self.max)]
            return judged(rules, batch.num_rows)

        return judge

    def open_rules(self, context: Context) -> RuleFunction | None:
        if self.max is None:
            return lambda batch: pa.repeat("min", batch.num_rows)
        enough = dataclasses.replace(self, max=None).open(context)
        return lambda batch: pc.if_else(enough(batch), "max", "min")
