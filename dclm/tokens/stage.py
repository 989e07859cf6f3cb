"""documents → tokens: tokenize and pack each shard, mix, shuffle everything, and write the record last."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from dclm.core.engine import Engine, SerialEngine
from dclm.core.errors import DataError
from dclm.core.progress import NullProgress, Progress
from dclm.core.record import RECORD, FileEntry, Record, find_record, fingerprint, provenance, write_record
from dclm.core.storage import remove_temporary
from dclm.tokens.documents import DocumentSource, find_documents
from dclm.tokens.manifest import write_manifest
from dclm.tokens.mixture import plan_copies, shares, write_copy
from dclm.tokens.pack import Packed, Packing, PackUnit, pack_shard, pack_tails
from dclm.tokens.runs import Run
from dclm.tokens.shuffle import merge, plan_merge
from dclm.tokens.tokenizer import Encoder, TokenizerFile, choose_encoder, copy_tokenizer, open_tokenizer

U = TypeVar("U")
R = TypeVar("R")
VERSION = 2
"""Part of the fingerprint: raise it when the bytes change."""


@dataclass(frozen=True, kw_only=True)
class TokenizeConfig:
    """All that decides the bytes of a tokens artifact, but its inputs."""

    seq_len: int = 2048
    """Rows hold one token more."""
    seed: int = 0
    packing: Packing = "stream"
    """`stream`: nothing lost, one padded row a source at most. `dclm`: each file's last row padded, as open_lm's Ray
    script does (its Rust one also adds a row of padding alone to a file that fills its rows exactly)."""
    weights: tuple[float, ...] | None = None
    """Of the sources, in order; None: all of everything."""
    num_tokens: int | None = None
    """Tokens to train on (`seq_len` a row), rounded up to whole rows; None: all there are."""
    max_repeats: float = 1.0
    """How often a source may be gone through."""
    rows_per_shard: int = 8192
    """Rows in each file but the last; 8,192 is what open_lm writes."""
    eot: str | None = None
    """Token that ends a document; None: the tokenizer's `<|endoftext|>` or its like."""

    def __post_init__(self) -> None:
        if self.seq_len < 1 or self.rows_per_shard < 1:
            raise ValueError(f"found seq_len {self.seq_len}, rows_per_shard {self.rows_per_shard}, allowed: ≥ 1")
        object.__setattr__(self, "max_repeats", float(self.max_repeats))  # 1 and 1.0 are one configuration
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))


@dataclass(frozen=True, kw_only=True)
class _Job:
    """One call of `tokenize`: configuration, inputs and where things go."""

    config: TokenizeConfig
    tokenizer: TokenizerFile
    encoder: Encoder
    sources: tuple[DocumentSource, ...]
    out: Path
    work: Path
    engine: Engine
    progress: Progress

    @property
    def row_len(self) -> int:
        return self.config.seq_len + 1

    @property
    def pad_id(self) -> int:
        """open_lm: (-1) mod (vocabulary without added tokens + 3), which is 50,256 for GPT-NeoX; else EOT."""
        return self.tokenizer.base_vocab_size + 2 if self.config.packing == "dclm" else self.tokenizer.eot_id

    @property
    def vocab_size(self) -> int:
        """All ids are below this. open_lm's PAD may lie beyond the tokenizer's own."""
        return max(self.tokenizer.vocab_size, self.pad_id + 1)

    @property
    def dtype(self) -> Literal["uint16", "uint32"]:
        return "uint16" if self.vocab_size <= 1 << 16 else "uint32"


def tokenize(
    documents: Sequence[Path],
    out: Path,
    *,
    tokenizer: str = "gpt-neox-20b",
    config: TokenizeConfig | None = None,
    encoder: Encoder = "fast",
    engine: Engine | None = None,
    progress: Progress | None = None,
    allow_missing: bool = False,
) -> Record:
    """Make the tokens artifact `out` from documents artifacts, JSONL or Parquet files or folders of them.

    The bytes depend on the inputs, the tokenizer and `config` alone. A finished artifact of the same fingerprint is
    returned as it is; units that a run which was killed has committed are reused.
    Raises: ConfigError, DataError (no documents, corrupt input), IncompleteError (an input lacks parts).
    """
    started = time.time()
    config = config or TokenizeConfig()
    file = open_tokenizer(tokenizer, config.eot)
    sources = tuple(find_documents(Path(path), allow_missing) for path in documents)
    inputs = {f"source {i}": source.fingerprint for i, source in enumerate(sources)}
    identity = fingerprint(
        {"stage": "tokenize", "version": VERSION, "config": config, "tokenizer": file.sha256, "inputs": inputs}
    )
    work = out / f"work-{identity[:16]}"
    if (record := find_record(out, identity)) is not None:
        shutil.rmtree(work, ignore_errors=True)
        return record
    _prepare(out, work)
    job = _Job(
        config=config,
        tokenizer=file,
        encoder=choose_encoder(file.path, encoder),
        sources=sources,
        out=out,
        work=work,
        engine=engine or SerialEngine(),
        progress=progress or NullProgress(),
    )
    packed = _pack_all(job)
    runs, counts = _mix(job, packed)
    files = _shuffle(job, runs)
    record = Record(
        kind="tokens",
        name=out.name,
        fingerprint=identity,
        config=_describe(job, tokenizer),
        inputs=inputs | {"tokenizer": file.sha256},
        counts=counts,
        files=(*files, write_manifest(out, files), *copy_tokenizer(file, out)),
        provenance=provenance(started) | {"encoder": job.encoder},
    )
    write_record(out, record)
    shutil.rmtree(work)
    return record


