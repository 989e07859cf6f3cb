"""The curate stage: a pool through a pipeline to a documents artifact, resumable by unit of work.

    OUT/record.json · documents/NNNNN.parquet · ledger/NNNNN.parquet · samples/NNNNN.parquet · tables/STEP.NAME.parquet

Everything is made in OUT/.work and linked into place at the end; a run that was killed goes on from its last unit.
"""

from __future__ import annotations

import dataclasses
import shutil
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

from dclm.core.engine import Engine
from dclm.core.errors import DataError
from dclm.core.progress import Progress, Silent
from dclm.core.record import (
    RECORD,
    FileEntry,
    Record,
    canonical,
    describe_files,
    find_record,
    fingerprint,
    provenance,
    write_record,
)
from dclm.core.storage import remove_temporary
from dclm.curate.cost import Meter
from dclm.curate.exchange import Exchange
from dclm.curate.files import finished
from dclm.curate.gather import Parts, gather_shard
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.segments import Segment, segments
from dclm.curate.step import Context, Global, Ordered
from dclm.curate.tally import READER, StepCount, sum_counts
from dclm.curate.worker import KEYS, Job, Shard, Unit, documents_in, run_unit, shard_prints
from dclm.dedup.memory import check_together
from dclm.documents.ledger import reasons
from dclm.pool.files import InputFile, file_identity

WORK = ".work"
VERSION = 3
"""Of the readers, the features and the engine: raise it when their bytes change. Steps have versions of their own."""


def curate(
    bound: BoundPipeline,
    files: Sequence[InputFile],
    out: Path,
    options: CurateOptions,
    engine: Engine,
    progress: Progress | None = None,
) -> Record:
    """Run the pipeline over the pool and commit the documents artifact at `out`; reuse it if it is there already.

    Raises: DataError if the pool holds no records or too many rejects; what a step raises, with shard and rows noted.
    The record names damaged files in `missing`: later stages refuse the artifact unless told otherwise.
    """
    started = time.time()
    out = out.resolve()  # workers on a cluster stand elsewhere
    run = _Run(bound, files, out, options, engine, progress or Silent())
    reused = find_record(out, run.fingerprint)
    if reused is not None:
        shutil.rmtree(out / WORK, ignore_errors=True)  # of a run that was killed after its record was written
        return reused
    (out / RECORD).unlink(missing_ok=True)
    remove_temporary(out)
    record = run.execute(started)
    remove_temporary(out)
    write_record(out, record)
    shutil.rmtree(out / WORK)
    return record


