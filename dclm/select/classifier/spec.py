"""What a fastText classifier is made from: a YAML file that names its sources and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated

from dclm.core.config import Count, Positive, Range


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """Documents of one class."""

    path: str
    """File, directory or glob of JSONL, Parquet or WET, or a documents artifact."""
    max_documents: Positive | None = None
    """Take so many, drawn by the seed; null: all."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """A two-class fastText model. The defaults are DCLM's: fastText's own, with bigrams (paper, appendix J.1)."""

    version = 1

    positives: tuple[TextSource, ...]
    negatives: tuple[TextSource, ...]
    positive_label: str = "__label__hq"
    negative_label: str = "__label__cc"
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Of the draws, the order of the examples, the held-out part and fastText itself."""
    held_out_fraction: Annotated[float, Range(0.0, 0.5)] = 0.05
    """Part of the documents kept from training and used for `metrics.json`; 0: none."""
    learning_rate: Annotated[float, Range(0.0, 10.0)] = 0.1
    dim: Positive = 100
    """Width of the embeddings."""
    epochs: Positive = 5
    word_ngrams: Positive = 2
    min_count: Positive = 1
    """Words that occur less often are left out."""
    bucket: Count = 2_000_000
    """Hash buckets of the n-grams. The file takes 4 · dim · (bucket + words) bytes: 800 MB by default."""

    def __post_init__(self) -> None:
        if not self.positives or not self.negatives:
            raise ValueError("give at least one source each of `positives` and `negatives`")
        for label in (self.positive_label, self.negative_label):
            if not label.startswith("__label__") or len(label.split()) != 1:
                raise ValueError(f"label {label!r}: a label begins with __label__ and has no white space")
        if self.positive_label == self.negative_label:
            raise ValueError("the two labels are the same")

    def with_paths(self, resolve: Callable[[str], str]) -> ClassifierSpec:
        """The same with every path replaced, as by its place on this machine."""
        positives, negatives = (
            tuple(dataclasses.replace(s, path=resolve(s.path)) for s in side)
            for side in (self.positives, self.negatives)
        )
        return dataclasses.replace(self, positives=positives, negatives=negatives)
