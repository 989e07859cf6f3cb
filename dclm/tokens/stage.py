"""documents → tokens: tokenize and pack each shard, mix, shuffle everything, and write the record last."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

from dclm.core.counts import TokensCounts
from dclm.core.errors import DataError
from dclm.core.record import FileEntry, Record, fingerprint
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stages.journal import Outcome
from dclm.core.stages.progress import NullProgress, Progress
from dclm.core.stages.stage import FILES, Workspace, run_stage
from dclm.core.stores.store import join
from dclm.tokens.account import SourceRows, token_account
from dclm.tokens.config import TokenizeConfig
from dclm.tokens.curriculum import phase_rows
from dclm.tokens.documents import DocumentSource, SourcePart, find_documents
from dclm.tokens.job import TokenizeJob
from dclm.tokens.manifest import write_manifest
from dclm.tokens.mixture import copies_of, plan_copies, write_copies
from dclm.tokens.pack import CountUnit, Packed, PackUnit, TailsUnit, count_shard, pack_shard, pack_tails, packed_by
from dclm.tokens.runs import SortedRun
from dclm.tokens.shuffle import merge, plan_merge
from dclm.tokens.tokenizer import Encoder, choose_encoder, copy_tokenizer, open_tokenizer

TOKENIZER = "tokenizer.json"
VERSION = 3
"""Part of the fingerprint: raise it when the bytes change."""


def tokenize(
    documents: Sequence[Path | str | SourcePart | DocumentSource],
    out: Path | str,
    *,
    tokenizer: str = "gpt-neox-20b",
    config: TokenizeConfig | None = None,
    encoder: Encoder = "fast",
    engine: Engine | None = None,
    progress: Progress | None = None,
    allow_missing: bool = False,
    wait: bool = False,
    force: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Make the tokens artifact `out` from documents artifacts, parts of them, files of texts, or folders of them.

    out: a local folder or a URL; documents artifacts may also be either. The bytes depend only on the inputs, the
    tokenizer and `config`. A finished artifact with the same fingerprint is returned unchanged; finished units of a
    killed run are reused. Raises: ConfigError, DataError (no documents, corrupt input), IncompleteError (an input lacks
    parts).
    """
    started = time.time()
    config = config or TokenizeConfig()
    file = open_tokenizer(tokenizer, config.eot, config.bos)
    sources = tuple(
        given if isinstance(given, DocumentSource) else find_documents(given, allow_missing) for given in documents
    )
    inputs = {f"source {i}": source.fingerprint for i, source in enumerate(sources)}
    parts = {f"source {i}": list(part.files) for i, part in enumerate(documents) if isinstance(part, SourcePart)}
    identity = fingerprint(
        {"stage": "tokenize", "version": VERSION, "config": config, "tokenizer": file.sha256, "inputs": inputs}
        | ({"parts": parts} if parts else {})
    )

    def make(space: Workspace) -> Record:
        job = TokenizeJob(
            config=config,
            tokenizer=file,
            encoder=choose_encoder(file.path, encoder),
            sources=sources,
            identity=identity,
            space=space,
        )
        files = copy_tokenizer(file, space.out)  # first, because workers read it there
        packed = _pack_all(job)
        mixed = _mix(job, packed)
        shards = _shuffle(job, mixed)
        space.sweep(("tokens",), {entry.path for entry in shards})
        return Record(
            kind="tokens",
            name=space.out.rpartition("/")[2],
            fingerprint=identity,
            config=_describe(job, tokenizer),
            inputs=inputs | {"tokenizer": file.sha256},
            input_digests={f"source {i}": source.digest for i, source in enumerate(sources) if source.digest},
            counts=mixed.account.plain(),
            files=(*shards, write_manifest(space.out, shards), *files),
            provenance={"encoder": job.encoder, "cpu_seconds": _cpu_seconds(space)},
        )

    return run_stage(
        out,
        kind="tokens",
        identity=identity,
        make=make,
        engine=engine or SerialEngine(),
        progress=progress or NullProgress(),
        inputs=[place for given in documents for place in _places(given)],
        started=started,
        wait=wait,
        force=force,
        say=say,
    )


def _places(given: Path | str | SourcePart | DocumentSource) -> list[Path | str]:
    """The address of an input."""
    if isinstance(given, DocumentSource):
        return [file.address for file in given.files]
    return [given.address if isinstance(given, SourcePart) else given]


def _cpu_seconds(space: Workspace) -> float:
    return round(sum(float(str(outcome["cpu_seconds"])) for outcome in space.used.values()), 3)


def _sums_before(job: TokenizeJob) -> list[list[int]]:
    """For each shard of each source, the sum of the counts of the source's documents before it."""
    repeats = job.config.repeats
    if repeats is None:
        return [[0] * len(source.files) for source in job.sources]
    units = [
        CountUnit(
            fingerprint=fingerprint([job.identity, "count", index, shard]),
            directory=join(job.work, f"count-{index}", f"{shard:06d}"),
            file=file,
            repeats=repeats,
        )
        for index, source in enumerate(job.sources)
        for shard, file in enumerate(source.files)
    ]
    done = job.run("count repeats", count_shard, units, lambda _: 0)
    if not sum(int(str(found["given"])) for found in done):
        what = f"found no value in the column {repeats.column}"
        raise DataError(", ".join(s.name for s in job.sources), what, "check the column's name")
    sums = iter([int(str(found["units"])) for found in done])
    return [[0, *itertools.accumulate(next(sums) for _ in source.files)] for source in job.sources]


