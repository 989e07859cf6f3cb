"""Scores and labels from a supervised fastText model."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

import fasttext
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import Column, to_list
from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.columns import with_columns
from dclm.filters.fasttext_file import require_fasttext

Values = npt.NDArray[np.float64]
PREFIX = "__label__"
_END = re.compile(r"(?<![^ \t\v\f\0])</s>(?![^ \t\v\f\0])")
_ALL = -1  # maximum number of labels that fastText returns


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastTextScore(Map):
    """Adds the prediction of a supervised fastText model for a document: probabilities (float64) and the most likely
    label.

    The text is read as one line, its lines joined by spaces. If the model has two labels, the score is the probability
    of the more likely label if that is the positive one, and 1 minus it otherwise, as in DCLM; if it has more (topics,
    formats, languages, grades), it is the model's probability of the positive label. fastText stops reading at a word
    `</s>` and treats words that begin with `__label__` as labels: both are escaped, here as in training.

    Source: `classify_fasttext_hq_prob_enricher` in DCLM's baselines.
    """

    name: ClassVar[str] = "fasttext_score"
    version: ClassVar[int] = 2

    model: str
    """Asset name or path of a supervised fastText model (.bin or .ftz), or a classifier that the recipe trains."""
    column: str | None = "quality"
    """Column for the probability of `positive`; null: none."""
    positive: str = "__label__hq"
    """The model's label of the positive class."""
    label_column: str | None = None
    """Column for the most likely label, without `__label__`."""
    probability_column: str | None = None
    """Column for the probability of the most likely label."""
    columns: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Label (with or without `__label__`) → column for its probability."""

    def __post_init__(self) -> None:
        names = [n for n in (self.column, self.label_column, self.probability_column, *self.columns.values()) if n]
        if not names:
            raise ValueError("give `column`, `label_column`, `probability_column` or `columns`")
        if len(set(names)) < len(names):
            raise ValueError("two of the columns have the same name")

    @property
    def assets(self) -> tuple[str, ...]:
        """The model."""
        return (self.model,)

    @property
    def memory(self) -> str:
        """See `Step`."""
        return f"each worker holds the whole file {self.model}"

    def open(self, context: Context) -> MapFunction:
        """See the class."""
        wanted = {column: label(name) for name, column in self.columns.items()}
        if self.column is not None:
            wanted[self.column] = self.positive
        model = load_classifier(str(context.file(self.model)), *wanted.values())

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            texts = to_list(batch.column("text"))
            found: dict[str, Column] = {}
            for column, scores in zip(wanted, probabilities(model, texts, list(wanted.values())), strict=True):
                found[column] = pa.array(scores)
            if self.label_column is not None or self.probability_column is not None:
                labels, values = likeliest(model, texts)
                if self.label_column is not None:
                    found[self.label_column] = pa.array(labels, pa.string())
                if self.probability_column is not None:
                    found[self.probability_column] = pa.array(values)
            return with_columns(batch, found)

        return annotate


def label(name: str) -> str:
    """A label's full name."""
    return name if name.startswith(PREFIX) else PREFIX + name


def load_classifier(path: str, *labels: str) -> fasttext.FastText._FastText:
    """The fastText model at `path`, which must know `labels`.

    Raises: AssetError if it is not a fastText model; ConfigError if it lacks one of the labels.
    """
    require_fasttext(path)
    try:
        model = fasttext.load_model(path)
        known = sorted(model.get_labels())
    except ValueError as error:
        raise AssetError(path, f"not a fastText model: {error}", "use a .bin or .ftz file") from None
    for name in labels:
        if name not in known:
            raise ConfigError(
                path, f"the model has no label {name}, allowed: {', '.join(known[:20])}", "set `positive`"
            )
    return model


def as_line(text: str) -> str:
    """A text as a single line that fastText reads to its end, without any word that it treats as a label."""
    line = " ".join(text.strip().splitlines())
    if "</s>" in line:
        line = _END.sub("&lt;/s&gt;", line)  # as a separate word it ends the line
    return line.replace(PREFIX, "label") if PREFIX in line else line


def score_texts(model: fasttext.FastText._FastText, texts: Sequence[str], positive: str) -> Values:
    """The positive class's probability for each text (see `FastTextScore`)."""
    return probabilities(model, texts, [positive])[0]


def probabilities(model: fasttext.FastText._FastText, texts: Sequence[str], labels: Sequence[str]) -> list[Values]:
    """Probabilities of each label, one per text (see `FastTextScore`)."""
    if not texts or not labels:
        return [np.zeros(len(texts)) for _ in labels]
    is_binary = len(model.get_labels()) == 2
    found, scores = _predict(model, texts, 1 if is_binary else _ALL)
    if is_binary:
        likelier = np.array([score[0] for score in scores], np.float64)
        return [np.where([names[0] == name for names in found], likelier, 1.0 - likelier) for name in labels]
    by_label = [dict(zip(names, map(float, values), strict=True)) for names, values in zip(found, scores, strict=True)]
    return [np.array([row.get(name, 0.0) for row in by_label], np.float64) for name in labels]


def likeliest(model: fasttext.FastText._FastText, texts: Sequence[str]) -> tuple[list[str], Values]:
    """The most likely label of each text, without its prefix, and its probability."""
    if not texts:
        return [], np.zeros(0)
    found, scores = _predict(model, texts, 1)
    names = [labels[0].removeprefix(PREFIX) for labels in found]
    return names, np.array([score[0] for score in scores], np.float64)


def _predict(model: fasttext.FastText._FastText, texts: Sequence[str], k: int) -> tuple[list[list[str]], list[Values]]:
    """Labels and probabilities of each text. Raises: AssetError if the model's weights give no number for a text."""
    try:
        labels, scores = model.predict([as_line(text) for text in texts], k=k)
    except RuntimeError as error:
        raise AssetError("fastText model", f"cannot score a text: {error}", "download or train it again") from None
    return labels, scores
