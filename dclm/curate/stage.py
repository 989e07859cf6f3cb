"""The curate stage: a pool through a pipeline to a documents artifact, resumable by unit of work.

    OUT/record.json · documents/NNNNN.parquet · ledger/NNNNN.parquet · samples/NNNNN.parquet · tables/STEP.NAME.parquet

Units work below OUT/.work; the artifact's files are published at the end.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from dclm.core.engine import Engine
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import Record, fingerprint
from dclm.core.stage import Workspace, run_stage
from dclm.curate.execution import Execution
from dclm.curate.options import VERSION, CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.pool.files import InputFile, file_identity


def curate(
    bound: BoundPipeline,
    files: Sequence[InputFile],
    out: Path | str,
    options: CurateOptions,
    engine: Engine,
    progress: Progress | None = None,
    *,
    wait: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Run the pipeline over the pool and commit the documents artifact at `out`; reuse it if it is there already.

    out: a local folder or a URL.
    Raises: DataError if the pool holds no records or too many rejects; what a step raises, with shard and rows noted.
    The record names damaged files in `missing`: later stages refuse the artifact unless told otherwise.
    """
    started = time.time()
    progress = progress or NullProgress()
    hashes = _hash_files(files, engine, progress)
    pool = fingerprint([[f.name, h] for f, h in zip(files, hashes, strict=True)])
    steps = bound.identity(0, len(bound.pipeline.steps))
    identity = fingerprint(["curate", VERSION, steps, pool, options.seed, options.limit])

    def make(space: Workspace) -> Record:
        return Execution(bound, files, hashes, options, space).run(identity, pool)

    return run_stage(
        out,
        kind="documents",
        identity=identity,
        make=make,
        engine=engine,
        progress=progress,
        inputs=[f.path for f in files],
        started=started,
        wait=wait,
        say=say,
    )


def _hash_files(files: Sequence[InputFile], engine: Engine, progress: Progress) -> list[str]:
    progress.start("hash the pool", len(files), "files")
    hashes = [""] * len(files)
    for index, value in engine.map(file_identity, files):
        hashes[index] = value
        progress.advance()
    progress.finish()
    return hashes
