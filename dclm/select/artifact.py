"""Artifacts of models trained on text files: made once, and reused until something they depend on changes."""

from __future__ import annotations

import heapq
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import to_list
from dclm.core.draw import random_fraction
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Kind, Record, describe_files, fingerprint
from dclm.core.stages.engine import SerialEngine
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stage import Workspace, run_stage, unit_files
from dclm.pool.files import InputFile, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.recorded import intact_hash, require_unchanged, stamps
from dclm.select.classifier.spec import TextSource


def make_artifact(
    out: Path | str,
    kind: Kind,
    config: Mapping[str, object],
    sources: Mapping[str, Sequence[TextSource]],
    fit: Callable[[Path], Mapping[str, object]],
    inputs: Mapping[str, str] | None = None,
    *,
    missing: Sequence[str] | None = None,
    force: bool = False,
) -> Record:
    """Make the artifact at `out`, or reuse one of the same fingerprint; returns its record.

    config: everything that determines the bytes, without paths. inputs: role → sha256 of each input besides `sources`.
    fit: writes the files into a directory and returns the counts for the record. force: replace an artifact that other
    settings made. missing: what `fit` could not read, filled by it.

    Raises: DataError if a file of the sources differs from the record of its artifact, or changes while it is read.
    """
    started, cpu = time.time(), time.process_time()
    read = _files(sources)
    before = stamps(list(read.values()))
    content = {role: intact_hash(file.path) for role, file in read.items()}
    hashes = {**content, **(inputs or {})}
    identity = fingerprint({"config": config, "inputs": hashes})

    def make(space: Workspace) -> Record:
        with unit_files(space.out) as (directory, _):
            counts = fit(directory)
            require_unchanged(list(read.values()), before, list(content.values()))
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
            missing=tuple(missing or ()),
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


def _files(sources: Mapping[str, Sequence[TextSource]]) -> dict[str, InputFile]:
    """Role → each file of every source."""
    return {
        f"{side}[{number}]/{file.name}": file
        for side, some in sources.items()
        for number, source in enumerate(some)
        for file in list_files([source.path])
    }


def _read_texts(source: TextSource, where: str) -> Iterator[tuple[str, str]]:
    """Location and text of each document that has text. Raises: DataError for a damaged file or a bad record."""
    for file in list_files([source.path]):
        tally = Tally()
        for batch in read_file(file, tally):
            if "text" not in batch.schema.names:
                hint = "curate the pool first and use its documents"
                raise ConfigError(f"{where}: {source.path}", f"{file.name} contains pages, allowed: text", hint)
            reject = batch.column("_reject")
            if reject.null_count < len(reject):
                row = int(pc.index(pc.is_valid(reject), pa.scalar(True)).as_py())
                raise DataError(file.path, f"{batch.column('source')[row]}: {reject[row]}", "fix the file")
            batch = _selected(batch, source, f"{where}: {source.path}")
            for place, text in zip(to_list(batch.column("source")), to_list(batch.column("text")), strict=True):
                if text and not text.isspace():
                    yield place, text
        if tally.damage:
            raise DataError(file.path, tally.damage[0], "fix the file, or copy it again if it was truncated")


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
        keep = pc.and_(keep, pc.equal(values, pa.scalar(source.equals)))
    if source.min is not None:
        keep = pc.and_(keep, pc.greater_equal(values, pa.scalar(source.min)))
    if source.max is not None:
        keep = pc.and_(keep, pc.less_equal(values, pa.scalar(source.max)))
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
