"""One run of a pipeline over a pool: the units of every segment in order, and the record of their outcomes."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import cast

from dclm.core.packed import Packed
from dclm.core.record import Record, fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import FILES, Workspace
from dclm.core.storage import is_local
from dclm.core.stores.store import copy, join
from dclm.curate.cost import Meter
from dclm.curate.exchange.decision import Decided, Exchange
from dclm.curate.exchange.keys import partitions_for
from dclm.curate.global_step import Global
from dclm.curate.options import VERSION, CurateOptions
from dclm.curate.output.account import Account
from dclm.curate.output.gather import Parts, assemble
from dclm.curate.output.tally import READER
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.segments import Segment, segments
from dclm.curate.step import Context, Ordered
from dclm.curate.worker import KEYS, CurateUnit, SegmentJob, Shard, documents_in, run_unit, shard_prints
from dclm.dedup.memory import check_together
from dclm.pool.archives.warc_part import Seam
from dclm.pool.files import InputFile
from dclm.pool.units import Unit as Input
from dclm.pool.units import without_bad_seams


class Execution:
    """The units of every segment, in order."""

    def __init__(
        self,
        bound: BoundPipeline,
        files: Sequence[InputFile],
        hashes: Mapping[str, str],
        inputs: Sequence[Input],
        options: CurateOptions,
        space: Workspace,
        kept: Workspace | None = None,
        cuts: Collection[int] = (),
    ) -> None:
        """hashes: identity of each file, by its name. inputs: the input of each unit of the first segment.

        kept: a cache for the units of all segments but the last. cuts: see `segments`.
        """
        self.bound, self.files, self.hashes, self.options, self.space = bound, files, hashes, options, space
        self.kept = kept
        self.inputs = list(inputs)
        self.segments = segments(bound.pipeline.steps, cuts)
        self.context = Context(seed=options.seed, files=self._shipped_files(), hashes=bound.hashes)
        self.account = Account(bound=bound, files=files, options=options)
        self.results = self.account.results
        self.info = self.account.info
        self.tables: dict[str, str] = {}
        self.meter = Meter()

    def run(self, identity: str, pool: str) -> Record:
        """Run everything."""
        prints: list[str] = []
        documents: list[str] = []
        parts = [Parts()] * len(self.inputs)
        for segment in self.segments:
            units, decided = self._units(segment, prints, documents)
            outcomes = self._run_segment(segment, units)
            if segment.index == 0 and self._mend_seams(outcomes):
                units, decided = self._units(segment, prints, documents)
                outcomes = self._run_segment(segment, units)
            self.meter.look(outcomes.values())
            found: Packed[int] = Packed()
            for outcome in outcomes.values():
                found.update({int(shard): result for shard, result in outcome["shards"].items()})
            self.results.append(found.in_order())
            owner = {shard.index: number for number, unit in enumerate(units) for shard in unit.shards}
            prints = shard_prints(units)
            stems = [f"{units[owner[i]].directory}/{i:05d}" for i in range(len(self.inputs))]
            documents = [f"{stem}.documents.parquet" for stem in stems]
            parts = [p.plus(stem) for p, stem in zip(parts, stems, strict=True)]
            if segment is self.segments[-1]:
                parts = [self._part(part, prints[i], i, outcomes[owner[i]]) for i, part in enumerate(parts)]
            self.account.check(self.space.out, stems)
            if decided is not None:
                self.info[f"{segment.first - 1}:{segment.head.name if segment.head else ''}"] = decided.info
        files = assemble(self.space, parts, self.tables, self.options.shard_bytes)
        used = [space.used for space in (self.space, self.kept) if space is not None]
        cost = self.meter.cost(outcome for units in used for outcome in units.values())
        return self.account.record(files, identity, pool, cost)

    def _space(self, segment: Segment) -> Workspace:
        """Where the units of a segment go: the last segment's are part of the artifact."""
        return self.space if self.kept is None or segment is self.segments[-1] else self.kept

    def _mend_seams(self, outcomes: Packed[int]) -> bool:
        """Read whole archives that turned out not to be divided between two records; returns whether there were any."""
        found = (outcome["shards"][str(i)]["seam"] for i, outcome in outcomes.items())
        seams = [None if seam is None else Seam(*seam) for seam in found]
        before, self.inputs = self.inputs, without_bad_seams(self.inputs, seams)
        return self.inputs != before

    def _part(self, part: Parts, print_: str, index: int, outcome: Outcome) -> Parts:
        """Record the information about a shard's documents that gathering needs."""
        read = next(c for c in self.results[0][index]["counts"] if c["index"] == READER)
        return dataclasses.replace(
            part,
            fingerprint=print_,
            documents=_file(outcome, part.stems[-1]),
            rows=self.results[-1][index]["documents"],
            records=read["documents_in"],
            schema=self.results[-1][index]["schema"],
        )

    def _shipped_files(self) -> Mapping[str, str]:
        """Where workers find the steps' files: next to the work, if they share no disk with this process."""
        if is_local(self.space.out) or self.space.engine.on_this_machine:
            return self.bound.files
        shipped = dict(self.bound.files)
        for name, address in shipped.items():
            if is_local(address) and Path(address).is_file():
                shipped[name] = join(self.space.work, "files", self.bound.hashes[name][:16], Path(address).name)
                copy(address, shipped[name])
        return shipped

    def _units(
        self, segment: Segment, prints: list[str], documents: list[str]
    ) -> tuple[list[CurateUnit], Decided | None]:
        """The segment's units; if its head is Global, its decision is made first."""
        space = self._space(segment)
        root = join(space.work, "units" if space is self.kept else f"segment-{segment.index}")
        own = self.bound.identity(segment.first, segment.last)
        tail = "" if segment.tail is None else self.bound.identity(segment.last, segment.last + 1)  # emits or measures
        final = segment is self.segments[-1]
        how = [final, segment.stored, self._num_partitions(segment)]
        identity = fingerprint([VERSION, segment.first, own, tail, *how])
        if segment.index == 0:
            return [self._input_unit(root, identity, i, files) for i, files in enumerate(self.inputs)], None
        if segment.head is None:
            found = [Shard(index=i, documents=d) for i, d in enumerate(documents)]
            return [_unit(root, s, fingerprint([identity, prints[s.index]])) for s in found], None
        head = self.bound.identity(segment.first - 1, segment.first)
        if isinstance(segment.head, Ordered):
            return self._ordered_units(segment.head, root, [identity, head], prints, documents), None
        exchange = self._exchange(segment.index, segment.first - 1, prints, documents)
        keys = [f"{d.removesuffix('.documents.parquet')}{KEYS}" for d in documents]
        decided = exchange.shuffle_and_decide(segment.head, keys)
        for name, address in decided.tables.items():
            self.tables[f"{segment.first - 1:02d}-{segment.head.name}.{name}"] = address
        shards = [Shard(index=i, documents=d, decision=decided.of(i)) for i, d in enumerate(documents)]
        units = [_unit(root, s, fingerprint([identity, exchange.fingerprint, prints[s.index]])) for s in shards]
        return units, decided

    def _input_unit(self, root: str, identity: str, index: int, files: Input) -> CurateUnit:
        limits = tuple(self._limits[file.name] for file in files) if self._limits else ()
        read = [[self.hashes[f.name], f.name, f.part and list(f.part), f.first_line, f.added_columns] for f in files]
        key = fingerprint([identity, self.options.seed, read, list(limits)])
        return _unit(root, Shard(index=index, files=files, limits=limits), key)

    def _exchange(self, segment: int, index: int, prints: list[str], documents: list[str]) -> Exchange:
        identity = fingerprint([self.bound.identity(index, index + 1), prints])
        space, folder = self.space, f"segment-{segment}"
        if self.kept is not None:
            space, folder = self.kept, "units"
        return Exchange(
            space=space,
            directory=join(space.work, folder, f"exchange-{identity[:16]}"),
            fingerprint=identity,
            documents=tuple(documents),
            context=self.context,
        )

    def _ordered_units(
        self, head: Ordered, root: str, identity: list[str], prints: list[str], documents: list[str]
    ) -> list[CurateUnit]:
        measured = [self.results[-1][i]["measured"] for i in range(len(documents))]
        units = []
        for partition in range(head.partitions):
            members = range(partition, len(documents), head.partitions)
            total = sum(int(str(measured[i])) for i in members)
            key = fingerprint([*identity, partition, total, [prints[i] for i in members]])
            shards = tuple(Shard(index=i, documents=documents[i]) for i in members)
            directory = f"{root}/{key[:16]}"
            units.append(
                CurateUnit(fingerprint=key, directory=directory, shards=shards, partition=partition, total=total)
            )
        return [u for u in units if u.shards]

    def _run_segment(self, segment: Segment, units: Sequence[CurateUnit]) -> Packed[int]:
        """The outcome of every unit, in order; runs unfinished units."""
        job = SegmentJob(
            segment=segment,
            context=self.context,
            num_partitions=self._num_partitions(segment),
            final=segment is self.segments[-1],
            identity=fingerprint([segment.first, self.bound.identity(segment.first, segment.last), self.options.seed]),
        )
        space = self._space(segment)
        if isinstance(segment.head, Ordered) and space.engine.on_this_machine:
            needs = [segment.head.holds(u.total) for u in units if u.fingerprint not in space.finished]
            check_together(segment.head.name, needs, space.engine.workers)
        label = " → ".join(s.name for s in segment.steps[:1] + segment.steps[-1:]) or "apply"
        reused = space.num_reused
        done = space.run_units(
            partial(run_unit, job),
            units,
            f"curate {segment.index + 1}/{len(self.segments)}: {label}",
            total=len(units),
            items=documents_in,
            one_gpu_each=segment.wants_gpus(self.space.engine.gpus),
            need_consumed=isinstance(segment.tail, Global) and not self._is_decided(segment, units),
        )
        outcomes: Packed[int] = Packed()
        for finished in done:
            outcomes[finished.index] = finished.outcome
        if space is self.kept and (reused := space.num_reused - reused):
            space.say(f"{space.out}: reused {reused:,} of {len(units):,} units, {_range(segment)}")
        return outcomes.in_order()

    def _num_partitions(self, segment: Segment) -> int:
        return partitions_for(segment.tail, len(self.inputs)) if isinstance(segment.tail, Global) else 0

    def _is_decided(self, segment: Segment, units: Sequence[CurateUnit]) -> bool:
        """Whether the decision on the keys of these units is made. If so, their keys are gone, otherwise they are
        needed."""
        exchange = self._exchange(segment.index + 1, segment.last, shard_prints(units), [])
        return exchange.space.require_intact(exchange.decision)

    @cached_property
    def _limits(self) -> dict[str, int]:
        """Name of each file → maximum number of records to read from it; empty: everything."""
        if self.options.limit is None:
            return {}
        each, rest = divmod(self.options.limit, len(self.files))
        return {file.name: each + (i < rest) for i, file in enumerate(self.files)}


def _range(segment: Segment) -> str:
    """The steps of a segment, as `dclm show` numbers them; its head decides in it."""
    first = segment.first - (segment.head is not None)
    last = segment.last - 1
    return f"steps {first} to {last}" if last > first else f"step {first}"


def _unit(root: str, shard: Shard, key: str) -> CurateUnit:
    return CurateUnit(fingerprint=key, directory=f"{root}/{key[:16]}", shards=(shard,))


def _file(outcome: Outcome, stem: str) -> tuple[int, str]:
    """Bytes and sha256 of a shard's documents, as published by its unit."""
    name = f"{stem.rpartition('/')[2]}.documents.parquet"
    size, digest = cast(Mapping[str, tuple[int, str]], outcome[FILES])[name]
    return size, digest
