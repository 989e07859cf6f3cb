"""Documents → rows of `seq_len + 1` tokens, one input shard at a time: the parallel half of tokenization.

Each document is followed by EOT, and preceded by BOS if the tokenizer has one. A shard's documents form one stream
that is cut into rows. The remainder at the end of the shard is either kept as its tail, and all tails together form the
last rows of the source (packing `stream`: nothing is lost, and only the very last row can need padding), or padded at
once (packing `dclm`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from dclm.core.journal import Outcome
from dclm.core.stage import unit_files
from dclm.core.store import local_file
from dclm.tokens.documents import InputText, read_texts
from dclm.tokens.runs import Rows, Run, row_keys, write_run
from dclm.tokens.tokenizer import CHECKED_EVERY, Encoded, Encoder, encode, verify

Packing = Literal["stream", "dclm"]
RUN_BYTES = 128 << 20
"""Approximate number of bytes of rows that a worker holds before it writes a run."""


@dataclass(frozen=True, kw_only=True)
class PackUnit:
    """One input shard, and everything that determines its rows."""

    fingerprint: str
    directory: str
    """Address below which the unit's runs are published."""
    file: InputText
    source: int
    shard: int
    tokenizer: str
    """Address of the tokenizer.json."""
    encoder: Encoder
    bos_id: int | None
    """The token before each document; None: none."""
    eot_id: int
    pad_id: int
    row_len: int
    dtype: Literal["uint16", "uint32"]
    packing: Packing
    seed: int

    @property
    def purpose(self) -> str:
        """Names the shard's rows in the hash that decides their position."""
        return f"row\0{self.source}\0{self.shard}"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The outcome of one shard."""

    runs: tuple[Run, ...] = ()
    tail: str | None = None
    """File of the tokens that did not fill a row (packing `stream`)."""
    documents: int = 0
    text_bytes: int = 0
    text_tokens: int = 0
    padding_tokens: int = 0


def pack_shard(unit: PackUnit) -> Outcome:
    """Tokenize and pack one shard (see `packed_by` for the outcome).

    Raises: DataError for a corrupt input, or if the fast encoder's ids differ.
    """
    with unit_files(unit.directory) as (folder, outcome):
        outcome["packed"] = dataclasses.asdict(_pack(unit, folder))
    return outcome


def packed_by(directory: str, outcome: Outcome) -> Packed:
    """The output of a unit, with the addresses of its runs."""
    data = dict(cast(Mapping[str, Any], outcome["packed"]))
    data["runs"] = tuple(Run(path=f"{directory}/{run['path']}", num_rows=run["num_rows"]) for run in data["runs"])
    data["tail"] = f"{directory}/{data['tail']}" if data["tail"] else None
    return Packed(**data)


def _pack(unit: PackUnit, folder: Path) -> Packed:
    writer = RunWriter(unit.purpose, unit.seed, unit.row_len, unit.dtype, folder)
    documents = text_bytes = text_tokens = padding = 0
    carry = np.empty(0, dtype=unit.dtype)
    tokenizer = str(local_file(unit.tokenizer))
    for texts in read_texts(unit.file):
        encoded = encode(tokenizer, unit.encoder, texts)
        if unit.encoder == "fast":
            for index in range(-documents % CHECKED_EVERY, len(texts), CHECKED_EVERY):
                verify(tokenizer, encoded, index, texts[index])
        stream = _framed(encoded, unit.bos_id, unit.eot_id).astype(unit.dtype)
        documents += len(texts)
        text_bytes += sum(len(text.encode()) for text in texts)
        text_tokens += len(encoded.ids)
        carry = writer.append(np.concatenate([carry, stream]))
    if len(carry) and unit.packing == "dclm":
        padding = unit.row_len - len(carry)
        carry = writer.append(np.concatenate([carry, np.full(padding, unit.pad_id, dtype=unit.dtype)]))
    runs = writer.close()
    if len(carry):
        carry.tofile(folder / "tail.bin")
    return Packed(
        runs=runs,
        tail="tail.bin" if len(carry) else None,
        documents=documents,
        text_bytes=text_bytes,
        text_tokens=text_tokens,
        padding_tokens=padding,
    )


def _framed(encoded: Encoded, bos_id: int | None, eot_id: int) -> npt.NDArray[np.uint32]:
    """The ids of all documents, each between BOS (if there is one) and EOT."""
    if bos_id is None:
        return np.insert(encoded.ids, encoded.offsets[1:], eot_id)
    places = np.column_stack([encoded.offsets[:-1], encoded.offsets[1:]]).ravel()
    return np.insert(encoded.ids, places, np.tile([bos_id, eot_id], len(encoded.offsets) - 1))


class RunWriter:
    """Collects rows in order, and writes a sorted run whenever `RUN_BYTES` of them have accumulated."""

    def __init__(self, purpose: str, seed: int, row_len: int, dtype: str, folder: Path) -> None:
        self._purpose, self._seed, self._row_len, self._dtype, self._folder = purpose, seed, row_len, dtype, folder
        self._limit = max(1, RUN_BYTES // (row_len * np.dtype(dtype).itemsize))
        self._blocks: list[Rows] = []
        self._held = self._written = 0
        self._runs: list[Run] = []

    def append(self, stream: Rows) -> Rows:
        """Take the complete rows at the start of `stream`; returns the rest, shorter than a row."""
        whole = len(stream) // self._row_len
        for block in _pieces(stream[: whole * self._row_len].reshape(whole, self._row_len), self._limit):
            if self._held + len(block) > self._limit:
                self._flush()
            self._blocks.append(block)
            self._held += len(block)
        return stream[whole * self._row_len :].copy()

    def close(self) -> tuple[Run, ...]:
        """Write the held rows; returns all runs, with paths relative to the folder."""
        if self._held:
            self._flush()
        return tuple(self._runs)

    def _flush(self) -> None:
        rows = np.concatenate(self._blocks)
        name = f"run-{len(self._runs):04d}"
        keys = row_keys(self._seed, self._purpose, self._written, len(rows))
        write_run(self._folder / name, keys, rows, self._dtype)
        self._runs.append(Run(path=name, num_rows=len(rows)))
        self._written += len(rows)
        self._blocks, self._held = [], 0


def _pieces(rows: Rows, size: int) -> Iterator[Rows]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@dataclass(frozen=True, kw_only=True)
class TailsUnit:
    """The tails of a source's shards, which become its last rows."""

    fingerprint: str
    directory: str
    tails: tuple[str, ...]
    source: int
    eot_id: int
    row_len: int
    dtype: Literal["uint16", "uint32"]
    seed: int


def pack_tails(unit: TailsUnit) -> Outcome:
    """Join the tails, in order, into rows; the very last row is filled up with EOT."""
    tails = [np.fromfile(local_file(tail), dtype=unit.dtype) for tail in unit.tails]
    stream = np.concatenate([np.empty(0, dtype=unit.dtype), *tails])
    padding = math.ceil(len(stream) / unit.row_len) * unit.row_len - len(stream)
    with unit_files(unit.directory) as (folder, outcome):
        writer = RunWriter(f"row\0{unit.source}\0tails", unit.seed, unit.row_len, unit.dtype, folder)
        writer.append(np.concatenate([stream, np.full(padding, unit.eot_id, dtype=unit.dtype)]))
        outcome["packed"] = dataclasses.asdict(Packed(runs=writer.close(), padding_tokens=padding))
    return outcome
