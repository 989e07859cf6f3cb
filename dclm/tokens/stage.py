"""documents → tokens: tokenize and pack each shard, mix, shuffle everything, and write the record last."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar, cast

from dclm.core.engine import Engine, SerialEngine
from dclm.core.errors import DataError
from dclm.core.journal import Outcome
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import FileEntry, Record, fingerprint
from dclm.core.stage import FILES, Unit, Workspace, run_stage
from dclm.core.store import join
from dclm.tokens.account import token_account
from dclm.tokens.documents import DocumentSource, find_documents
from dclm.tokens.manifest import write_manifest
from dclm.tokens.mixture import copy_of, plan_copies, shares, write_copy
from dclm.tokens.pack import Packed, Packing, PackUnit, TailsUnit, pack_shard, pack_tails, packed_by
from dclm.tokens.runs import Run
from dclm.tokens.shuffle import merge, plan_merge
from dclm.tokens.tokenizer import Encoder, TokenizerFile, choose_encoder, copy_tokenizer, open_tokenizer

U = TypeVar("U", bound=Unit)
TOKENIZER = "tokenizer.json"
VERSION = 2
"""Part of the fingerprint: raise it when the bytes change."""


@dataclass(frozen=True, kw_only=True)
class TokenizeConfig:
    """Everything that determines the bytes of a tokens artifact, except its inputs."""

    seq_len: int = 2048
    """Context length; rows have one more token."""
    seed: int = 0
    packing: Packing = "stream"
    """`stream`: no token is lost, at most one padded row per source. `dclm`: the last row of each file is padded, as in
    open_lm's Ray script (its Rust one also adds a row of only padding to a file that fills its rows exactly)."""
    weights: tuple[float, ...] | None = None
    """Mixture weights of the sources, in order; None: all of everything."""
    num_tokens: int | None = None
    """Number of tokens to train on (`seq_len` per row), rounded up to whole rows; None: all."""
    max_repeats: float = 1.0
    """Maximum number of passes over a source."""
    rows_per_shard: int = 8192
    """Number of rows in each file except the last; open_lm writes 8,192."""
    bos: bool | None = None
    """Whether a token begins each document. None: as in the tokenizer's post-processor; GPT-NeoX's has none."""
    eot: str | None = None
    """Token that ends a document; None: the tokenizer's `<|endoftext|>` or its equivalent."""

    def __post_init__(self) -> None:
        if self.seq_len < 1 or self.rows_per_shard < 1:
            raise ValueError(f"found seq_len {self.seq_len}, rows_per_shard {self.rows_per_shard}, allowed: ≥ 1")
        object.__setattr__(self, "max_repeats", float(self.max_repeats))  # 1 and 1.0 are one configuration
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One call of `tokenize`: configuration, inputs and output paths."""

    config: TokenizeConfig
    tokenizer: TokenizerFile
    encoder: Encoder
    sources: tuple[DocumentSource, ...]
    identity: str
    space: Workspace

    @property
    def work(self) -> str:
        """Address of this job's work files. Named after its identity, so that caches are never out of date."""
        return join(self.space.work, self.identity[:16])

    @property
    def row_len(self) -> int:
        return self.config.seq_len + 1

    @property
    def pad_id(self) -> int:
        """open_lm: (-1) mod (vocabulary without added tokens + 3), which is 50,256 for GPT-NeoX; otherwise EOT."""
        return self.tokenizer.base_vocab_size + 2 if self.config.packing == "dclm" else self.tokenizer.eot_id

    @property
    def vocab_size(self) -> int:
        """All ids are below this. open_lm's PAD may be beyond the tokenizer's own ids."""
        return max(self.tokenizer.vocab_size, self.pad_id + 1)

    @property
    def dtype(self) -> Literal["uint16", "uint32"]:
        return "uint16" if self.vocab_size <= 1 << 16 else "uint32"


