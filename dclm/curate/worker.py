"""One unit of work: one segment × one shard (or one partition of shards, after an Ordered step). Engines only schedule.

A unit is a pure function of its input files and the segment's steps. It publishes, below its own address:

    00012.documents.parquet · 00012.ledger.parquet · 00012.samples.parquet · 00012.quantities.parquet
    00012.keys.arrow (before a Global step)

Its outcome has the counts and damage of each shard, CPU seconds, and bytes and sha256 of each file.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import consumed, unit_files
from dclm.curate.batches import Drops, Flow, Opened, require_text, with_columns
from dclm.curate.exchange.decision import ShardDecision
from dclm.curate.exchange.keys import KeyWriter
from dclm.curate.global_step import Global
from dclm.curate.output.files import DocumentWriter, read_documents, read_table
from dclm.curate.own.blame import blamed
from dclm.curate.segments import Segment
from dclm.curate.step import Context, MapFunction, Ordered
from dclm.documents.ledger import LedgerWriter
from dclm.documents.schema import DOCUMENT
from dclm.extract.guard import cpu_seconds
from dclm.pool.archives.warc_part import Seam
from dclm.pool.files import InputFile
from dclm.pool.read import Tally, read_file
from dclm.text.spans import Spans, without_spans

KEYS = ".keys.arrow"
_LEDGER_BYTES = 32 << 20  # rows of the ledger in memory


@dataclasses.dataclass(frozen=True, kw_only=True)
class Shard:
    """One shard's input to a segment."""

    index: int
    files: tuple[InputFile, ...] = ()
    """Files of the pool (first segment)."""
    limits: tuple[int, ...] = ()
    """Maximum number of records to read from each file; empty: all."""
    documents: str | None = None
    """The previous segment's documents (later segments)."""
    decision: ShardDecision | None = None
    """If the head is Global: its decision."""


@dataclasses.dataclass(kw_only=True)
class ReadStats:
    """Findings in the files of a shard, in addition to the records."""

    skipped: Counter[str] = dataclasses.field(default_factory=Counter)
    partial: Counter[str] = dataclasses.field(default_factory=Counter)
    fields: Counter[str] = dataclasses.field(default_factory=Counter)
    damage: list[str] = dataclasses.field(default_factory=list)
    seam: Seam | None = None

    def add(self, file: InputFile, tally: Tally) -> None:
        """Add what was found in one file."""
        self.skipped.update(tally.skipped)
        self.partial.update(tally.partial)
        self.fields.update(tally.fields)
        self.damage += [f"{file.name}: {damage}" for damage in tally.damage]
        self.seam = tally.seam


@dataclasses.dataclass(frozen=True, kw_only=True)
class SegmentJob:
    """Data shared by all units of one segment."""

    segment: Segment
    context: Context
    identity: str
    num_partitions: int
    """Number of partitions of the keys, if the segment's tail is Global."""
    final: bool
    """The last segment: its output is kept, and `_row` is not written."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class CurateUnit:
    """A unit of work."""

    fingerprint: str
    directory: str
    """Address below which its files are published; named after the fingerprint."""
    shards: tuple[Shard, ...]
    partition: int = 0
    total: int = 0
    """After an Ordered step: the sum of its measure over the partition."""


def shard_prints(units: Iterable[CurateUnit]) -> list[str]:
    """For each shard, in order, the fingerprint of the unit that contains it."""
    owner = {shard.index: unit.fingerprint for unit in units for shard in unit.shards}
    return [owner[index] for index in sorted(owner)]


def run_unit(job: SegmentJob, unit: CurateUnit) -> Outcome:
    """Run the unit and publish its files."""
    with blamed():
        return _run_unit(job, unit)


def _run_unit(job: SegmentJob, unit: CurateUnit) -> Outcome:
    opened = _opened(job.identity, job)
    head: MapFunction | None = None
    if isinstance(job.segment.head, Ordered):
        head = job.segment.head.begin(job.context, unit.total, unit.partition)
    started = cpu_seconds()
    with unit_files(unit.directory) as (directory, outcome):
        shards = outcome["shards"] = {}
        for shard in unit.shards:
            try:
                found = _run_shard(job, shard, opened, head, directory)
            except Exception as error:
                error.add_note(f"shard {shard.index} ({shard.files[0].name if shard.files else shard.documents})")
                raise
            shards[str(shard.index)] = found
    outcome["cpu_seconds"] = round(cpu_seconds() - started, 3)
    return consumed(outcome, KEYS)


def documents_in(outcome: Outcome) -> int:
    """Number of documents that entered a unit, from its outcome."""
    shards = outcome["shards"]
    assert isinstance(shards, dict)
    return sum(o["counts"][0]["documents_in"] for o in shards.values() if o["counts"])


_OPEN: dict[str, list[Opened]] = {}


def _opened(identity: str, job: SegmentJob) -> list[Opened]:
    """Steps are opened once per process; only the latest segment's models stay in memory."""
    if identity not in _OPEN:
        _OPEN.clear()
        _OPEN[identity] = Opened.all(job.segment.steps, job.segment.first, job.context)
    return _OPEN[identity]


