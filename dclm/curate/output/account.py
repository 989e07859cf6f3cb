"""What a run of a pipeline counts: every record that was read, the step at which it left, and the artifact's record."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from dclm.core.counts import DocumentsCounts
from dclm.core.errors import DataError
from dclm.core.packed import Packed
from dclm.core.record import FileEntry, Record, canonical
from dclm.core.stores.store import local_file
from dclm.curate.nulls import require_fields, sum_fields
from dclm.curate.options import CurateOptions
from dclm.curate.output.tally import READER, StepCount, sum_counts
from dclm.curate.pipeline import BoundPipeline
from dclm.documents.ledger import reasons
from dclm.pool.files import InputFile, PoolFiles

_NAMED = 100  # names of files that were not read; at most this many are in the record


@dataclasses.dataclass(frozen=True, kw_only=True)
class Account:
    """The counts of a run."""

    bound: BoundPipeline
    files: Sequence[InputFile]
    options: CurateOptions
    results: list[Packed[int]] = dataclasses.field(default_factory=list)
    """Outcomes of each segment: shard → outcome."""
    info: dict[str, object] = dataclasses.field(default_factory=dict)
    """What Global steps said about their decisions."""

    def _counts(self) -> list[StepCount]:
        shards = (found["counts"] for result in self.results for found in result.values())
        return sum_counts([StepCount(**c) for c in counts] for counts in shards)

    def check(self, out: str, stems: Iterable[str]) -> None:
        """Check what the segments so far have read; `stems` are the addresses of the last one's files.

        Raises: DataError if the pool has no records, too many rejects, or a column without values that a step needs.
        """
        counts = self._counts()
        read = next(c.documents_in for c in counts if c.index == READER)
        rejected = sum(c.rejected for c in counts)
        if read == 0:
            damage = [d for found in self.results[0].values() for d in found["damage"]]
            names = ", ".join(f.name for f in self.files[:3])
            raise DataError(names, damage[0] if damage else "contains no records", "is this the file you meant?")
        require_fields(self.bound.pipeline.steps, self._fields())
        if rejected > self.options.max_reject_fraction * read:
            allowed = f"allowed: {self.options.max_reject_fraction:.0%}"
            what = f"{rejected:,} of {read:,} records were rejected ({rejected / read:.0%}, {allowed})"
            first = next((r for stem in stems for r in reasons(local_file(f"{stem}.ledger.parquet"))), "")
            what = f"{what}; first: {' '.join(first.split())}" if first else what
            raise DataError(out, what, "fix the pool, or pass --max-reject-fraction")

    def _fields(self) -> dict[str, int]:
        """Column → documents of the pool with a value in it; `documents`: all of them."""
        return sum_fields([found.get("fields", {}) for found in self.results[0].values()])

    def _unread(self) -> dict[str, object]:
        """Number of files next to those of the pool that were not read, and the names of the first."""
        unread = self.files.unread if isinstance(self.files, PoolFiles) else ()
        return {"files": len(unread), "names": list(unread[:_NAMED])}

    def record(self, files: list[FileEntry], identity: str, pool: str, cost: Mapping[str, object]) -> Record:
        """The record of the artifact that consists of these files. cost: fields of its provenance."""
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
        steps = [{k: v for k, v in vars(c).items() if k != "seconds"} for c in counts]
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
            counts=DocumentsCounts(
                read=read,
                kept=kept,
                dropped=dropped,
                rejected=rejected,
                skipped=dict(skipped),
                partial=dict(partial),
                fields=self._fields(),
                unread=self._unread(),
                steps=tuple(steps),
                decisions=self.info,
                pool_bytes=sum(f.size for f in self.files),
            ).plain(),
            files=tuple(files),
            missing=tuple(d for found in self.results[0].values() for d in found["damage"]),
            provenance={**cost, "step_seconds": seconds},
        )