def tokenize(
    documents: Sequence[Path | str],
    out: Path | str,
    *,
    tokenizer: str = "gpt-neox-20b",
    config: TokenizeConfig | None = None,
    encoder: Encoder = "fast",
    engine: Engine | None = None,
    progress: Progress | None = None,
    allow_missing: bool = False,
    wait: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> Record:
    """Make the tokens artifact `out` from documents artifacts, JSONL or Parquet files or folders of them.

    out: a local folder or a URL; documents artifacts may be either, too. The bytes depend only on the inputs, the
    tokenizer and `config`. A finished artifact with the same fingerprint is returned unchanged; finished units of a
    killed run are reused. Raises: ConfigError, DataError (no documents, corrupt input), IncompleteError (an input lacks
    parts).
    """
    started = time.time()
    config = config or TokenizeConfig()
    file = open_tokenizer(tokenizer, config.eot, config.bos)
    sources = tuple(find_documents(path, allow_missing) for path in documents)
    inputs = {f"source {i}": source.fingerprint for i, source in enumerate(sources)}
    identity = fingerprint(
        {"stage": "tokenize", "version": VERSION, "config": config, "tokenizer": file.sha256, "inputs": inputs}
    )

    def make(space: Workspace) -> Record:
        job = _Job(
            config=config,
            tokenizer=file,
            encoder=choose_encoder(file.path, encoder),
            sources=sources,
            identity=identity,
            space=space,
        )
        files = copy_tokenizer(file, space.out)  # first, because workers read it there
        packed = _pack_all(job)
        runs, counts = _mix(job, packed)
        shards = _shuffle(job, runs)
        space.sweep(("tokens",), {entry.path for entry in shards})
        return Record(
            kind="tokens",
            name=space.out.rpartition("/")[2],
            fingerprint=identity,
            config=_describe(job, tokenizer),
            inputs=inputs | {"tokenizer": file.sha256},
            input_digests={f"source {i}": source.digest for i, source in enumerate(sources) if source.digest},
            counts=counts,
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
        inputs=documents,
        started=started,
        wait=wait,
        say=say,
    )


def _cpu_seconds(space: Workspace) -> float:
    return round(sum(float(str(outcome["cpu_seconds"])) for outcome in space.used.values()), 3)


def _pack_all(job: _Job) -> list[list[Packed]]:
    """Packed shards of each source; with packing `stream` the last entry contains the rows made from the tails."""
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
        )
        for index, source in enumerate(job.sources)
        for shard, file in enumerate(source.files)
    ]
    done = _run(job, "tokenize", pack_shard, units, lambda found: packed_by("", found).documents)
    result: list[list[Packed]] = [[] for _ in job.sources]
    for unit, found in zip(units, done, strict=True):
        result[unit.source].append(packed_by(unit.directory, found))
    tails = [
        TailsUnit(
            fingerprint=fingerprint([job.identity, "tails", index]),
            directory=join(job.work, f"pack-{index}", "tails"),
            tails=ends,
            source=index,
            eot_id=job.tokenizer.eot_id,
            row_len=job.row_len,
            dtype=job.dtype,
            seed=job.config.seed,
        )
        for index, source in enumerate(result)
        if (ends := tuple(packed.tail for packed in source if packed.tail))
    ]
    for each, joined in zip(tails, _run(job, "tails", pack_tails, tails, lambda _: 0), strict=True):
        result[each.source].append(packed_by(each.directory, joined))
    return result


def _mix(job: _Job, packed: list[list[Packed]]) -> tuple[list[Run], dict[str, object]]:
    """The runs that the shuffle merges, and the token account."""
    runs = [[run for p in source for run in p.runs] for source in packed]
    available = [sum(run.num_rows for run in source) for source in runs]
    if not sum(available):
        raise DataError(", ".join(s.name for s in job.sources), "found no documents", "were all of them dropped?")
    config = job.config
    total = None if config.num_tokens is None else -(-config.num_tokens // config.seq_len)
    names = [source.name for source in job.sources]
    taken = shares(available, names, weights=config.weights, total=total, max_repeats=config.max_repeats)
    copies = [
        plan_copies(
            runs[i],
            taken[i],
            source=i,
            seed=config.seed,
            row_len=job.row_len,
            dtype=job.dtype,
            work=join(job.work, f"mix-{i}"),
            identity=job.identity,
        )
        for i in range(len(runs))
    ]
    units = [unit for copy in copies for unit in copy.units]
    _run(job, "mix", write_copy, units, lambda _: 0)
    chosen = [run for copy in copies for run in copy.whole] + [copy_of(unit) for unit in units]
    return chosen, token_account(packed, names, available, taken, job.row_len, with_bos=job.tokenizer.bos is not None)


def _shuffle(job: _Job, runs: list[Run]) -> list[FileEntry]:
    units = plan_merge(
        runs,
        rows_per_shard=job.config.rows_per_shard,
        row_len=job.row_len,
        dtype=job.dtype,
        out=job.space.out,
        identity=job.identity,
    )
    entries = []
    for outcome in _run(job, "shuffle", merge, units, lambda found: sum(_rows(found).values())):
        files = cast(Mapping[str, tuple[int, str]], outcome[FILES])
        rows = _rows(outcome)
        entries += [FileEntry(path=n, sha256=digest, bytes=size, rows=rows[n]) for n, (size, digest) in files.items()]
    return entries


def _rows(outcome: Outcome) -> Mapping[str, int]:
    return cast(Mapping[str, int], outcome["rows"])


def _run(
    job: _Job, label: str, function: Callable[[U], Outcome], units: list[U], items: Callable[[Outcome], int]
) -> list[Outcome]:
    """All outcomes in the order of the units."""
    if not units:
        return []
    done = job.space.run_units(function, units, label, total=len(units), items=items)
    outcomes = {each.index: each.outcome for each in done}
    return [outcomes[index] for index in range(len(units))]


def _describe(job: _Job, tokenizer: str) -> dict[str, object]:
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
        "weights": None if config.weights is None else list(config.weights),
        "num_tokens": config.num_tokens,
        "max_repeats": config.max_repeats,
        "rows_per_shard": config.rows_per_shard,
        "tokenizer": Path(tokenizer).name,
        "tokenizer_sha256": file.sha256,
    }
