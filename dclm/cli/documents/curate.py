"""`dclm curate`: run a pool through a pipeline."""

from __future__ import annotations

from pathlib import Path

import click

from dclm.cli.shared.options import (
    ADDRESS,
    LOCAL_PATH,
    ConsoleProgress,
    cache_option,
    engine_options,
    named_models,
    put_artifact,
    replace_option,
    say,
    trust_option,
    wait_option,
)
from dclm.core.counts import DocumentsCounts, counts_of

_UNIT_BYTES = "Input per unit of work; 0: one unit per file. Default: follows the pool's size, up to 256 MiB."
_SHARD_BYTES = "Size of a documents file; 0: one per unit. Default: follows the documents' size, up to 256 MiB."


@click.command()
@click.argument("pipeline", type=LOCAL_PATH)
@click.argument("more", nargs=-1, metavar="")
@click.option("--pool", multiple=True, required=True, metavar="PATH...", help="Files, directories, globs or URLs.")
@click.option("--out", type=ADDRESS, required=True, help="Directory for the documents artifact.")
@click.option("--seed", type=int, default=0, show_default=True, help="Seed for random steps, such as sampling.")
@click.option(
    "--limit", type=click.IntRange(1), help="Maximum number of records to read, spread over the pool's files."
)
@click.option("--unit-bytes", type=click.IntRange(0), help=_UNIT_BYTES)
@click.option("--shard-bytes", type=click.IntRange(0), help=_SHARD_BYTES)
@click.option(
    "--model", "models", multiple=True, metavar="NAME=PATH", help="File for a step that refers to it as NAME."
)
@click.option("--max-reject-fraction", type=click.FloatRange(0, 1), default=0.5, show_default=True)
@click.option("--allow-incomplete", is_flag=True, help="Succeed even if files of the pool are damaged.")
@trust_option
@cache_option
@engine_options
@replace_option
@wait_option
def curate(
    pipeline: Path,
    more: tuple[str, ...],
    pool: tuple[str, ...],
    out: str,
    seed: int,
    limit: int | None,
    unit_bytes: int | None,
    shard_bytes: int | None,
    models: tuple[str, ...],
    max_reject_fraction: float,
    allow_incomplete: bool,
    trust: bool,
    cache: str | None,
    on: str,
    workers: int | None,
    force: bool,
    wait: bool,
) -> None:
    """Run PIPELINE over the records of --pool.

    Paths are WARC, WET, ARC, JSON lines (.jsonl, .json, .ndjson, .jl), plain or compressed, or Parquet; a pool of text
    skips extraction. Other files in a directory are counted and named in the record.
    """
    from dclm.core.errors import IncompleteError
    from dclm.core.stages.ownership import require_directory
    from dclm.curate.cost import Cost
    from dclm.curate.options import CurateOptions
    from dclm.curate.pipeline import bind, load_pipeline
    from dclm.curate.stage import curate as run
    from dclm.engine import open_engine
    from dclm.pool.files import list_files
    from dclm.pool.texts.recognize import describe_pool

    bound = bind(load_pipeline(pipeline, trust), named_models(models))
    options = CurateOptions(
        seed=seed,
        limit=limit,
        max_reject_fraction=max_reject_fraction,
        unit_bytes=unit_bytes,
        shard_bytes=shard_bytes,
    )
    require_directory(out, "documents", (*pool, *more))
    files = list_files((*pool, *more))  # a shell glob puts only its first path directly after --pool
    for line in describe_pool(files)[0 if files.unread else 1 :]:
        say(f"pool: {line}")
    with open_engine(on, workers) as engine:
        record = run(
            bound, files, out, options, engine, ConsoleProgress(), wait=wait, force=force, cache=cache, say=say
        )
    counts = counts_of(record, DocumentsCounts)
    say(
        f"{out}: read {counts.read:,} = kept {counts.kept:,} + dropped {counts.dropped:,}"
        f" + rejected {counts.rejected:,}"
    )
    cost = Cost.of(out, record)
    say(f"{cost.cpu_seconds:,.1f} CPU seconds, {cost.documents_per_second:,.0f} documents/s per core")
    put_artifact(out, record)
    if record.missing and not allow_incomplete:
        what = f"{len(record.missing)} damaged inputs, first: {record.missing[0]}"
        raise IncompleteError(
            str(out), what, "everything readable was kept; pass --allow-incomplete to accept the result"
        )
