"""The documents from which a classifier learns: drawn, ordered and split only by the seed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from dclm.core.draw import random_fraction
from dclm.select.artifact import draw_texts
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.fasttext_score import as_line


class Example(NamedTuple):
    """One document of a known class. Examples sort by their draw: a random order determined by the seed."""

    draw: float
    source: str
    """Unique: class, index of the source, file and row in it."""
    label: str
    """The label, including `__label__`."""
    text: str
    """The text as the classifier reads it; for fastText, one line."""


class Split(NamedTuple):
    """All examples, each class in its random order."""

    train: list[Example]
    held_out: list[Example]


def read_examples(spec: ClassifierSpec) -> Split:
    """Read all sources; memory holds only the documents used.

    Raises: DataError if a source has no document, ConfigError if it has pages instead of text.
    """
    return split_examples(spec.labels, spec.sides, spec.seed, spec.held_out_fraction, as_line)


def split_examples(
    labels: Sequence[str],
    sides: Mapping[str, Sequence[TextSource]],
    seed: int,
    held_out_fraction: float,
    prepare: Callable[[str], str],
) -> Split:
    """Like `read_examples`, for any classifier: `labels` of the `sides` in order, texts as returned by `prepare`."""
    examples = [
        Example(found.draw, found.place, label, prepare(found.text))
        for label, (side, sources) in zip(labels, sides.items(), strict=True)
        for number, source in enumerate(sources)
        for found in draw_texts(source, f"{side}[{number}]", seed)
    ]
    split = Split([], [])
    for example in sorted(examples):
        held_out = random_fraction(seed, "classifier.held_out", example.source) < held_out_fraction
        (split.held_out if held_out else split.train).append(example)
    return split
