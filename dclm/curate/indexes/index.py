"""Indexes: a deduplication step's keys of one corpus, as an artifact against which other corpora are deduplicated.

    exact, minhash, substring: OUT/record.json · keys/RUN/RELATION/PPPP.arrow, PPPP.blocks.arrow · sets/RUN/UUUUU.arrow
    bloom: OUT/record.json · filter.bin

The files of included indexes (`include`) are copied unchanged, as separate runs, so only new documents cost work.
"""

from __future__ import annotations

import dataclasses
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple, cast

import numpy as np
import pyarrow as pa

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import FileEntry, Record, canonical, content_hash, fingerprint, read_record
from dclm.core.stages.engine import Engine
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.stage import FILES, Workspace, run_stage, unit_files
from dclm.core.stores.store import copy, join
from dclm.curate.indexes.units import (
    FilterUnit,
    IndexUnit,
    MergeUnit,
    relation_file,
    run_filter,
    run_index_unit,
    run_merge,
)
from dclm.curate.options import VERSION
from dclm.curate.output.files import write_tables
from dclm.curate.step import Context
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.bloom.stored import FILTER
from dclm.dedup.columns import U64, distinct
from dclm.dedup.index.blocks import SUFFIX, block_sums
from dclm.dedup.index.indexed import KIND, PARTITIONS, Indexed, KeyIndexed
from dclm.dedup.index.relation import runs_of, set_path
from dclm.pool.files import InputFile
from dclm.pool.recorded import check_recorded, pool_identity, pool_listing, require_unchanged, stamps
from dclm.pool.survey import survey_all


