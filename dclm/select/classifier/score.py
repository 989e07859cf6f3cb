"""Evaluates a classifier on labeled documents, such as human good/bad judgments."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dclm.core.errors import DataError
from dclm.core.storage import open_input
from dclm.select.classifier.metrics import precision_recall, summarize
from dclm.select.classifier.train import MODEL
from dclm.select.fasttext_score import load_classifier, score_texts


class Labelled(NamedTuple):
    """A document and whether it belongs to the positive class."""

    text: str
    positive: bool


class ClassifierJudgment(NamedTuple):
    """The performance of a model on labeled documents."""

    summary: dict[str, object]
    """See `metrics.summarize`."""
    curve: list[dict[str, float]]
    """Precision and recall by threshold, highest first."""


def read_labelled(path: str) -> Iterator[Labelled]:
    """Documents of a JSONL file whose lines have `text` and `label` (1 or true: positive; 0 or false: negative).

    Raises: DataError naming the line that has another form.
    """
    with open_input(path) as handle:
        for number, line in enumerate(handle, 1):
            if not line.strip():
                continue
            where = f"{path}:{number}"
            try:
                row = json.loads(line)
            except ValueError as error:
                raise DataError(where, f"not JSON: {error}") from None
            if not isinstance(row, dict) or not isinstance(row.get("text"), str) or row.get("label") not in (0, 1):
                raise DataError(where, "allowed: an object with `text` and `label` 0 or 1")
            yield Labelled(row["text"], bool(row["label"]))


def judge(model: Path, labelled: Sequence[str], positive: str = "__label__hq") -> ClassifierJudgment:
    """Score the documents of all files in `labelled` with the model (a file, or a classifier artifact)."""
    path = model / MODEL if model.is_dir() else model
    if not path.exists():
        raise DataError(str(path), "no such file", "pass a fastText model or the directory of a classifier")
    documents = [document for file in labelled for document in read_labelled(file)]
    truth = np.array([d.positive for d in documents], np.bool_)
    if truth.all() or not truth.any():
        raise DataError(", ".join(labelled), f"found {len(truth)} documents of one class, allowed: both classes")
    scores = score_texts(load_classifier(str(path), positive), [d.text for d in documents], positive)
    return ClassifierJudgment(summarize(scores, truth), precision_recall(scores, truth))
