"""The definition of a fastText classifier: a YAML file that names its sources and settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Annotated

from dclm.core.config import Count, Positive, Range
from dclm.select.fasttext_score import PREFIX, label


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextSource:
    """Documents of one class."""

    path: str
    """File, directory or glob of JSONL, Parquet, CSV or WET, `hf:ORG/NAME`, or a documents artifact."""
    column: str | None = None
    """Column of a documents artifact by which to select documents, such as one added by `llm_label`."""
    equals: str | None = None
    """Select documents whose `column` equals this text."""
    min: float | None = None
    """Select documents whose `column` is at least this number."""
    max: float | None = None
    """Select documents whose `column` is at most this number."""
    max_documents: Positive | None = None
    """Number of documents to use, drawn by the seed; null: all."""

    def __post_init__(self) -> None:
        bounds = self.min is not None or self.max is not None
        if (self.column is not None) != (self.equals is not None or bounds):
            raise ValueError("`column` needs either `equals`, or `min` and `max`")
        if self.equals is not None and bounds:
            raise ValueError("give `equals`, or `min` and `max`")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ClassifierSpec:
    """A fastText model with two or more classes. The defaults are DCLM's: fastText's own, with bigrams (appendix J.1).

    Set `positives` and `negatives`, or `classes`.
    """

    version = 2

    positives: tuple[TextSource, ...] = ()
    negatives: tuple[TextSource, ...] = ()
    classes: Mapping[str, tuple[TextSource, ...]] = dataclasses.field(default_factory=dict)
    """Label (with or without `__label__`) → its documents: topics, formats, languages, grades of quality."""
    positive_label: str = "__label__hq"
    negative_label: str = "__label__cc"
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed for the draws, the order of the examples, the held-out part and fastText itself."""
    held_out_fraction: Annotated[float, Range(0.0, 0.5)] = 0.05
    """Fraction of the documents excluded from training and used for `metrics.json`; 0: none."""
    learning_rate: Annotated[float, Range(0.0, 10.0)] = 0.1
    dim: Positive = 100
    """Dimension of the embeddings."""
    epochs: Positive = 5
    word_ngrams: Positive = 2
    min_count: Positive = 1
    """Minimum number of occurrences of a word."""
    bucket: Count = 2_000_000
    """Number of hash buckets for n-grams. The file has 4 · dim · (bucket + words) bytes: 800 MB by default."""

    def __post_init__(self) -> None:
        if self.classes and (self.positives or self.negatives):
            raise ValueError("give `positives` and `negatives`, or `classes`, not both")
        if not self.classes and (not self.positives or not self.negatives):
            raise ValueError("give at least one source each of `positives` and `negatives`")
        if self.classes and (len(self.classes) < 2 or not all(self.classes.values())):
            raise ValueError("give at least two `classes`, and at least one source for each")
        for name in (self.positive_label, self.negative_label):
            if not name.startswith(PREFIX):
                raise ValueError(f"label {name!r}: a label begins with __label__")
        for name in self.labels:
            if len(name.split()) != 1 or name == PREFIX:
                raise ValueError(f"label {name!r}: a label has no whitespace and a name after __label__")
        if len(set(self.labels)) < len(self.sides):
            raise ValueError("two labels are the same")

    @property
    def is_binary(self) -> bool:
        """Whether the classes are `positives` and `negatives`."""
        return not self.classes

    @property
    def sides(self) -> Mapping[str, tuple[TextSource, ...]]:
        """Field or name of each class → its sources."""
        return self.classes or {"positives": self.positives, "negatives": self.negatives}

    @property
    def labels(self) -> tuple[str, ...]:
        """The full label of each of `sides`, in their order."""
        return tuple(map(label, self.classes)) if self.classes else (self.positive_label, self.negative_label)

    def with_paths(self, resolve: Callable[[str], str]) -> ClassifierSpec:
        """The same with every path replaced, for example by its location on this machine."""

        def moved(sources: tuple[TextSource, ...]) -> tuple[TextSource, ...]:
            return tuple(dataclasses.replace(source, path=resolve(source.path)) for source in sources)

        classes = {name: moved(sources) for name, sources in self.classes.items()}
        return dataclasses.replace(
            self, positives=moved(self.positives), negatives=moved(self.negatives), classes=classes
        )