class _Run:
    """One execution: the units of every segment, in order."""

    def __init__(
        self,
        bound: BoundPipeline,
        files: Sequence[InputFile],
        out: Path,
        options: CurateOptions,
        engine: Engine,
        progress: Progress,
    ) -> None:
        self.bound, self.files, self.out, self.options = bound, files, out, options
        self.engine, self.progress = engine, progress
        self.segments = segments(bound.pipeline.steps)
        self.context = Context(seed=options.seed, files=bound.files)
        self.hashes = self._hash_files()
        self.steps = bound.identity(0, len(bound.pipeline.steps))
        self.pool = fingerprint([[f.name, h] for f, h in zip(files, self.hashes, strict=True)])
        self.fingerprint = fingerprint(["curate", VERSION, self.steps, self.pool, options.seed, options.limit])
        self.results: list[dict[int, Mapping[str, object]]] = []
        self.info: dict[str, object] = {}
        self.tables: dict[str, Path] = {}
        self.meter = Meter(out / WORK)

    def _hash_files(self) -> list[str]:
        self.progress.start("hash the pool", len(self.files), "files")
        hashes = [""] * len(self.files)
        for index, value in self.engine.map(file_identity, self.files):
            hashes[index] = value
            self.progress.advance()
        self.progress.finish()
        return hashes

    def execute(self, started: float) -> Record:
        prints: list[str] = []
        documents: list[str] = []
        parts = [Parts(index=i) for i in range(len(self.files))]
        for segment in self.segments:
            units, decision = self._units(segment, prints, documents)
            outcome = self._run_segment(segment, units)
            self.results.append(outcome)
            self.meter.look()
            owner = {s.index: u for u in units for s in u.shards}
            prints = shard_prints(units)
            stems = [f"{owner[i].directory}/{i:05d}" for i in range(len(self.files))]
            documents = [f"{stem}.documents.parquet" for stem in stems]
            parts = [p.plus(stem) for p, stem in zip(parts, stems, strict=True)]
            self._check_read()
            if decision is not None:
                self.info[f"{segment.first - 1}:{segment.head.name if segment.head else ''}"] = decision
        entries = self._gather(parts)
        return self._record(entries, started)

    def _units(
        self, segment: Segment, prints: list[str], documents: list[str]
    ) -> tuple[list[Unit], Mapping[str, object] | None]:
        """The segment's units; before them, the decision of a Global head is made."""
        root = self.out / WORK / f"segment-{segment.index}"
        tail = self.bound.identity(segment.last, segment.last + 1)  # what it emits or measures stands in the unit too
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
        exchange = Exchange(
            directory=root,
            fingerprint=self._decision_print(segment.first - 1, prints),
            documents=tuple(documents),
            context=self.context,
            engine=self.engine,
            progress=self.progress,
        )
        stems = [d.removesuffix(".documents.parquet") for d in documents]
        settled = exchange.settle(segment.head, [f"{stem}{KEYS}" for stem in stems])
        decision = root / "decision"
        for path in sorted(decision.glob("*.parquet")):
            self.tables[f"{segment.first - 1:02d}-{segment.head.name}.{path.name}"] = path
        drops = str(decision / "drops.arrow")
        edits = tuple(str(path) for path in sorted(decision.glob("edits-*.arrow")))
        shards = [Shard(index=i, documents=d, drops=drops, edits=edits) for i, d in enumerate(documents)]
        units = [_unit(root, s, fingerprint([identity, exchange.fingerprint, prints[s.index]])) for s in shards]
        info = settled["info"]
        assert isinstance(info, Mapping)
        return units, info

    def _ordered_units(
        self, head: Ordered, root: Path, identity: list[str], prints: list[str], documents: list[str]
    ) -> list[Unit]:
        measured = [self.results[-1][i]["measured"] for i in range(len(documents))]
        units = []
        for partition in range(head.partitions):
            members = range(partition, len(documents), head.partitions)
            total = sum(int(str(measured[i])) for i in members)
            key = fingerprint([*identity, partition, total, [prints[i] for i in members]])
            shards = tuple(Shard(index=i, documents=documents[i]) for i in members)
            directory = str(root / f"partition-{partition:05d}")
            units.append(Unit(fingerprint=key, directory=directory, shards=shards, partition=partition, total=total))
        return [u for u in units if u.shards]

    def _run_segment(self, segment: Segment, units: Sequence[Unit]) -> dict[int, Mapping[str, object]]:
        """Run what is not finished; gives every shard's outcome."""
        job = Job(
            segment=segment,
            context=self.context,
            final=segment is self.segments[-1],
            identity=fingerprint([segment.first, self.bound.identity(segment.first, segment.last), self.options.seed]),
        )
        done = [finished(Path(u.directory), u.fingerprint) for u in units]
        if isinstance(segment.tail, Global) and not self._is_settled(segment, units):
            done = [d if d is None or u.has_keys else None for d, u in zip(done, units, strict=True)]
        todo = [i for i, d in enumerate(done) if d is None]
        if isinstance(segment.head, Ordered) and self.engine.on_this_machine:
            needs = [segment.head.holds(units[i].total) for i in todo]
            check_together(segment.head.name, needs, self.engine.workers)
        label = " → ".join(s.name for s in segment.steps[:1] + segment.steps[-1:]) or "apply"
        self.progress.start(f"curate {segment.index + 1}/{len(self.segments)}: {label}", len(units))
        self.progress.advance(units=len(units) - len(todo))
        for index, result in self.engine.map(partial(run_unit, job), [units[i] for i in todo]):
            done[todo[index]] = result
            self.progress.advance(items=documents_in(result))
        self.progress.finish()
        outcome: dict[int, Mapping[str, object]] = {}
        for unit in done:
            assert unit is not None
            shards = unit["shards"]
            assert isinstance(shards, dict)
            outcome.update({int(k): v for k, v in shards.items()})
        return outcome

    def _is_settled(self, segment: Segment, units: Sequence[Unit]) -> bool:
        """Whether the decision on what these units emit stands. Then their keys are gone, else they are needed."""
        decision = self.out / WORK / f"segment-{segment.index + 1}" / "decision"
        return finished(decision, self._decision_print(segment.last, shard_prints(units))) is not None

    def _decision_print(self, place: int, prints: list[str]) -> str:
        return fingerprint([self.bound.identity(place, place + 1), prints])

    def _limits(self) -> list[int | None]:
        if self.options.limit is None:
            return [None] * len(self.files)
        each, rest = divmod(self.options.limit, len(self.files))
        return [each + (i < rest) for i in range(len(self.files))]

    def _counts(self) -> list[StepCount]:
        shards = [o["counts"] for result in self.results for o in result.values()]
        return sum_counts([[StepCount(**c) for c in counts] for counts in shards])  # type: ignore[attr-defined]

    def _check_read(self) -> None:
        counts = self._counts()
        read = next(c.documents_in for c in counts if c.index == READER)
        rejected = sum(c.rejected for c in counts)
        if read == 0:
            damage = [d for o in self.results[0].values() for d in o["damage"]]  # type: ignore[attr-defined]
            names = ", ".join(f.name for f in self.files[:3])
            raise DataError(names, damage[0] if damage else "holds no records", "is this the file you meant?")
        if rejected > self.options.max_reject_fraction * read:
            allowed = f"allowed: {self.options.max_reject_fraction:.0%}"
            what = f"{rejected:,} of {read:,} records were rejected ({rejected / read:.0%}, {allowed})"
            first = next(r for p in sorted((self.out / WORK).rglob("*.ledger.parquet")) for r in reasons(p))
            what = f"{what}; first: {' '.join(first.split())}"
            raise DataError(str(self.out), what, "mend the pool, or pass --max-reject-fraction")

    def _gather(self, parts: Sequence[Parts]) -> list[FileEntry]:
        for name in ("documents", "ledger", "samples", "tables"):
            shutil.rmtree(self.out / name, ignore_errors=True)
            (self.out / name).mkdir(parents=True)
        self.progress.start("gather", len(parts))
        entries: list[FileEntry] = []
        for _, found in self.engine.map(partial(gather_shard, str(self.out)), parts):
            entries.extend(found)
            self.progress.advance()
        self.progress.finish()
        for name, path in self.tables.items():
            shutil.copyfile(path, self.out / "tables" / name)
        entries += [dataclasses.replace(e, path=f"tables/{e.path}") for e in describe_files(self.out / "tables")]
        return sorted(entries, key=lambda e: e.path)

    def _record(self, entries: list[FileEntry], started: float) -> Record:
        counts = self._counts()
        read = next(c.documents_in for c in counts if c.index == READER)
        dropped, rejected = sum(c.dropped for c in counts), sum(c.rejected for c in counts)
        kept = sum(e.rows or 0 for e in entries if e.path.startswith("documents/"))
        assert read == kept + dropped + rejected, f"{read} read, but {kept} + {dropped} + {rejected} accounted for"
        skipped: Counter[str] = Counter()
        for outcome in self.results[0].values():
            skipped.update(outcome["skipped"])  # type: ignore[call-overload]
        seconds = {f"{c.index}:{c.step}": round(c.seconds, 3) for c in counts}
        steps = [{k: v for k, v in dataclasses.asdict(c).items() if k != "seconds"} for c in counts]
        pipeline = self.bound.pipeline
        return Record(
            kind="documents",
            name=pipeline.name,
            fingerprint=self.fingerprint,
            config={
                "steps": canonical(pipeline.steps),
                "files": dict(self.bound.hashes),
                "seed": self.options.seed,
                "limit": self.options.limit,
                "names": [s.name for s in pipeline.steps],
            },
            inputs={"pool": self.pool},
            counts={
                "read": read,
                "kept": kept,
                "dropped": dropped,
                "rejected": rejected,
                "skipped": dict(skipped),
                "steps": steps,
                "decisions": self.info,
                "pool_bytes": sum(f.size for f in self.files),
            },
            files=tuple(entries),
            missing=tuple(d for i in sorted(self.results[0]) for d in self.results[0][i]["damage"]),  # type: ignore[attr-defined]
            provenance=provenance(started) | self.meter.cost() | {"step_seconds": seconds},
        )


def _unit(root: Path, shard: Shard, key: str) -> Unit:
    return Unit(fingerprint=key, directory=str(root / f"shard-{shard.index:05d}"), shards=(shard,))
