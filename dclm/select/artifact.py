"""Artifacts of models trained on text files: made once, and reused until something they depend on changes."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.draw import random_fraction
from dclm.core.engine import SerialEngine
from dclm.core.errors import ConfigError, DataError
from dclm.core.progress import NullProgress
from dclm.core.record import Kind, Record, describe_files, fingerprint
from dclm.core.stage import Workspace, run_stage, unit_files
from dclm.core.storage import sha256_file
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.select.classifier.spec import TextSource


def make_artifact(
    out: Path | str,
    kind: Kind,
    config: Mapping[str, object],
    sources: Mapping[str, Sequence[TextSource]],
    fit: Callable[[Path], Mapping[str, object]],
    inputs: Mapping[str, str] | None = None,
    *,
    force: bool = False,
) -> Record:
    """Make the artifact at `out`, or reuse one of the same fingerprint; returns its record.

    config: everything that determines the bytes, without paths. inputs: role → sha256 of each input besides `sources`.
    fit: writes the files into a directory and returns the counts for the record. force: replace an artifact that other
    settings made.
    """
    started, cpu = time.time(), time.process_time()
    hashes = {**_hashes(sources), **(inputs or {})}
    identity = fingerprint({"config": config, "inputs": hashes})

    def make(space: Workspace) -> Record:
        with unit_files(space.out) as (directory, _):
            counts = fit(directory)
            files = describe_files(directory)
        space.sweep(("",), {entry.path for entry in files})
        return Record(
            kind=kind,
            name=space.out.rpartition("/")[2],
            fingerprint=identity,
            config=config,
            inputs=hashes,
            counts=counts,
            files=files,
            provenance={"cpu_seconds": round(time.process_time() - cpu, 3)},
        )

    return run_stage(
        out,
        kind=kind,
        identity=identity,
        make=make,
        engine=SerialEngine(),
        progress=NullProgress(),
        inputs=[source.path for some in sources.values() for source in some],
        started=started,
        force=force,
    )


def _hashes(sources: Mapping[str, Sequence[TextSource]]) -> dict[str, str]:
    """Role → sha256 of every file of every source."""
    found = {}
    for side, some in sources.items():
        for number, source in enumerate(some):
            for file in list_files([source.path]):
                found[f"{side}[{number}]/{file.name}"] = sha256_file(file.path)
    return found


def _read_texts(source: TextSource, where: str) -> Iterator[tuple[str, str]]:
    """Location and text of each document that has text."""
    for file in list_files([source.path]):
        for batch in read_file(file, Tally()):
            if "text" not in batch.schema.names:
                hint = "curate the pool first and use its documents"
                raise ConfigError(f"{where}: {source.path}", f"{file.name} contains pages, allowed: text", hint)
            batch = _selected(batch, source, f"{where}: {source.path}")
            for place, text in zip(batch.column("source").to_pylist(), batch.column("text").to_pylist(), strict=True):
                if text and not text.isspace():
                    yield place, text


def _selected(batch: pa.RecordBatch, source: TextSource, where: str) -> pa.RecordBatch:
    """The documents that pass the source's condition on `column`. Raises: ConfigError if there is no such column."""
    if source.column is None:
        return batch
    if source.column not in batch.schema.names:
        there = ", ".join(n for n in batch.schema.names if not n.startswith("_"))
        raise ConfigError(where, f"no column {source.column}, found: {there}")
    values = batch.column(source.column)
    numeric = pa.types.is_floating(values.type) or pa.types.is_integer(values.type)
    if numeric == (source.equals is not None):
        needed = "text for `equals`, numbers for `min` and `max`"
        raise ConfigError(where, f"column {source.column} is {values.type}, allowed: {needed}")
    keep = pc.is_valid(values)
    if source.equals is not None:
        keep = pc.and_(keep, pc.equal(values, source.equals))
    if source.min is not None:
        keep = pc.and_(keep, pc.greater_equal(values, source.min))
    if source.max is not None:
        keep = pc.and_(keep, pc.less_equal(values, source.max))
    return batch.filter(keep)


class Drawn(NamedTuple):
    """A document of a source. Documents sort by their draw: a random order determined by the seed."""

    draw: float
    place: str
    """Unique: name and number of the source, file, and position in it."""
    text: str


def draw_texts(source: TextSource, where: str, seed: int) -> list[Drawn]:
    """The documents that a source selects; all are held in memory.

    Raises: DataError if it has no document, ConfigError if it has pages instead of text.
    """
    found = (
        Drawn(random_fraction(seed, "classifier", f"{where} {place}"), f"{where} {place}", text)
        for place, text in _read_texts(source, where)
    )
    taken = list(found) if source.max_documents is None else heapq.nsmallest(source.max_documents, found)
    if not taken:
        raise DataError(f"{where}: {source.path}", "found no document with text", "check the file")
    return taken
