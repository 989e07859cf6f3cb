"""The number of tokens after each step: an estimate, because only kept documents are tokenized."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np
from tokenizers import Tokenizer

from dclm.assets import resolve
from dclm.documents.artifact import StepRow
from dclm.documents.samples import Sample


@dataclasses.dataclass(frozen=True, kw_only=True)
class TokenEstimate:
    """Tokens after each step, and the basis of the estimate."""

    tokenizer: str
    documents: int
    """Number of kept documents that were tokenized."""
    tokens_per_byte: float
    """Their size in bytes."""
    relative_error: float
    """Standard error of `tokens_per_byte`, as a fraction of it."""
    out: Mapping[int, int]
    """Index of the step → tokens after it."""


def estimate_tokens(
    tokenizer: str, steps: Sequence[StepRow], kept: Sequence[Sample], dropped: Mapping[int, Sequence[Sample]]
) -> TokenEstimate | None:
    """Kept text uses the rate of the drawn documents, text that a step removes uses that of the samples of what it
    dropped.

    If a step has no samples (it only edits, or rejects), its removed text uses the rate of kept text. None if no kept
    document has text. Raises: AssetError if the tokenizer is not available.
    """
    model = Tokenizer.from_file(str(resolve(tokenizer).path))
    sizes = _sizes(model, [s.text for s in kept])
    if not sizes[:, 0].sum():
        return None
    rate = _rate(sizes)
    out: dict[int, int] = {}
    tokens = rate * steps[-1].bytes_out
    for step in reversed(steps):
        out[step.index] = round(tokens)
        gone = _sizes(model, [s.text for s in dropped.get(step.index, ())])
        lost = (step.bytes_in - step.bytes_out) * (_rate(gone) if gone[:, 0].sum() else rate)
        tokens = max(0.0, tokens + lost) if step.bytes_in else 0.0  # before text exists
    return TokenEstimate(
        tokenizer=tokenizer, documents=len(kept), tokens_per_byte=rate, relative_error=_relative_error(sizes), out=out
    )


def _sizes(model: Tokenizer, texts: Sequence[str]) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """Bytes and tokens of each text."""
    encoded = model.encode_batch(list(texts), add_special_tokens=False)
    rows = [(len(t.encode()), len(e.ids)) for t, e in zip(texts, encoded, strict=True)]
    return np.array(rows, np.float64).reshape(-1, 2)


def _rate(sizes: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    return float(sizes[:, 1].sum() / sizes[:, 0].sum())


def _relative_error(sizes: np.ndarray[tuple[int, int], np.dtype[np.float64]]) -> float:
    """Standard error of a ratio of sums (Cochran, Sampling Techniques, 1977, § 2.11), without finite population
    correction."""
    n, rate = len(sizes), _rate(sizes)
    if n < 2:
        return math.inf
    residual = sizes[:, 1] - rate * sizes[:, 0]
    error = math.sqrt(float((residual**2).sum()) / (n - 1) / n) / float(sizes[:, 0].mean())
    return error / rate
