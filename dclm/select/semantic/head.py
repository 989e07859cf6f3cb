"""A linear classifier on embeddings: its training, and the step that scores with it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.assets import resolve
from dclm.core.arrow import Column
from dclm.core.config import Positive, Range
from dclm.core.errors import AssetError, ConfigError, DataError
from dclm.core.record import Record, canonical
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_columns
from dclm.select.artifact import make_artifact
from dclm.select.classifier.examples import Example, Split, split_examples
from dclm.select.classifier.metrics import summarize, summarize_classes
from dclm.select.classifier.spec import TextSource
from dclm.select.language_model.score import rounded
from dclm.select.semantic.embed import Embed
from dclm.select.semantic.vectors import Vectors, unit_vectors

MODEL = "head.json"
METRICS = "metrics.json"
_KEYS = {"labels", "weights", "bias", "dim"}
_TEXTS = 256  # number of texts embedded at one time
Floats = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class HeadSpec:
    """A linear (logistic) classifier on the embeddings of `encoder`, for two classes or more.

    Needs scikit-learn, from the extra `eval`.
    """

    version = 2

    encoder: str
    """Same as `model` of `embed`; the pool must be embedded with the same model."""
    max_tokens: Positive = 256
    """Same as for `embed`."""
    classes: Mapping[str, tuple[TextSource, ...]]
    """Label → its documents; with two classes, such as hq and cc."""
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """Seed for the draws and the held-out part."""
    held_out_fraction: Annotated[float, Range(0.0, 0.5)] = 0.05
    """Fraction of the documents excluded from training and used for `metrics.json`; 0: none."""
    penalty: Annotated[float, Range(1e-6, 1e6)] = 1.0
    """Factor of the squared weights (scikit-learn's 1 / C)."""

    def __post_init__(self) -> None:
        if len(self.classes) < 2 or not all(self.classes.values()):
            raise ValueError("give at least two `classes`, and at least one source for each")

    def with_paths(self, path_of: Callable[[str], str]) -> HeadSpec:
        """The same with the paths of the texts replaced, for example by their locations on this machine."""
        classes = {
            name: tuple(dataclasses.replace(source, path=path_of(source.path)) for source in sources)
            for name, sources in self.classes.items()
        }
        return dataclasses.replace(self, classes=classes)


def train_head(spec: HeadSpec, out: Path | str, *, force: bool = False) -> Record:
    """Make the artifact at `out`: head.json, metrics.json (on the held-out documents), record.json.

    Raises: DataError if a source has no text or one class is left without a training document; ConfigError without
    scikit-learn; AssetError if the encoder cannot be read.
    """
    config = canonical(dataclasses.replace(spec, encoder="").with_paths(lambda path: ""))
    assert isinstance(config, dict)
    encoder = resolve(spec.encoder, directories=True)

    def fit(directory: Path) -> dict[str, object]:
        labels = tuple(spec.classes)
        split = split_examples(labels, spec.classes, spec.seed, spec.held_out_fraction, str)
        step = Embed(model=spec.encoder, max_tokens=spec.max_tokens)
        embed = step.open(Context(files={spec.encoder: str(encoder.path)}))
        head, counts = _fit(spec, labels, split, embed)
        (directory / MODEL).write_text(json.dumps(dataclasses.asdict(head)) + "\n", encoding="utf-8")
        metrics = _judge(head, split.held_out, embed)
        (directory / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        held_out = {k: v for k, v in metrics.items() if k not in ("reliability", "confusion")}
        return {**counts, "held_out": held_out}

    return make_artifact(out, "classifier", config, spec.classes, fit, {"encoder": encoder.sha256}, force=force)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Head:
    """Weights of a trained head."""

    labels: list[str]
    dim: int
    weights: list[list[float]]
    """[classes, dim]"""
    bias: list[float]
    """[classes]"""

    def probabilities(self, vectors: Vectors) -> Floats:
        """[N, classes] from vectors of length 1; a row depends only on its own vector."""
        exact = vectors.astype(np.float64)
        logits = np.stack([(exact * row).sum(1) for row in np.array(self.weights)], 1) + np.array(self.bias)
        grown = np.exp(logits - logits.max(1, keepdims=True)) if len(logits) else logits
        shares: Floats = grown / grown.sum(1, keepdims=True)
        return shares


def read_head(path: Path) -> Head:
    """Raises: AssetError if the file is not a head."""
    try:
        read = json.loads(path.read_text(encoding="utf-8"))
        if set(read) != _KEYS:
            raise ValueError("other keys")
        weights, bias = np.array(read["weights"], np.float64), np.array(read["bias"], np.float64)
        if weights.shape != (len(read["labels"]), read["dim"]) or bias.shape != (len(read["labels"]),):
            raise ValueError("weights of another shape")
    except (ValueError, TypeError, UnicodeDecodeError, IsADirectoryError) as error:
        what = f"not the head of an embedding classifier: {error}"
        raise AssetError(str(path), what, "train one under `models:` in a recipe") from None
    return Head(**read)


def _fit(spec: HeadSpec, labels: tuple[str, ...], split: Split, embed: MapFunction) -> tuple[Head, dict[str, object]]:
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        what = "the package scikit-learn is not installed"
        raise ConfigError("embedding_classifier", what, 'pip install "dclm[eval]"') from None
    vectors, truth = _embedded(split.train, labels, embed)
    present = np.bincount(truth, minlength=len(labels))
    for label, count in zip(labels, present.tolist(), strict=True):
        if not count:
            raise DataError(label, "no documents are left for training", "provide more documents, or hold out fewer")
    model: Any = LogisticRegression(C=1 / spec.penalty, max_iter=1000, tol=1e-6)
    model.fit(vectors.astype(np.float64), truth)
    weights, bias = model.coef_, model.intercept_
    if len(labels) == 2:  # scikit-learn returns only those of the second class
        weights, bias = np.concatenate([np.zeros_like(weights), weights]), np.concatenate([[0.0], bias])
    head = Head(labels=list(labels), dim=vectors.shape[1], weights=weights.tolist(), bias=bias.tolist())
    return head, {f"train_{label}": count for label, count in zip(labels, present.tolist(), strict=True)}


def _embedded(
    examples: list[Example], labels: tuple[str, ...], embed: MapFunction
) -> tuple[Vectors, npt.NDArray[np.int64]]:
    """Vectors in float16, as in a pool, and indices into `labels`; documents without a vector are left out."""
    parts: list[Vectors] = []
    truth: list[int] = []
    for first in range(0, len(examples), _TEXTS):
        some = examples[first : first + _TEXTS]
        column = embed(pa.RecordBatch.from_pydict({"text": [e.text for e in some]})).column("embedding")
        vectors, present = unit_vectors(column, "embedding_classifier")
        parts.append(vectors[present])
        truth += [labels.index(e.label) for e, there in zip(some, present.tolist(), strict=True) if there]
    return np.concatenate(parts) if parts else np.zeros((0, 1), np.float32), np.array(truth, np.int64)


def _judge(head: Head, examples: list[Example], embed: MapFunction) -> dict[str, object]:
    vectors, truth = _embedded(examples, tuple(head.labels), embed)
    if len(head.labels) > 2:
        scores = head.probabilities(vectors) if len(truth) else np.zeros((0, len(head.labels)))
        return summarize_classes(scores, truth, head.labels)
    scores = head.probabilities(vectors)[:, 0] if len(truth) else np.zeros(0)
    return summarize(scores, truth == 0)


@dataclasses.dataclass(frozen=True, kw_only=True)
class EmbeddingClassifier(Map):
    """Adds a linear classifier's prediction for a document's embedding: probabilities (float64) and the most likely
    label.

    The head is trained by a recipe (`models: {NAME: {embedding_classifier: …}}`) on the embeddings that `embed` makes;
    for documents without a vector, the columns are null. Scores have six significant digits.

    Source: DataComp-LM, section 4.3 (BGE-base-en with a linear head).
    """

    name: ClassVar[str] = "embedding_classifier"

    model: str
    """A head that the recipe trains, or the path of a head.json."""
    embedding: str = "embedding"
    """Column of vectors, made by `embed` with the encoder of the head."""
    positive: str | None = None
    """The label whose probability goes into `column`; null: the first."""
    column: str | None = "quality"
    """Column for the probability of `positive`; null: none."""
    label_column: str | None = None
    """Column for the most likely label."""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Label → column for its probability."""

    def __post_init__(self) -> None:
        names = [n for n in (self.column, self.label_column, *self.columns.values()) if n]
        if not names:
            raise ValueError("give `column`, `label_column` or `columns`")
        if len(set(names)) < len(names):
            raise ValueError("two of the columns have the same name")

    @property
    def assets(self) -> tuple[str, ...]:
        """The head."""
        return (self.model,)

    def open(self, context: Context) -> MapFunction:
        """See the class. Raises: ConfigError if the head has no such label, or the vectors have another size."""
        head = read_head(context.file(self.model))
        wanted = {column: label for label, column in self.columns.items()}
        if self.column is not None:
            wanted[self.column] = self.positive or head.labels[0]
        for label in wanted.values():
            if label not in head.labels:
                raise ConfigError(self.model, f"the head has no label {label}, allowed: {', '.join(head.labels)}")

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            if self.embedding not in batch.schema.names:
                there = ", ".join(n for n in batch.schema.names if not n.startswith("_"))
                hint = "put `embed` before this step"
                raise ConfigError(self.name, f"no column {self.embedding}, found: {there}", hint)
            vectors, present = unit_vectors(batch.column(self.embedding), self.name)
            if vectors.shape[1] != head.dim:
                what = f"vectors of {vectors.shape[1]} numbers, allowed: {head.dim}"
                raise ConfigError(self.name, what, "use `embed` with the encoder that the head was trained on")
            scores = head.probabilities(vectors)
            missing = ~present
            found: dict[str, Column] = {
                column: pa.array(rounded(scores[:, head.labels.index(label)]), mask=missing)
                for column, label in wanted.items()
            }
            if self.label_column is not None:
                likeliest = pa.array(scores.argmax(1) if len(scores) else np.zeros(0, np.int64), mask=missing)
                found[self.label_column] = pa.array(head.labels).take(likeliest)
            return with_columns(batch, found)

        return annotate
