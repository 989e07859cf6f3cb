"""Trains a fastText classifier from a spec: the same sources and settings give the same file, byte for byte."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import fasttext
import numpy as np

from dclm.core.errors import DataError
from dclm.core.record import Record, canonical
from dclm.core.stages.progress import NullProgress, Progress
from dclm.select.artifact import make_artifact
from dclm.select.classifier.examples import Example, Split, read_examples
from dclm.select.classifier.metrics import summarize, summarize_classes
from dclm.select.classifier.spec import ClassifierSpec
from dclm.select.fasttext_score import PREFIX, probabilities, score_texts

MODEL = "model.bin"
METRICS = "metrics.json"


def train_classifier(
    spec: ClassifierSpec, out: Path | str, progress: Progress | None = None, *, force: bool = False
) -> Record:
    """Make the artifact at `out`: model.bin, metrics.json (on the held-out documents), record.json.

    An existing artifact with the same fingerprint is reused. fastText runs in one thread, because several race. Raises:
    DataError if a source has no text or a class is left without a training document.
    """
    progress = progress or NullProgress()

    def fit(directory: Path) -> dict[str, object]:
        progress.start("classifier", 3, "phases")
        split = read_examples(spec)
        _check(spec, split)
        progress.advance(items=len(split.train), note="train")
        model = _fit(spec, split.train, directory)
        progress.advance(note="judge")
        metrics = _judge(model, split.held_out, spec)
        (directory / METRICS).write_text(json.dumps(metrics, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        progress.advance()
        progress.finish()
        return _counts(spec, split, metrics)

    return make_artifact(out, "classifier", _config(spec), spec.sides, fit, force=force)


def describe(counts: Mapping[str, object]) -> str:
    """One line about a trained classifier for people, from the counts in its record."""
    sides = {name.removeprefix("train_"): count for name, count in counts.items() if name.startswith("train_")}
    line = ", ".join(f"{count:,} {side}" for side, count in sides.items() if isinstance(count, int))
    held_out = counts["held_out"]
    if not isinstance(held_out, Mapping):
        return line
    shown = [n for n in ("accuracy", "roc_auc", "macro_f1", "calibration_error") if held_out.get(n) is not None]
    if not shown:  # too few documents were held out for an evaluation
        return line
    return f"{line}; held out {held_out['documents']:,}: " + ", ".join(f"{n} {held_out[n]:.4f}" for n in shown)


def _config(spec: ClassifierSpec) -> dict[str, object]:
    """The spec without paths, which differ between machines."""
    config = canonical(spec.with_paths(lambda path: ""))
    assert isinstance(config, dict)
    return config


def _check(spec: ClassifierSpec, split: Split) -> None:
    there = {example.label for example in split.train}
    for label, side in zip(spec.labels, spec.sides, strict=True):
        if label not in there:
            raise DataError(side, "no documents are left for training", "provide more documents, or hold out fewer")


def _fit(spec: ClassifierSpec, examples: list[Example], directory: Path) -> fasttext.FastText._FastText:
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as lines:
        for example in examples:
            lines.write(f"{example.label} {example.text}\n")
        lines.flush()
        model = fasttext.train_supervised(
            lines.name,
            lr=spec.learning_rate,
            dim=spec.dim,
            epoch=spec.epochs,
            wordNgrams=spec.word_ngrams,
            minCount=spec.min_count,
            bucket=spec.bucket,
            seed=spec.seed,
            thread=1,
            verbose=0,
        )
    model.save_model(str(directory / MODEL))
    return model


def _judge(model: fasttext.FastText._FastText, examples: list[Example], spec: ClassifierSpec) -> dict[str, object]:
    texts = [example.text for example in examples]
    if not spec.is_binary:
        scores = np.array(probabilities(model, texts, spec.labels)).T.reshape(len(texts), len(spec.labels))
        truth = np.array([spec.labels.index(example.label) for example in examples], np.int64)
        return summarize_classes(scores, truth, [name.removeprefix(PREFIX) for name in spec.labels])
    scores = score_texts(model, texts, spec.positive_label)
    return summarize(scores, np.array([example.label == spec.positive_label for example in examples], np.bool_))


def _counts(spec: ClassifierSpec, split: Split, metrics: dict[str, object]) -> dict[str, object]:
    taken = Counter(example.label for example in split.train)
    counts: dict[str, object] = {
        f"train_{side}": taken[label] for label, side in zip(spec.labels, spec.sides, strict=True)
    }
    return {**counts, "held_out": {k: v for k, v in metrics.items() if k not in ("reliability", "confusion")}}
