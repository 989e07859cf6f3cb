"""One run of a pipeline over a pool: the units of every segment in order, and the record of what came of them."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, cast

from dclm.core.errors import DataError
from dclm.core.journal import Outcome
from dclm.core.record import FileEntry, Record, canonical, fingerprint
from dclm.core.stage import FILES, Workspace
from dclm.core.storage import is_local, sha256_file
from dclm.core.store import copy, join, local_file, open_store
from dclm.curate.cost import Meter
from dclm.curate.exchange import Decided, Exchange
from dclm.curate.gather import Parts, entries, gather_shard
from dclm.curate.options import VERSION, CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.segments import Segment, segments
from dclm.curate.step import Context, Global, Ordered
from dclm.curate.tally import READER, StepCount, sum_counts
from dclm.curate.worker import KEYS, Job, Shard, Unit, documents_in, run_unit, shard_prints
from dclm.dedup.memory import check_together
from dclm.documents.ledger import reasons
from dclm.pool.files import InputFile, PoolFiles

_NAMED = 100  # of the files that were not read, so many names are in the record


class Execution:
    """The units of every segment, in order."""

    def __init__(
        self,
        bound: BoundPipeline,
        files: Sequence[InputFile],
        hashes: Sequence[str],
        options: CurateOptions,
        space: Workspace,
    ) -> None:
        self.bound, self.files, self.hashes, self.options, self.space = bound, files, hashes, options, space
        self.segments = segments(bound.pipeline.steps)
        self.context = Context(seed=options.seed, files=self._shipped_files(), hashes=bound.hashes)
        self.results: list[dict[int, Mapping[str, Any]]] = []
        """Of each segment: shard → what came of it."""
        self.info: dict[str, object] = {}
        self.tables: dict[str, str] = {}
        self.meter = Meter()

    def run(self, identity: str, pool: str) -> Record:
        """Do all of it."""
        prints: list[str] = []
        documents: list[str] = []
        parts = [Parts(index=i, directory=self.space.out) for i in range(len(self.files))]
        for segment in self.segments:
            units, decided = self._units(segment, prints, documents)
            outcomes = self._run_segment(segment, units)
            self.meter.look(outcomes)
            self.results.append({int(k): v for o in outcomes for k, v in cast(dict[str, Any], o["shards"]).items()})
            owner = {s.index: (u, o) for u, o in zip(units, outcomes, strict=True) for s in u.shards}
            prints = shard_prints(units)
            stems = [f"{owner[i][0].directory}/{i:05d}" for i in range(len(self.files))]
            documents = [f"{stem}.documents.parquet" for stem in stems]
            parts = [p.plus(stem) for p, stem in zip(parts, stems, strict=True)]
            if segment is self.segments[-1]:
                parts = [
                    dataclasses.replace(
                        part,
                        fingerprint=fingerprint(["gather", prints[part.index], part.index]),
                        documents=_file(owner[part.index][1], part.stems[-1]),
                    )
                    for part in parts
                ]
            self._check_read(stems)
            if decided is not None:
                self.info[f"{segment.first - 1}:{segment.head.name if segment.head else ''}"] = decided.info
        return self._record(self._gather(parts), identity, pool)

    def _shipped_files(self) -> Mapping[str, str]:
        """Where workers find the steps' files: beside the work, where they share no disk with this process."""
        if is_local(self.space.out) or self.space.engine.on_this_machine:
            return self.bound.files
        shipped = dict(self.bound.files)
        for name, address in shipped.items():
            if is_local(address) and Path(address).is_file():
                shipped[name] = join(self.space.work, "files", self.bound.hashes[name][:16], Path(address).name)
                copy(address, shipped[name])
        return shipped

    def _units(self, segment: Segment, prints: list[str], documents: list[str]) -> tuple[list[Unit], Decided | None]:
        """The segment's units; before them, the decision of a Global head is made."""
        root = join(self.space.work, f"segment-{segment.index}")
        tail = self.bound.identity(segment.last, segment.last + 1)  # what it emits or measures is in the unit too
        identity = fingerprint([VERSION, self.bound.identity(segment.first, segment.last), tail, segment.tail is None])
        if segment.head is None:
            shards = [
                Shard(index=i, file=f, limit=limit)
                for i, (f, limit) in enumerate(zip(self.files, self._limits(), strict=True))
            ]
            keys = [
                fingerprint([identity, self.options.seed, self.hashes[s.index], s.file.name if s.file else "", s.limit])
                for s in shards
            ]
            return [_unit(root, s, key) for s, key in zip(shards, keys, strict=True)], None
        head = self.bound.identity(segment.first - 1, segment.first)
        if isinstance(segment.head, Ordered):
            return self._ordered_units(segment.head, root, [identity, head], prints, documents), None
        exchange = self._exchange(segment.index, segment.first - 1, prints, documents)
        keys = [f"{d.removesuffix('.documents.parquet')}{KEYS}" for d in documents]
        decided = exchange.shuffle_and_decide(segment.head, keys)
        for name, address in decided.tables.items():
            self.tables[f"{segment.first - 1:02d}-{segment.head.name}.{name}"] = address
        shards = [
            Shard(index=i, documents=d, drops=decided.drops, edits=decided.edits) for i, d in enumerate(documents)
        ]
        units = [_unit(root, s, fingerprint([identity, exchange.fingerprint, prints[s.index]])) for s in shards]
        return units, decided

    def _exchange(self, segment: int, index: int, prints: list[str], documents: list[str]) -> Exchange:
        identity = fingerprint([self.bound.identity(index, index + 1), prints])
        return Exchange(
            space=self.space,
            directory=join(self.space.work, f"segment-{segment}", f"exchange-{identity[:16]}"),
            fingerprint=identity,
            documents=tuple(documents),
            context=self.context,
        )

    def _ordered_units(
        self, head: Ordered, root: str, identity: list[str], prints: list[str], documents: list[str]
    ) -> list[Unit]:
        measured = [self.results[-1][i]["measured"] for i in range(len(documents))]
        units = []
        for partition in range(head.partitions):
            members = range(partition, len(documents), head.partitions)
            total = sum(int(str(measured[i])) for i in members)
            key = fingerprint([*identity, partition, total, [prints[i] for i in members]])
            shards = tuple(Shard(index=i, documents=documents[i]) for i in members)
            directory = f"{root}/{key[:16]}"
            units.append(Unit(fingerprint=key, directory=directory, shards=shards, partition=partition, total=total))
        return [u for u in units if u.shards]

    def _run_segment(self, segment: Segment, units: Sequence[Unit]) -> list[Outcome]:
        """What came of every unit, in order; what is not finished is run."""
        job = Job(
            segment=segment,
            context=self.context,
            final=segment is self.segments[-1],
            identity=fingerprint([segment.first, self.bound.identity(segment.first, segment.last), self.options.seed]),
        )
        if isinstance(segment.head, Ordered) and self.space.engine.on_this_machine:
            needs = [segment.head.holds(u.total) for u in units if u.fingerprint not in self.space.finished]
            check_together(segment.head.name, needs, self.space.engine.workers)
        label = " → ".join(s.name for s in segment.steps[:1] + segment.steps[-1:]) or "apply"
        done = self.space.run_units(
            partial(run_unit, job),
            units,
            f"curate {segment.index + 1}/{len(self.segments)}: {label}",
            total=len(units),
            items=documents_in,
            need_consumed=isinstance(segment.tail, Global) and not self._is_decided(segment, units),
        )
        outcomes = {d.index: d.outcome for d in done}
        return [outcomes[index] for index in range(len(units))]

    def _is_decided(self, segment: Segment, units: Sequence[Unit]) -> bool:
        """Whether the decision on what these units emit is made. Then their keys are gone, else they are needed."""
        exchange = self._exchange(segment.index + 1, segment.last, shard_prints(units), [])
        return exchange.fingerprint in self.space.finished

    def _limits(self) -> list[int | None]:
        if self.options.limit is None:
            return [None] * len(self.files)
        each, rest = divmod(self.options.limit, len(self.files))
        return [each + (i < rest) for i in range(len(self.files))]

    def _counts(self) -> list[StepCount]:
        shards = [found["counts"] for result in self.results for found in result.values()]
        return sum_counts([[StepCount(**c) for c in counts] for counts in shards])

    def _check_read(self, stems: Iterable[str]) -> None:
        counts = self._counts()
        read = next(c.documents_in for c in counts if c.index == READER)
        rejected = sum(c.rejected for c in counts)
        if read == 0:
            damage = [d for found in self.results[0].values() for d in found["damage"]]
            names = ", ".join(f.name for f in self.files[:3])
            raise DataError(names, damage[0] if damage else "holds no records", "is this the file you meant?")
        if rejected > self.options.max_reject_fraction * read:
            allowed = f"allowed: {self.options.max_reject_fraction:.0%}"
            what = f"{rejected:,} of {read:,} records were rejected ({rejected / read:.0%}, {allowed})"
            first = next((r for stem in stems for r in reasons(local_file(f"{stem}.ledger.parquet"))), "")
            what = f"{what}; first: {' '.join(first.split())}" if first else what
            raise DataError(self.space.out, what, "fix the pool, or pass --max-reject-fraction")

    def _gather(self, parts: Sequence[Parts]) -> list[FileEntry]:
        found: list[FileEntry] = []
        for done in self.space.run_units(gather_shard, parts, "gather", total=len(parts)):
            found.extend(entries(done.outcome))
        for name, address in self.tables.items():
            target = join(self.space.out, "tables", name)
            copy(address, target)
            path = local_file(target)
            found.append(FileEntry(path=f"tables/{name}", sha256=sha256_file(path), bytes=path.stat().st_size))
        self._sweep({entry.path for entry in found})
        return sorted(found, key=lambda e: e.path)

    def _sweep(self, mine: set[str]) -> None:
        """Delete files of an earlier artifact at the same place, which had more shards or other tables."""
        store = open_store(self.space.out)
        folders = ("documents", "ledger", "samples", "tables")
        store.delete([key for name in folders for key in store.list(f"{name}/") if key not in mine])

    def _unread(self) -> dict[str, object]:
        """How many files next to those of the pool were not read, and the names of the first."""
        unread = self.files.unread if isinstance(self.files, PoolFiles) else ()
        return {"files": len(unread), "names": list(unread[:_NAMED])}

    def _record(self, files: list[FileEntry], identity: str, pool: str) -> Record:
        counts = self._counts()
        read = next(c.documents_in for c in counts if c.index == READER)
        dropped, rejected = sum(c.dropped for c in counts), sum(c.rejected for c in counts)
        kept = sum(e.rows or 0 for e in files if e.path.startswith("documents/"))
        assert read == kept + dropped + rejected, f"{read} read, but {kept} + {dropped} + {rejected} accounted for"
        skipped: Counter[str] = Counter()
        partial: Counter[str] = Counter()
        for found in self.results[0].values():
            skipped.update(found["skipped"])
            partial.update(found["partial"])
        seconds = {f"{c.index}:{c.step}": round(c.seconds, 3) for c in counts}
        steps = [{k: v for k, v in dataclasses.asdict(c).items() if k != "seconds"} for c in counts]
        pipeline = self.bound.pipeline
        return Record(
            kind="documents",
            name=pipeline.name,
            fingerprint=identity,
            config={
                "steps": canonical(pipeline.steps),
                "files": dict(self.bound.hashes),
                "seed": self.options.seed,
                "limit": self.options.limit,
                "names": [s.name for s in pipeline.steps],
            },
            inputs={"pool": pool},
            counts={
                "read": read,
                "kept": kept,
                "dropped": dropped,
                "rejected": rejected,
                "skipped": dict(skipped),
                "partial": dict(partial),
                "unread": self._unread(),
                "steps": steps,
                "decisions": self.info,
                "pool_bytes": sum(f.size for f in self.files),
            },
            files=tuple(files),
            missing=tuple(d for i in sorted(self.results[0]) for d in self.results[0][i]["damage"]),
            provenance=self.meter.cost(self.space.used.values()) | {"step_seconds": seconds},
        )


def _unit(root: str, shard: Shard, key: str) -> Unit:
    return Unit(fingerprint=key, directory=f"{root}/{key[:16]}", shards=(shard,))


def _file(outcome: Outcome, stem: str) -> tuple[int, str]:
    """Bytes and sha256 of a shard's documents, as its unit published them."""
    name = f"{stem.rpartition('/')[2]}.documents.parquet"
    size, digest = cast(Mapping[str, tuple[int, str]], outcome[FILES])[name]
    return size, digest