def build_index(
    step: Indexed,
    files: Sequence[InputFile],
    out: str,
    engine: Engine,
    progress: Progress | None = None,
    *,
    include: Sequence[str] = (),
    room: int | None = None,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Make the index of some documents for `step`, or reuse an existing one.

    files: the documents in the state in which the step sees them. include: indexes to add to the new one. room: number
    of n-grams that a filter must have room for; None: as many as these documents have. force: replace an index that
    other settings made.
    Raises: ConfigError if an included index has other settings or a filter is too small; DataError if there are no
    documents or a file differs from the record of its artifact.
    """
    started = time.time()
    progress = progress or NullProgress()
    if not isinstance(step, KeyIndexed | Bloom):
        raise ConfigError(step.name, "has no index, allowed: exact, url, minhash, bloom, substring")
    if room is not None and not isinstance(step, Bloom):
        raise ConfigError("room", f"found {room:,} for `{step.name}`, allowed only for `bloom`")
    before = [read_record(address) for address in include]
    for address, record in zip(include, before, strict=True):
        step.accept(address, record)
    stamped = stamps(files)
    progress.start("hash the documents", len(files), "files")
    found = survey_all([[file] for file in files], engine, time.time_ns(), progress.advance)
    hashes = [known.identity for known in found]
    progress.finish()
    check_recorded(files, hashes)
    pool = pool_identity(files, hashes)
    included = [content_hash(record) for record in before]
    identity = fingerprint(["index", VERSION, step.name, step.stated(), pool, room, included])
    making = _Making(step, files, hashes, list(include), before, room)

    def make(space: Workspace) -> Record:
        made = _keys(making, space) if isinstance(step, KeyIndexed) else _filter(making, space)
        if made.counts["documents"] == 0 and not before:
            raise DataError(files[0].name if files else out, "contains no documents", "are these the files you meant?")
        require_unchanged(files, stamped, hashes)
        return Record(
            kind=KIND,
            name=step.name,
            fingerprint=identity,
            config={"step": step.name, "settings": canonical(step.stated())},
            inputs={"documents": pool} | {f"index {i}": h for i, h in enumerate(included)},
            counts={**made.counts, "bytes": sum(f.bytes for f in made.files)},
            files=tuple(sorted(made.files, key=lambda f: f.path)),
            missing=(*made.damage, *(m for record in before for m in record.missing)),
            provenance={"pool": pool_listing(files, hashes)},
        )

    return run_stage(
        out,
        kind=KIND,
        identity=identity,
        make=make,
        engine=engine,
        progress=progress,
        inputs=[*(f.path for f in files), *include],
        started=started,
        force=force,
        say=say,
    )


class _Making(NamedTuple):
    """The inputs of an index."""

    step: Indexed
    files: Sequence[InputFile]
    hashes: Sequence[str]
    include: list[str]
    before: list[Record]
    room: int | None


class _Made(NamedTuple):
    """The result of building an index."""

    files: list[FileEntry]
    counts: dict[str, Any]
    damage: list[str]


def _keys(making: _Making, space: Workspace) -> _Made:
    step = cast(KeyIndexed, making.step)
    entries, runs = _copied_runs(making, space.out)
    number = len(runs)
    settings = fingerprint([VERSION, step.name, step.stated()])
    units = [
        IndexUnit(
            fingerprint=(key := fingerprint([settings, making.hashes[i], file.name, i])),
            directory=join(space.work, key[:16]),
            number=i,
            file=file,
        )
        for i, file in enumerate(making.files)
    ]
    done = {
        d.index: d.outcome
        for d in space.run_units(
            partial(run_index_unit, step), units, f"index: {step.name}", total=len(units), need_consumed=True
        )
    }
    outcomes = [done[i] for i in range(len(units))]
    has_sets = step.index_sets(Context()) is not None
    relations = list(step.index_keys(Context()))
    merges = [
        MergeUnit(
            fingerprint=fingerprint([settings, "merge", [u.fingerprint for u in units], number, relation, partition]),
            directory=join(space.out, "keys", f"{number:04d}", relation),
            partition=partition,
            sources=tuple(relation_file(u.directory, relation) for u in units),
            with_documents=has_sets,
        )
        for relation in relations
        for partition in range(PARTITIONS)
    ]
    keys = dict.fromkeys(relations, 0)
    for merged in space.run_units(run_merge, merges, "index: sort", total=len(merges)):
        relation = merged.unit.directory.rpartition("/")[2]
        count = cast(int, merged.outcome["keys"])
        keys[relation] += count
        for name, (size, digest) in cast(dict[str, tuple[int, str]], merged.outcome[FILES]).items():
            path = f"keys/{number:04d}/{relation}/{name}"
            rows = None if name.endswith(SUFFIX) else count
            entries.append(FileEntry(path=path, sha256=digest, bytes=size, rows=rows))
    if has_sets:
        for unit, outcome in zip(units, outcomes, strict=True):
            size, digest = cast(dict[str, tuple[int, str]], outcome[FILES])["sets.arrow"]
            path = set_path(number, unit.number)
            copy(join(unit.directory, "sets.arrow"), join(space.out, path))
            entries.append(FileEntry(path=path, sha256=digest, bytes=size))
    documents = sum(cast(int, o["documents"]) for o in outcomes)
    runs.append({"documents": documents, "keys": keys})
    counts = {
        "documents": None if any(run["documents"] is None for run in runs) else sum(run["documents"] for run in runs),
        "rejected": sum(cast(int, o["rejected"]) for o in outcomes),
        "runs": runs,
    }
    return _Made(entries, counts, [d for o in outcomes for d in cast(list[str], o["damage"])])


def _copied_runs(making: _Making, out: str) -> tuple[list[FileEntry], list[dict[str, Any]]]:
    """The files of included indexes, renumbered."""
    entries: list[FileEntry] = []
    runs: list[dict[str, Any]] = []
    for address, record in zip(making.include, making.before, strict=True):
        for file in record.files:
            folder, run, rest = file.path.split("/", 2)
            path = f"{folder}/{len(runs) + int(run):04d}/{rest}"
            copy(join(address, file.path), join(out, path))
            entries.append(dataclasses.replace(file, path=path))
        assert runs_of(record) == len(cast(list[Any], record.counts["runs"]))
        runs += cast(list[dict[str, Any]], record.counts["runs"])
    return entries, runs


def _filter(making: _Making, space: Workspace) -> _Made:
    step = cast(Bloom, making.step)
    unit = FilterUnit(
        fingerprint=fingerprint(
            [
                "filter",
                VERSION,
                step.stated(),
                list(making.hashes),
                making.room,
                [content_hash(r) for r in making.before],
            ]
        ),
        directory=space.out,
        files=tuple(making.files),
        include=tuple(making.include),
        room=making.room,
    )
    (done,) = space.run_units(partial(run_filter, step), [unit], "index: bloom", total=1)
    outcome = cast(dict[str, Any], done.outcome)
    size, digest = outcome[FILES][FILTER]
    names = ("documents", "rejected", "keys", "room", "blocks", "probes")
    counts = {name: outcome[name] for name in names}
    return _Made([FileEntry(path=FILTER, sha256=digest, bytes=size)], counts, outcome["damage"])


def index_of_keys(step: KeyIndexed, relation: str, keys: U64, out: str, engine: Engine) -> Record:
    """An index of keys made elsewhere, for example by `dclm.dedup.minhash.exchange.keys_of_lsh`.

    Raises: ConfigError if the step needs more than keys (`minhash` with `verify`).
    """
    if step.index_sets(Context()) is not None:
        raise ConfigError(step.name, "verifies with shingles, which keys do not contain", "leave out `verify`")
    keys = distinct(keys)
    digest = hashlib.sha256(keys.tobytes()).hexdigest()
    identity = fingerprint(["index of keys", VERSION, step.name, step.stated(), relation, digest])

    def make(space: Workspace) -> Record:
        parts = (pa.table({"key": keys[keys % np.uint64(PARTITIONS) == p]}) for p in range(PARTITIONS))
        entries = write_keys(space.out, relation, parts)
        return Record(
            kind=KIND,
            name=step.name,
            fingerprint=identity,
            config={"step": step.name, "settings": canonical(step.stated())},
            inputs={"keys": digest},
            counts={
                "documents": None,
                "rejected": 0,
                "runs": [{"documents": None, "keys": {relation: len(keys)}}],
                "bytes": sum(entry.bytes for entry in entries),
            },
            files=entries,
        )

    return run_stage(out, kind=KIND, identity=identity, make=make, engine=engine, progress=NullProgress())


def write_keys(out: str, relation: str, tables: Iterable[pa.Table]) -> tuple[FileEntry, ...]:
    """Write the keys of an index that is made at once, one table per partition; returns its files with their rows."""
    rows: dict[str, int] = {}
    with unit_files(join(out, "keys", "0000", relation)) as (directory, outcome):
        for partition, table in enumerate(tables):
            rows[f"{partition:04d}.arrow"] = table.num_rows
            write_tables(directory / f"{partition:04d}.arrow", [table])
            write_tables(directory / f"{partition:04d}{SUFFIX}", [block_sums(0, table)])
    return tuple(
        FileEntry(path=f"keys/0000/{relation}/{name}", sha256=digest, bytes=size, rows=rows.get(name))
        for name, (size, digest) in sorted(cast(dict[str, tuple[int, str]], outcome[FILES]).items())
    )