def _run_shard(
    job: SegmentJob, shard: Shard, opened: list[Opened], head: MapFunction | None, directory: Path
) -> dict[str, object]:
    flow = Flow(opened, job.context.seed)
    stats = ReadStats()
    segment = job.segment
    measure = segment.tail.measure(job.context) if isinstance(segment.tail, Ordered) else None
    measured = 0
    prefix = directory / f"{shard.index:05d}"
    with (
        _key_writer(job, prefix.with_suffix(KEYS), shard.index) as keys,
        DocumentWriter(prefix.with_suffix(".documents.parquet"), not job.final, whole=segment.stored) as writer,
        LedgerWriter(prefix.with_suffix(".ledger.parquet")) as ledger,
    ):
        for batch in _input(shard, flow, stats, segment, head):
            batch = flow.run(batch)
            require_text(batch, "end of the pipeline")
            if keys is not None:
                keys.write(batch)
            if measure is not None:
                measured += measure(batch)
            if job.final:
                flow.ledger.keep(batch)
            writer.write(batch)
            if flow.ledger.bytes > _LEDGER_BYTES:
                ledger.write(flow.ledger.take())
        ledger.write(flow.ledger.take())
    pq.write_table(flow.ledger.samples(), prefix.with_suffix(".samples.parquet"), compression="zstd")
    pq.write_table(flow.quantities.table(), prefix.with_suffix(".quantities.parquet"), compression="zstd")
    counts = [vars(c) for _, c in sorted(flow.counts.items())]
    return {
        "documents": writer.rows,
        "counts": counts,
        "measured": measured,
        "schema": writer.schema_print,
        "skipped": dict(stats.skipped),
        "partial": dict(stats.partial),
        "fields": dict(stats.fields),
        "damage": stats.damage,
        "seam": stats.seam,
    }


def _key_writer(job: SegmentJob, path: Path, shard: int) -> contextlib.AbstractContextManager[KeyWriter | None]:
    tail = job.segment.tail
    return (
        KeyWriter(path, shard, tail.open(job.context), job.num_partitions)
        if isinstance(tail, Global)
        else contextlib.nullcontext()
    )


def _input(
    shard: Shard, flow: Flow, stats: ReadStats, segment: Segment, head: MapFunction | None
) -> Iterator[pa.RecordBatch]:
    """The shard's batches, at least one, after applying the segment's head."""
    if shard.files:
        yield from _read(shard, flow, stats)
        return
    assert shard.documents is not None
    if segment.head is None:  # after a cut
        yield from read_documents(shard.documents)
        return
    name, index = segment.head.name, segment.first - 1
    drops = edits = None
    if shard.decision is not None:
        drops = Drops(read_table(shard.decision.drops, shard.decision.place))
        if shard.decision.edits is not None:
            edits = Spans.of(read_table(shard.decision.edits, shard.decision.place))
    for batch in read_documents(shard.documents):
        count = flow.count(name, index)
        count.enter(batch.num_rows, flow.size(batch))
        if drops is not None:
            batch = flow.drop(batch, drops.among(batch), name, count, drops.why)
            if shard.decision is not None and shard.decision.columns is not None:
                batch = with_columns(batch, read_table(shard.decision.columns, shard.decision.place))
            if edits is not None:
                batch = flow.mapped(batch, without_spans(batch, edits), name, count)
        elif head is not None:
            batch = flow.mapped(batch, head(batch), name, count)
        count.exit(flow.size(batch))
        yield batch


def _read(shard: Shard, flow: Flow, stats: ReadStats) -> Iterator[pa.RecordBatch]:
    """The records of all files, with `_row` counted across them."""
    row = 0
    for number, file in enumerate(shard.files):
        tally = Tally()
        left = shard.limits[number] if shard.limits else None
        for batch in read_file(file, tally) if left != 0 else ():
            batch = batch if left is None else batch.slice(0, left)
            rows = pa.array(np.arange(row, row + batch.num_rows, dtype=np.int64))
            yield flow.read(batch.set_column(batch.schema.get_field_index("_row"), "_row", rows))
            row += batch.num_rows
            if left is not None:
                left -= batch.num_rows
                if left <= 0:
                    break
        stats.add(file, tally)
    if not row:
        yield flow.read(_empty(DOCUMENT))  # extraction passes documents through unchanged


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    schema = schema.append(pa.field("_row", pa.int64()))
    return pa.RecordBatch.from_pylist([], schema=schema)
