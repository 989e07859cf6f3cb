"""How many tokens there were after each step: an estimate, since nothing is tokenized that is not kept."""

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
    """Tokens after each step, and what they were estimated from."""

    tokenizer: str
    documents: int
    """Kept documents that were tokenized."""
    tokens_per_byte: float
    """Of these."""
    relative_error: float
    """Standard error of `tokens_per_byte`, as a fraction of it."""
    out: Mapping[int, int]
    """Place of the step → tokens after it."""


def estimate_tokens(
    tokenizer: str, steps: Sequence[StepRow], kept: Sequence[Sample], dropped: Mapping[int, Sequence[Sample]]
) -> TokenEstimate | None:
    """What is kept counts as the drawn documents do, what a step takes away as the samples of what it dropped do.

    Where a step has no samples (it only edits, or rejects), what it takes away counts as what is kept. None if no kept
    document has text.
    Raises: AssetError if the tokenizer cannot be had.
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
        tokens = max(0.0, tokens + lost) if step.bytes_in else 0.0  # no text came to what makes it
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
    """Of a ratio of sums (Cochran, Sampling Techniques, 1977, § 2.11), without the finite population's correction."""
    n, rate = len(sizes), _rate(sizes)
    if n < 2:
        return math.inf
    residual = sizes[:, 1] - rate * sizes[:, 0]
    error = math.sqrt(float((residual**2).sum()) / (n - 1) / n) / float(sizes[:, 0].mean())
    return error / rate
