"""Letters per token: low if a tokenizer finds no words that it knows."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import ClassVar

import numpy as np
import pyarrow as pa
from tokenizers import Tokenizer

from dclm.core.arrow import to_list
from dclm.core.config import NonNegative
from dclm.curate.measured import MeasuringFilter
from dclm.curate.quantity import Rule, at_least
from dclm.curate.step import Context


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphabeticTokenRatio(MeasuringFilter):
    """Keeps documents with at least `min_ratio` letters per token; drops documents without tokens.

    Source: DCLM `alphabetic_characters_to_tokens_filter` (min ratio 1.5, Pythia's tokenizer, which is GPT-NeoX's),
    which RedPajama uses for code.
    """

    name: ClassVar[str] = "alphabetic_token_ratio"

    tokenizer: str = "gpt-neox-20b"
    """Asset name or path of a tokenizer.json."""
    min_ratio: NonNegative = 1.5
    """Minimum number of letters per token."""

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.tokenizer,)

    def open_rule(self, context: Context) -> Callable[[pa.RecordBatch], Rule]:
        tokenizer = Tokenizer.from_file(str(context.file(self.tokenizer)))

        def rule(batch: pa.RecordBatch) -> Rule:
            texts: list[str] = to_list(batch.column("text"))
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            pairs = zip(texts, encoded, strict=True)
            ratios = np.array([_letters_per_token(text, len(tokens.ids)) for text, tokens in pairs], np.float64)
            return at_least("min_ratio", ratios, self.min_ratio)

        return rule


def _letters_per_token(text: str, num_tokens: int) -> float:
    """NaN, which is never enough, for a text without tokens."""
    return sum(map(str.isalpha, text)) / num_tokens if num_tokens else math.nan