def _pack_all(job: TokenizeJob) -> list[list[Packed]]:
    """Packed shards of each source; with packing `stream` the last entries contain the rows made from the tails."""
    before = _sums_before(job)
    units = [
        PackUnit(
            fingerprint=fingerprint([job.identity, "pack", index, shard]),
            directory=join(job.work, f"pack-{index}", f"{shard:06d}"),
            file=file,
            source=index,
            shard=shard,
            tokenizer=join(job.space.out, TOKENIZER),
            encoder=job.encoder,
            bos_id=None if job.tokenizer.bos is None else job.tokenizer.bos.id,
            eot_id=job.tokenizer.eot_id,
            pad_id=job.pad_id,
            row_len=job.row_len,
            dtype=job.dtype,
            packing=job.config.packing,
            seed=job.config.seed,
            repeats=job.config.repeats,
            before=before[index][shard],
        )
        for index, source in enumerate(job.sources)
        for shard, file in enumerate(source.files)
    ]
    done = job.run("tokenize", pack_shard, units, lambda found: packed_by("", found).documents)
    result: list[list[Packed]] = [[] for _ in job.sources]
    for unit, found in zip(units, done, strict=True):
        result[unit.source].append(packed_by(unit.directory, found))
    tails = [
        TailsUnit(
            fingerprint=fingerprint([job.identity, "tails", index, times]),
            directory=join(job.work, f"pack-{index}", "tails" if job.config.repeats is None else f"tails-x{times}"),
            tails=tuple(tail.path for packed in source for tail in packed.tails if tail.times == times),
            times=times,
            source=index,
            eot_id=job.tokenizer.eot_id,
            row_len=job.row_len,
            dtype=job.dtype,
            seed=job.config.seed,
            repeats=job.config.repeats,
        )
        for index, source in enumerate(result)
        for times in sorted({tail.times for packed in source for tail in packed.tails})
    ]
    for each, joined in zip(tails, job.run("tails", pack_tails, tails, lambda _: 0), strict=True):
        result[each.source].append(packed_by(each.directory, joined))
    return result


class _Mixed(NamedTuple):
    """Input of the shuffle."""

    sources: list[list[SortedRun]]
    phases: list[tuple[int, ...]]
    account: TokensCounts


def _mix(job: TokenizeJob, packed: list[list[Packed]]) -> _Mixed:
    """The runs of each source, the rows of each source in each phase, and the token account."""
    config = job.config
    runs = [[run for p in source for run in p.runs] for source in packed]
    available = [sum(run.num_rows * run.times for run in source) for source in runs]
    if not sum(available):
        raise DataError(", ".join(s.name for s in job.sources), "found no documents", "were all of them dropped?")
    names = [source.name for source in job.sources]
    reads = [sum(p.document_reads for p in source) for source in packed]
    phases = phase_rows(config, available, reads, names)
    taken = [sum(rows) for rows in zip(*phases, strict=True)]
    plans = [
        plan_copies(
            runs[i], taken[i], source=i, seed=config.seed, work=join(job.work, f"mix-{i}"), identity=job.identity
        )
        for i in range(len(runs))
    ]
    job.run("mix", write_copies, [unit for plan in plans for unit in plan.units], lambda _: 0)
    chosen = [[*plan.whole, *(run for unit in plan.units for run in copies_of(unit))] for plan in plans]
    have = [sum(run.num_rows for run in source) for source in runs]
    rows = [SourceRows(*found) for found in zip(names, have, [p.distinct for p in plans], taken, strict=True)]
    account = token_account(packed, rows, phases, job.row_len, with_bos=job.tokenizer.bos is not None)
    if not config.is_mixture:  # one shuffle of everything
        return _Mixed([[run for source in chosen for run in source]], [(sum(taken),)], account)
    return _Mixed(chosen, phases, account)


def _shuffle(job: TokenizeJob, mixed: _Mixed) -> list[FileEntry]:
    units = plan_merge(
        mixed.sources,
        mixed.phases,
        rows_per_shard=job.config.rows_per_shard,
        row_len=job.row_len,
        dtype=job.dtype,
        out=job.space.out,
        identity=job.identity,
    )
    entries = []
    for outcome in job.run("shuffle", merge, units, lambda found: sum(_rows(found).values())):
        files = cast(Mapping[str, tuple[int, str]], outcome[FILES])
        rows = _rows(outcome)
        entries += [FileEntry(path=n, sha256=digest, bytes=size, rows=rows[n]) for n, (size, digest) in files.items()]
    return entries


def _rows(outcome: Outcome) -> Mapping[str, int]:
    return cast(Mapping[str, int], outcome["rows"])


def _describe(job: TokenizeJob, tokenizer: str) -> dict[str, object]:
    file, config = job.tokenizer, job.config
    return {
        "seq_len": config.seq_len,
        "vocab_size": job.vocab_size,
        "dtype": job.dtype,
        "bos_id": None if file.bos is None else file.bos.id,
        "eot_id": file.eot_id,
        "pad_id": job.pad_id,
        "seed": config.seed,
        "packing": config.packing,
        **config.mixture(),
        "rows_per_shard": config.rows_per_shard,
        "tokenizer": Path(tokenizer).name,
        "tokenizer_sha256": file.sha256,
    }


__all__ = ["TokenizeConfig", "tokenize"]
