"""The step that tests whether a text was written by a machine by how a surrogate model ranks it, without training."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.arrow import to_list
from dclm.curate.step import Context, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.language_model.score import rounded
from dclm.select.language_model.windows import WindowStep

if TYPE_CHECKING:
    from torch import Tensor

Test = Literal["curvature", "log_rank", "likelihood", "lrr"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class MachineText(WindowStep):
    """Adds a zero-shot test of machine-written text, as a float64 column: the higher, the more likely a machine.

    Language models prefer words that other models have chosen. `curvature` is the difference, in standard deviations,
    between the text's log-likelihood and the one expected if the surrogate had drawn each token itself. In the limit it
    is normal with mean 0 and standard deviation 1 for text drawn from the surrogate, and lower for human text.
    `log_rank` is −mean ln(rank of the true token), `likelihood` the mean ln p(token), and `lrr` the ratio of mean −ln p
    to mean ln(rank). Windows, tokens and rounding are those of `lm_score`; null if no token is scored. It is evidence,
    not proof: short texts, lists and quotations score high as well.

    Source: Fast-DetectGPT (arXiv 2310.05130, its analytic criterion with one model); GLTR; DetectLLM (LRR).
    """

    name: ClassVar[str] = "machine_text"

    test: Test = "curvature"
    """Which statistic to compute."""
    column: str = "machine_text"
    """Column to add."""

    def open(self, context: Context) -> MapFunction:
        """See the class."""
        scorer = self.scorer(context)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            scored, totals = scorer.totals(to_list(batch.column("text")), _token_scores, 4)
            log_p, log_rank, expected, variance = totals
            with np.errstate(divide="ignore", invalid="ignore"):
                found = {
                    "curvature": (log_p - expected) / np.sqrt(variance),
                    "log_rank": -log_rank / scored,
                    "likelihood": log_p / scored,
                    "lrr": -log_p / log_rank,
                }[self.test]
            found = rounded(found)
            return with_columns(batch, {self.column: pa.array(found, mask=(scored == 0) | ~np.isfinite(found))})

        return annotate


def _token_scores(logits: Tensor, targets: Tensor) -> tuple[Tensor, ...]:
    """ln p and ln rank of the true token; mean and variance of ln p under the model's own distribution."""
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    wanted = log_p.gather(-1, targets[:, None])
    rank = (log_p > wanted).sum(-1) + 1
    terms = (p * log_p.clamp(min=-1e4)).double()  # 0 · ln 0 is 0
    mean = terms.sum(-1)
    square = (terms * log_p.clamp(min=-1e4).double()).sum(-1)
    return wanted[:, 0].double(), rank.double().log(), mean, (square - mean**2).clamp(min=0)
