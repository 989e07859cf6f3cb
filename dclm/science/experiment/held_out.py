"""The held-out text on which every model of an experiment is evaluated, and its overlap with the training documents."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pyarrow.parquet as pq

from dclm.core.arrow import strings
from dclm.core.errors import DataError
from dclm.core.storage import write_atomic
from dclm.core.stores.store import verified_file
from dclm.dedup.decontaminate.item_index import build_index, count_matches
from dclm.dedup.decontaminate.items import read_items
from dclm.science.experiment.spec import HeldOut
from dclm.tokens.documents import find_documents, read_texts

NGRAM = 13
"""Number of words in a shared n-gram, as in GPT-3's decontamination."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Overlap:
    """Number of training documents that share an n-gram of 13 words with the held-out text."""

    documents: int
    shared: int


def write_held_out(spec: HeldOut, source: Path, target: Path) -> None:
    """Write `spec.documents` texts of `source`, at equal distances, as JSON lines.

    Raises: DataError if there are fewer.
    """
    texts = [text for file in find_documents(source).files for batch in read_texts(file) for text in batch]
    if len(texts) < spec.documents:
        raise DataError(str(source), f"found {len(texts)} documents, allowed: {spec.documents} or more")
    chosen = [texts[i * len(texts) // spec.documents] for i in range(spec.documents)]
    write_atomic(target, "".join(json.dumps({"text": text}) + "\n" for text in chosen).encode())


def overlap(documents: list[Path], held_out: Path) -> Overlap:
    """Compare the documents artifacts `documents` with the held-out file."""
    index = build_index([item.texts for item in read_items(held_out)], NGRAM)
    total = shared = 0
    for artifact in documents:
        for file in find_documents(artifact, allow_missing=True).files:
            with pq.ParquetFile(verified_file(file.address, file.sha256)) as parquet:
                for batch in parquet.iter_batches(columns=["text"]):
                    found = count_matches(strings(batch.column(0)), index)
                    total += len(found)
                    shared += int((found > 0).sum())
    return Overlap(documents=total, shared=shared)