def _prepare(out: Path, work: Path) -> None:
    """Clear what another configuration left in `out`; keep what this one has finished."""
    out.mkdir(parents=True, exist_ok=True)
    (out / RECORD).unlink(missing_ok=True)
    if not work.exists():
        for stale in [*out.glob("work-*"), out / "tokens"]:
            shutil.rmtree(stale, ignore_errors=True)
    remove_temporary(out)
    work.mkdir(exist_ok=True)


def _pack_all(job: _Job) -> list[list[Packed]]:
    """Packed shards of each source; with packing `stream` the last entry holds the rows made of the tails."""
    units = [
        PackUnit(
            file=file,
            source=index,
            shard=shard,
            work=str(job.work / f"pack-{index}" / f"{shard:06d}"),
            tokenizer=job.tokenizer.path,
            encoder=job.encoder,
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
    done = _run(job, "tokenize", pack_shard, units, lambda packed: packed.documents)
    result: list[list[Packed]] = [[] for _ in job.sources]
    for unit, packed in zip(units, done, strict=True):
        result[unit.source].append(packed)
    for index, source in enumerate(result):
        tails = [packed.tail for packed in source if packed.tail]
        if tails:
            source.append(
                pack_tails(
                    tails,
                    source=index,
                    eot_id=job.tokenizer.eot_id,
                    row_len=job.row_len,
                    dtype=job.dtype,
                    seed=job.config.seed,
                    work=job.work / f"pack-{index}" / "tails",
                )
            )
    return result


def _mix(job: _Job, packed: list[list[Packed]]) -> tuple[list[Run], dict[str, object]]:
    """The runs that the shuffle merges, and the token account."""
    runs = [[run for p in source for run in p.runs] for source in packed]
    available = [sum(run.num_rows for run in source) for source in runs]
    if not sum(available):
        raise DataError(", ".join(s.name for s in job.sources), "found no documents", "are all of them dropped?")
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
            work=job.work / f"mix-{i}",
        )
        for i in range(len(runs))
    ]
    units = [unit for copy in copies for unit in copy.units]
    written = _run(job, "mix", write_copy, units, lambda run: run.num_rows)
    chosen = [run for copy in copies for run in copy.whole] + written
    return chosen, _account(job, packed, available, taken)


def _account(
    job: _Job, packed: list[list[Packed]], available: Sequence[int], taken: Sequence[int]
) -> dict[str, object]:
    """Where every token went: text + EOT + padding + repeated - unused = sequences × (seq_len + 1)."""
    flat = [p for source in packed for p in source]
    documents = sum(p.documents for p in flat)
    gain = [(take - have) * job.row_len for take, have in zip(taken, available, strict=True)]
    return {
        "documents": documents,
        "text_bytes": sum(p.text_bytes for p in flat),
        "text_tokens": sum(p.text_tokens for p in flat),
        "eot_tokens": documents,
        "padding_tokens": sum(p.padding_tokens for p in flat),
        "dropped_tokens": 0,
        "unused_tokens": -sum(g for g in gain if g < 0),
        "repeated_tokens": sum(g for g in gain if g > 0),
        "sequences": sum(taken),
        "tokens": sum(taken) * job.row_len,
        "sources": [
            {"name": s.name, "sequences": have, "taken": take}
            for s, have, take in zip(job.sources, available, taken, strict=True)
        ],
    }


def _shuffle(job: _Job, runs: list[Run]) -> list[FileEntry]:
    units = plan_merge(
        runs,
        rows_per_shard=job.config.rows_per_shard,
        row_len=job.row_len,
        dtype=job.dtype,
        out=job.out,
        work=job.work / "merge",
    )
    done = _run(job, "shuffle", merge, units, lambda files: sum(f.rows or 0 for f in files))
    return [file for files in done for file in files]


def _run(job: _Job, label: str, function: Callable[[U], R], units: list[U], items: Callable[[R], int]) -> list[R]:
    """All results in the order of the units."""
    results: dict[int, R] = {}
    job.progress.start(label, len(units))
    for index, result in job.engine.map(function, units):
        results[index] = result
        job.progress.advance(1, items(result))
    job.progress.finish()
    return [results[i] for i in range(len(units))]


def _describe(job: _Job, tokenizer: str) -> dict[str, object]:
    file, config = job.tokenizer, job.config
    return {
        "seq_len": config.seq_len,
        "vocab_size": job.vocab_size,
        "dtype": job.dtype,
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
