"""The documents to show: drawn by the hash of seed and id, so that the choice does not depend on caller or shards."""

from __future__ import annotations

import dataclasses
import heapq
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq

from dclm.core.arrow import to_list
from dclm.core.draw import random_fraction
from dclm.curate.output.tally import SAMPLES
from dclm.documents.artifact import Artifact

KEPT_DRAWN = 200
"""Number of kept documents drawn: all are used to measure tokens, the first few are shown."""
DROPPED_DRAWN = 8
"""Number of dropped documents shown per step; the artifact stores some for every shard."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Sample:
    """A document to show."""

    id: str
    url: str | None
    text: str
    characters: int | None
    """Length of the whole text, of which `text` may be only the beginning; None if unknown."""


def dropped_samples(artifact: Artifact) -> dict[int, list[Sample]]:
    """Index of each step that dropped documents → some of these, in the order in which they were drawn."""
    drawn: dict[int, list[tuple[float, str, str | None, str]]] = {}
    for path in artifact.files("samples"):
        for row in pq.read_table(path, columns=SAMPLES.names).to_pylist():
            rank = random_fraction(artifact.seed, f"sample:{row['step']}:{row['step_index']}", row["id"])
            held = drawn.setdefault(row["step_index"], [])
            held.append((rank, row["id"], row["url"], row["text"]))
            held.sort(key=lambda item: item[:2])
            del held[DROPPED_DRAWN:]
    return {
        index: [Sample(id=i, url=url, text=text, characters=None) for _, i, url, text in held]
        for index, held in sorted(drawn.items())
    }


def kept_samples(artifact: Artifact) -> list[Sample]:
    """KEPT_DRAWN of the kept documents (or all, if there are fewer), in the order in which they were drawn.

    Reads all ids, and then only the row groups that contain drawn documents.
    """
    places = heapq.nsmallest(KEPT_DRAWN, _draws(artifact))
    files = artifact.files("documents")
    wanted: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for order, (_, shard, group, row) in enumerate(places):
        wanted.setdefault((shard, group), []).append((order, row))
    found: list[Sample | None] = [None] * len(places)
    for (shard, group), rows in sorted(wanted.items()):
        with pq.ParquetFile(files[shard]) as file:
            table = file.read_row_group(group, columns=["id", "url", "text"], use_threads=False)
        for order, row in rows:
            text = table["text"][row].as_py()
            found[order] = Sample(
                id=table["id"][row].as_py(), url=table["url"][row].as_py(), text=text, characters=len(text)
            )
    return [sample for sample in found if sample is not None]


def _draws(artifact: Artifact) -> Iterator[tuple[float, int, int, int]]:
    """(draw, shard, row group, row in it) of every document."""
    for shard, path in enumerate(artifact.files("documents")):
        for group, row, identifier in _ids(path):
            yield random_fraction(artifact.seed, "report:kept", identifier), shard, group, row


def _ids(path: Path) -> Iterator[tuple[int, int, str]]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            ids = to_list(file.read_row_group(group, columns=["id"], use_threads=False)["id"])
            for row, identifier in enumerate(ids):
                yield group, row, identifier
