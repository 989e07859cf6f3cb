"""`dclm dedup index`: an index of documents, or of the signatures that another index keeps."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dclm.cli.shared.options import ADDRESS, ConsoleProgress, engine_options, put_artifact, replace_option, say

if TYPE_CHECKING:
    from dclm.dedup.index.indexed import Indexed


@click.command()
@click.argument("documents", nargs=-1, required=True, metavar="DOCUMENTS...")
@click.option(
    "--step",
    "text",
    required=True,
    metavar="STEP",
    help="exact, url (exact with `of: url`), minhash, bloom or substring; with settings in YAML: 'minhash: {bands: 14, "
    "rows: 8}'.",
)
@click.option("--include", multiple=True, metavar="INDEX", help="Existing index to include in the new one; repeatable.")
@click.option(
    "--signatures",
    is_flag=True,
    help="minhash: also keep the signatures, for `verify_by: signatures`, other bands and datasketch.",
)
@click.option("--room", type=click.IntRange(1), help="bloom: number of n-grams that the filter must have room for.")
@click.option("--out", type=ADDRESS, required=True, help="Directory or URL of the index.")
@click.option("--allow-incomplete", is_flag=True, help="Succeed even if some files are damaged.")
@engine_options
@replace_option
def index(
    documents: tuple[str, ...],
    text: str,
    include: tuple[str, ...],
    signatures: bool,
    room: int | None,
    out: str,
    allow_incomplete: bool,
    on: str,
    workers: int | None,
    force: bool,
) -> None:
    """Index DOCUMENTS for a deduplication step: pipelines name the index in `against:` to deduplicate other documents
    against it.

    DOCUMENTS are artifacts of `dclm curate` or text files, in the state in which the step would see them. docs/dedup.md
    lists the steps for which a run against an index keeps exactly the same as a single run over everything.

    If DOCUMENTS is an index that keeps signatures, the new index has its documents with the bands and rows of STEP.
    """
    from dclm.core.errors import ConfigError, IncompleteError
    from dclm.core.stages.ownership import require_directory
    from dclm.curate.indexes.estimate import estimate
    from dclm.curate.indexes.index import build_index
    from dclm.curate.pipeline import parse_step
    from dclm.dedup.index.indexed import KIND, Indexed
    from dclm.dedup.memory import show_bytes
    from dclm.engine import open_engine
    from dclm.pool.files import list_files

    step = parse_step(text)
    if not isinstance(step, Indexed):
        raise ConfigError("--step", f"`{step.name}` has no index, allowed: exact, url, minhash, bloom, substring")
    if signatures:
        step = _with_signatures(step)
    if any(map(_is_index, documents)):
        _reband(step, documents, include, room, out, on, workers, force)
        return
    require_directory(out, KIND, (*documents, *include))
    files = list_files(documents)
    expected = estimate(step, files, room)
    say(
        f"about {expected.documents:,} documents: an index of about {show_bytes(expected.bytes)}, "
        f"{expected.seconds:,.0f} CPU seconds"
    )
    with open_engine(on, workers) as engine:
        record = build_index(
            step, files, out, engine, ConsoleProgress(), include=include, room=room, force=force, say=say
        )
    size = record.counts["bytes"]
    assert isinstance(size, int)
    say(f"{out}: {record.counts['documents']:,} documents, {show_bytes(size)}")
    put_artifact(out, record)
    if record.missing and not allow_incomplete:
        what = f"{len(record.missing)} damaged inputs, first: {record.missing[0]}"
        raise IncompleteError(out, what, "steps refuse an index with missing parts: fix the files and rebuild it")


def _with_signatures(step: Indexed) -> Indexed:
    """The step as one that verifies by signatures, so that its index keeps them."""
    import dataclasses

    from dclm.core.errors import ConfigError
    from dclm.dedup.minhash.step import MinHash

    if not isinstance(step, MinHash):
        raise ConfigError("--signatures", f"found `{step.name}`, allowed: minhash")
    if step.verify is not None and step.verify_by == "shingles":
        what = "found a step that verifies by shingles, whose index keeps these instead"
        raise ConfigError("--signatures", what, "set `verify_by: signatures`, or leave out `verify`")
    return dataclasses.replace(step, verify=step.verify or 1.0, verify_by="signatures")


def _is_index(address: str) -> bool:
    from dclm.core.record import RECORD, read_record
    from dclm.core.stores.store import exists, join

    return exists(join(address, RECORD)) and read_record(address).kind == "index"


def _reband(
    step: Indexed,
    indexes: tuple[str, ...],
    include: tuple[str, ...],
    room: int | None,
    out: str,
    on: str,
    workers: int | None,
    force: bool,
) -> None:
    from dclm.core.errors import ConfigError
    from dclm.curate.indexes.signatures import rebanded_index
    from dclm.dedup.minhash.step import MinHash
    from dclm.engine import open_engine

    if not isinstance(step, MinHash):
        raise ConfigError("--step", f"found `{step.name}` for an index of signatures, allowed: minhash")
    if len(indexes) > 1:
        raise ConfigError("DOCUMENTS", "found an index among several, allowed: documents, or one index of signatures")
    if include or room is not None:
        what = "belongs to an index of documents, not to other bands of an index of signatures"
        raise ConfigError("--include" if include else "--room", what, "index the documents, or leave the option out")
    (index,) = indexes
    with open_engine(on, workers) as engine:
        record = rebanded_index(step, index, out, engine, force=force)
    say(f"{out}: {record.counts['documents']:,} documents with {step.bands} bands of {step.rows} rows")
    put_artifact(out, record)
