"""The step that scores documents with a language model: perplexity and DCLM's top-k average."""

from __future__ import annotations

import dataclasses
import math
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import lengths, to_list
from dclm.core.config import Positive
from dclm.curate.step import Context, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.language_model.windows import WindowStep

if TYPE_CHECKING:
    from dclm.select.language_model.scorer import Sums

Metric = Literal["perplexity", "bits_per_byte", "topk_mass", "topk_hit"]
SIGNIFICANT_DIGITS = 6


@dataclasses.dataclass(frozen=True, kw_only=True)
class LanguageModelScore(WindowStep):
    """Adds how well a language model predicts the document, as a float64 column; null if no token is scored.

    The text is cut into consecutive windows of `window` tokens; each is scored alone, and its first token, which has no
    context, is not scored. No special tokens are added. Computations are in float32; scores are rounded to six
    significant digits. They agree with `transformers` to 1e-4 and do not depend on the batching of documents beyond the
    last of these digits, on CPUs and GPUs alike.

    Source: DataComp-LM, section 4.3: perplexity filtering like CCNet's, and the top-k average logits.
    """

    name: ClassVar[str] = "lm_score"

    metric: Metric = "perplexity"
    """perplexity: exp of the mean loss per token. bits_per_byte: the summed loss divided by the text's UTF-8 bytes, in
    bits. topk_mass: mean total probability of the k most likely tokens. topk_hit: fraction of tokens among the k most
    likely ones."""
    k: Positive = 10
    """Value of k for the two top-k metrics."""
    column: str = "lm_score"
    """Column to add."""

    def open(self, context: Context) -> MapFunction:
        """See the class."""
        scorer = self.scorer(context)

        def values(sums: Sums, num_bytes: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                if self.metric == "perplexity":
                    return np.exp(sums.loss / sums.scored)
                if self.metric == "bits_per_byte":
                    return sums.loss / math.log(2) / num_bytes
                return (sums.mass if self.metric == "topk_mass" else sums.hits) / sums.scored

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch.column("text")
            sums = scorer.sums(to_list(text), self.k if self.metric.startswith("topk") else None)
            found = rounded(values(sums, lengths(text).to_numpy(zero_copy_only=False)))
            return with_columns(batch, {self.column: pa.array(found, mask=sums.scored == 0)})

        return annotate


def rounded(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Values with six significant digits, so that differences in the order of additions rarely show."""
    return np.array([float(f"{value:.{SIGNIFICANT_DIGITS}g}") for value in values.tolist()], np.float64)
