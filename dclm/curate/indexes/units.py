"""The units of work of an index: keys of one file of documents, the sorted keys of one partition, a filter."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import num_true
from dclm.core.errors import ConfigError
from dclm.core.record import read_record
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import consumed, unit_files
from dclm.core.stores.cache import scratch_directory
from dclm.core.stores.store import join
from dclm.curate.exchange.keys import KeyWriter, map_partition
from dclm.curate.exchange.pieces import pieces
from dclm.curate.output.files import write_tables
from dclm.curate.step import Context
from dclm.dedup.bloom.filter import Size, empty_filter, size_for
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.bloom.stored import FILTER, merged, number, stored_size, write_filter
from dclm.dedup.index.blocks import SUFFIX, block_sums, no_sums
from dclm.dedup.index.indexed import PARTITIONS, KeyIndexed
from dclm.dedup.index.relation import with_sums
from dclm.pool.files import InputFile
from dclm.pool.read import Tally, read_file


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexUnit:
    """One file of documents."""

    fingerprint: str
    directory: str
    number: int
    file: InputFile


@dataclasses.dataclass(frozen=True, kw_only=True)
class MergeUnit:
    """One partition of one relation."""

    fingerprint: str
    directory: str
    partition: int
    sources: tuple[str, ...]
    with_documents: bool
    """Whether keys name their documents, or only exist."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class FilterUnit:
    """All documents of a filter, which is filled in their order."""

    fingerprint: str
    directory: str
    files: tuple[InputFile, ...]
    include: tuple[str, ...]
    room: int | None


def relation_file(directory: str, relation: str) -> str:
    """Location of the keys of one file of documents."""
    return join(directory, f"{relation}.keys")


def documents_of_file(file: InputFile, tally: Tally) -> Iterator[pa.RecordBatch]:
    """The batches of a file without rejects, which `tally.skipped` counts; one empty batch for an empty file.

    Raises: ConfigError if the records are pages.
    """
    for batch in read_file(file, tally):
        if "text" not in batch.schema.names:
            raise ConfigError(
                file.name, "contains pages, allowed: documents with a text", "extract their text with `dclm curate`"
            )
        bad = pc.is_valid(batch.column("_reject"))
        rejected = num_true(bad)
        tally.skipped["rejected"] = tally.skipped.get("rejected", 0) + rejected
        yield batch.filter(pc.invert(bad))


def run_index_unit(step: KeyIndexed, unit: IndexUnit) -> Outcome:
    """Write the keys of a file's documents, and the sets by which matches are compared."""
    tally = Tally()
    context = Context()
    emit_sets = step.index_sets(context)
    documents = 0
    with unit_files(unit.directory) as (directory, outcome):
        with contextlib.ExitStack() as stack:
            writers = [
                stack.enter_context(KeyWriter(directory / f"{name}.keys", unit.number, emit, PARTITIONS))
                for name, emit in step.index_keys(context).items()
            ]
            sets = None if emit_sets is None else stack.enter_context(_SetWriter(directory / "sets.arrow"))
            for batch in _at_least_one(documents_of_file(unit.file, tally)):
                documents += batch.num_rows
                for writer in writers:
                    writer.write(batch)
                if sets is not None and emit_sets is not None:
                    sets.write(with_sums(emit_sets(batch)))
        outcome |= {"documents": documents, "rejected": tally.skipped.get("rejected", 0)}
        outcome["damage"] = [f"{unit.file.name}: {d}" for d in tally.damage]
    return consumed(outcome, ".keys")


def _at_least_one(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    first = next(batches, None)
    if first is None:
        names = ("id", "url", "date", "source", "text")
        columns = {name: pa.array([], pa.string()) for name in names}
        first = pa.RecordBatch.from_pydict(columns | {"_row": pa.array([], pa.int64())})
    yield first
    yield from batches


class _SetWriter:
    """Writes batches as they arrive."""

    def __init__(self, path: Path) -> None:
        self._sink = pa.OSFile(str(path), "wb")
        self._writer: pa.RecordBatchFileWriter | None = None

    def __enter__(self) -> _SetWriter:
        return self

    def write(self, batch: pa.RecordBatch) -> None:
        if self._writer is None:
            self._writer = pa.ipc.new_file(self._sink, batch.schema)
        self._writer.write_batch(batch)

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        if self._writer is not None:
            self._writer.close()
        self._sink.close()


def run_merge(unit: MergeUnit) -> Outcome:
    """Sort the keys of one partition; equal keys are merged unless they name their documents."""
    count = 0
    sums = [no_sums()]

    def sorted_keys(near: Path) -> Iterator[pa.Table]:
        nonlocal count
        for place, piece in enumerate(pieces(map_partition(unit.sources, unit.partition, PARTITIONS, near))):
            table = piece if unit.with_documents else distinct_keys(piece)
            count += table.num_rows
            sums.append(block_sums(place, table))
            yield table

    with unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        write_tables(directory / f"{unit.partition:04d}.arrow", sorted_keys(near))
        write_tables(directory / f"{unit.partition:04d}{SUFFIX}", [pa.concat_tables(sums)])
        outcome["keys"] = count
    return outcome


def distinct_keys(piece: pa.Table) -> pa.Table:
    """The different keys (and checks) of a table, in order, without the documents that have them."""
    names = [name for name in ("key", "check") if name in piece.column_names]
    values = [piece.column(name).to_numpy() for name in names]
    order = np.lexsort(values[::-1])
    new = np.ones(len(order), np.bool_)
    new[1:] = False
    for column in values:
        new[1:] |= column[order][1:] != column[order][:-1]
    return piece.select(names).take(order[new])


def run_filter(step: Bloom, unit: FilterUnit) -> Outcome:
    """Run the step over all documents and keep its filter."""
    context = Context()
    measure = step.measure(context)
    total = sum(measure(batch) for file in unit.files for batch in documents_of_file(file, Tally()))
    before = sum(number(read_record(address), "keys") for address in unit.include)
    room = max(total + before, unit.room or 0)
    if unit.include:
        size: Size = stored_size(unit.include[0])
        words = merged(unit.include, total, step.name)
        room = number(read_record(unit.include[0]), "room")
    else:
        size = size_for(room, step.fp_rate)
        step.check_memory(size, room, 0)
        words = empty_filter(size)
    deduplicate = step.into(words, size.probes)
    tally = Tally()
    documents = 0
    damage: list[str] = []
    for file in unit.files:
        tally.damage.clear()
        for batch in documents_of_file(file, tally):
            documents += batch.num_rows
            deduplicate(batch)
        damage += [f"{file.name}: {d}" for d in tally.damage]
    documents += sum(number(read_record(address), "documents") for address in unit.include)
    with unit_files(unit.directory) as (directory, outcome):
        write_filter(directory / FILTER, words)
        outcome |= {"documents": documents, "rejected": tally.skipped.get("rejected", 0), "keys": total + before}
        outcome |= {"room": room, "blocks": size.blocks, "probes": size.probes, "damage": damage}
    return outcome
