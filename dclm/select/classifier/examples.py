"""The documents from which a classifier learns: drawn, ordered and split by the seed alone."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

from dclm.core.errors import ConfigError, DataError
from dclm.curate.step import random_fraction
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.select.classifier.spec import ClassifierSpec, TextSource
from dclm.select.fasttext_score import as_line


class Example(NamedTuple):
    """One document of a known class. Examples sort by their draw: a random order determined by the seed."""

    draw: float
    source: str
    """Unique: class, index of the source, file and row in it."""
    label: str
    """Including `__label__`."""
    text: str
    """As one line."""


class Split(NamedTuple):
    """All examples, each class in its random order."""

    train: list[Example]
    held_out: list[Example]


def read_examples(spec: ClassifierSpec) -> Split:
    """Read all sources; memory holds only the documents used.

    Raises: DataError if a source has no document, ConfigError if it has pages instead of text.
    """
    examples: list[Example] = []
    for label, (side, sources) in zip(spec.labels, spec.sides.items(), strict=True):
        for number, source in enumerate(sources):
            place = f"{side}[{number}]"
            taken = _draw(source, place, label, spec.seed)
            if not taken:
                raise DataError(f"{place}: {source.path}", "found no document with text", "check the file")
            examples += taken
    split = Split([], [])
    for example in sorted(examples):
        held_out = random_fraction(spec.seed, "classifier.held_out", example.source) < spec.held_out_fraction
        (split.held_out if held_out else split.train).append(example)
    return split


def _draw(source: TextSource, where: str, label: str, seed: int) -> list[Example]:
    found = (
        Example(random_fraction(seed, "classifier", f"{where} {place}"), f"{where} {place}", label, as_line(text))
        for place, text in _documents(source, where)
    )
    return list(found) if source.max_documents is None else heapq.nsmallest(source.max_documents, found)


def _documents(source: TextSource, label: str) -> Iterator[tuple[str, str]]:
    for file in list_files([source.path]):
        for batch in read_file(file, Tally()):
            if "text" not in batch.schema.names:
                hint = "curate the pool first and use its documents"
                raise ConfigError(f"{label}: {source.path}", f"{file.name} contains pages, allowed: text", hint)
            for place, text in zip(batch.column("source").to_pylist(), batch.column("text").to_pylist(), strict=True):
                if text and not text.isspace():
                    yield place, text
