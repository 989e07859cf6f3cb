"""Letters per token: low if a tokenizer finds no words that it knows."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pyarrow as pa
from tokenizers import Tokenizer

from dclm.core.config import NonNegative
from dclm.curate.step import Context, Filter, FilterFunction


@dataclasses.dataclass(frozen=True, kw_only=True)
class AlphabeticTokenRatio(Filter):
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

    def open(self, context: Context) -> FilterFunction:
        tokenizer = Tokenizer.from_file(str(context.file(self.tokenizer)))

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            texts: list[str] = batch.column("text").to_pylist()
            encoded = tokenizer.encode_batch_fast(texts, add_special_tokens=False)
            pairs = zip(texts, encoded, strict=True)
            return pa.array([self._passes(text, len(tokens.ids)) for text, tokens in pairs], pa.bool_())

        return keep

    def _passes(self, text: str, num_tokens: int) -> bool:
        return num_tokens > 0 and sum(map(str.isalpha, text)) / num_tokens >= self.min_ratio
