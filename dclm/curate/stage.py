"""The curate stage: a pool through a pipeline to a documents artifact, resumable by unit of work.

    OUT/record.json · documents/NNNNN.parquet · ledger/NNNNN.parquet · samples/NNNNN.parquet
    quantities/NNNNN.parquet · tables/STEP.NAME.parquet

Units work below OUT/.work; the artifact's files are published at the end.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from dclm.core.record import Record, fingerprint
from dclm.core.stages.engine import Engine, staged
from dclm.core.stages.kept import open_cache
from dclm.core.stages.ownership import require_directory
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.stage import Workspace, run_stage
from dclm.core.stores.store import absolute
from dclm.curate.cuts import choose_cuts, remember
from dclm.curate.execution import Execution
from dclm.curate.options import VERSION, CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.pool.files import InputFile
from dclm.pool.recorded import check_recorded, pool_identity, pool_listing, require_unchanged, stamps
from dclm.pool.survey import survey_all
from dclm.pool.units import Unit, cut


@dataclasses.dataclass(frozen=True, kw_only=True)
class Origin:
    """The artifacts to which the files of a pool belong."""

    inputs: Mapping[str, str]
    """Role → fingerprint of the artifact."""
    digests: Mapping[str, str]
    """Role → digest of its record. Part of the fingerprint of what is made."""
    count: Callable[[str, Record], Mapping[str, object]]
    """Further counts for the record, from the address of the finished files and the record so far."""


def curate(
    bound: BoundPipeline,
    files: Sequence[InputFile],
    out: Path | str,
    options: CurateOptions,
    engine: Engine,
    progress: Progress | None = None,
    *,
    wait: bool = False,
    force: bool = False,
    cache: str | None = None,
    say: Callable[[str], None] = lambda line: None,
    origin: Origin | None = None,
) -> Record:
    """Run the pipeline over the pool and commit the documents artifact at `out`; reuse it if it already exists.

    out: a local folder or a URL. force: replace a finished artifact that other settings made. cache: a folder or URL in
    which the work before the last cut stays (see `dclm.curate.cuts`), and where work on the same files by the same
    steps is found. It changes no byte of the artifact. origin: the artifacts that the files belong to, for the record.
    The record names damaged files in `missing`: later stages refuse the artifact unless allowed explicitly. Raises:
    DataError if the pool contains no records or too many rejects, or if one of its files does not match its record or
    changes while it is read; the errors of a step, with shard and rows noted.
    """
    started = time.time()
    require_directory(absolute(out), "documents", [f.path for f in files])  # check before a large pool is hashed
    progress = progress or NullProgress()
    before = stamps(files)
    with staged(engine, "documents") as chosen:  # the processes that read the pool's files also run the pipeline
        hashes, inputs = _survey(files, options, chosen, progress, time.time_ns())
        known = [hashes[file.name] for file in files]
        check_recorded(files, known)
        pool = pool_identity(files, known)
        steps = bound.identity(0, len(bound.pipeline.steps))
        sizes = [options.unit_bytes, options.shard_bytes]
        parts = ["curate", VERSION, steps, pool, options.seed, options.limit, sizes]
        identity = fingerprint(parts if origin is None else [*parts, origin.digests])

        def make(space: Workspace) -> Record:
            if cache is None:
                record = Execution(bound, files, hashes, inputs, options, space).run(identity, pool)
            else:
                work = fingerprint([VERSION, pool, options.seed, options.limit, sizes])
                apart = [*(f.path for f in files), space.out]
                with open_cache(cache, space.engine, space.progress, inputs=apart, wait=wait, say=say) as kept:
                    cuts = choose_cuts(bound, files, kept, work)
                    record = Execution(bound, files, hashes, inputs, options, space, kept, cuts).run(identity, pool)
                    remember(bound, kept, work)
            require_unchanged(files, before, known)
            if origin is not None:
                record = dataclasses.replace(
                    record,
                    inputs={**record.inputs, **origin.inputs},
                    input_digests=origin.digests,
                    counts={**record.counts, **origin.count(space.out, record)},
                )
            return dataclasses.replace(record, provenance={**record.provenance, "pool": pool_listing(files, known)})

        return run_stage(
            out,
            kind="documents",
            identity=identity,
            make=make,
            engine=chosen,
            progress=progress,
            inputs=[f.path for f in files],
            started=started,
            wait=wait,
            force=force,
            say=say,
        )


def _survey(
    files: Sequence[InputFile], options: CurateOptions, engine: Engine, progress: Progress, now_ns: int
) -> tuple[dict[str, str], list[Unit]]:
    """The identity of each file by its name, and the units into which the pool is divided."""
    units = cut(files, options.unit_bytes, limited=options.limit is not None)
    parts: dict[str, list[InputFile]] = {}
    for file in (file for unit in units for file in unit):
        parts.setdefault(file.name, []).append(file)
    progress.start("hash the pool", len(parts), "files")
    found = dict(zip(parts, survey_all(list(parts.values()), engine, now_ns, progress.advance), strict=True))
    progress.finish()
    hashes = {name: known.identity for name, known in found.items()}
    lines = {
        (name, file.part): line
        for name, known in found.items()
        for file, line in zip(parts[name], known.lines_before, strict=True)
    }
    return hashes, [
        tuple(dataclasses.replace(f, first_line=n) if (n := lines[f.name, f.part]) else f for f in unit)
        for unit in units
    ]
