"""Documents → rows of `seq_len + 1` tokens, one input shard at a time: the parallel half of tokenization.

Each document is followed by EOT, and preceded by BOS if the tokenizer has one. A shard's documents form one stream
that is cut into rows. The remainder at the end of the shard is either kept as its tail, and all tails together form the
last rows of the source (packing `stream`: nothing is lost, and only the very last row can need padding), or padded at
once (packing `dclm`). For each n, the documents that are read n times form a separate stream, whose rows are repeated.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import unit_files
from dclm.core.stores.store import local_file
from dclm.tokens.documents import Column, InputText, read_documents, read_values
from dclm.tokens.framing import chosen_ids, framed
from dclm.tokens.repeats import DocumentRepeats, copies
from dclm.tokens.runs import Rows, SortedRun, row_keys, write_run
from dclm.tokens.tokenizer import Checked, Encoder, checked, encode, verify

Packing = Literal["stream", "dclm"]
RUN_BYTES = 128 << 20
"""Approximate number of bytes of rows that a worker holds before it writes a run."""
_CHECKED_AT_ONCE = 64


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
    repeats: DocumentRepeats | None
    before: int
    """Sum of the counts of all documents before this shard."""

    def purpose(self, times: int) -> str:
        """Name of the shard's rows in the hash that determines their position."""
        return _purpose(self.source, str(self.shard), self.repeats, times)


def _purpose(source: int, part: str, repeats: DocumentRepeats | None, times: int) -> str:
    return f"row\0{source}\0{part}" + ("" if repeats is None else f"\0{times}")


@dataclass(frozen=True, kw_only=True)
class Tail:
    """A file of tokens that did not fill a row (packing `stream`)."""

    path: str
    times: int
    """Number of times that they are read."""


@dataclass(frozen=True, kw_only=True)
class Packed:
    """The outcome of one shard."""

    runs: tuple[SortedRun, ...] = ()
    tails: tuple[Tail, ...] = ()
    documents: int = 0
    """Documents that are read at least once."""
    unread_documents: int = 0
    """Documents whose count is zero."""
    document_reads: int = 0
    """Documents, each as often as it is read in one pass."""
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
    data["runs"] = tuple(SortedRun(**run | {"path": f"{directory}/{run['path']}"}) for run in data["runs"])
    data["tails"] = tuple(Tail(**tail | {"path": f"{directory}/{tail['path']}"}) for tail in data["tails"])
    return Packed(**data)


@dataclass(frozen=True, kw_only=True)
class CountUnit:
    """One input shard, for adding up its documents' counts."""

    fingerprint: str
    directory: str
    file: InputText
    repeats: DocumentRepeats


def count_shard(unit: CountUnit) -> Outcome:
    """The sum of the shard's counts, in units of 1/65,536, and how many documents have a value."""
    total = given = 0
    for values in read_values(unit.file, _column(unit.repeats)):
        total += int(unit.repeats.units(values, unit.file.address).sum())
        given += sum(value is not None for value in values)
    with unit_files(unit.directory) as (_, outcome):
        outcome["units"], outcome["given"] = total, given
    return outcome


def _column(repeats: DocumentRepeats) -> Column:
    return Column(repeats.column, "text" if repeats.function == "labels" else "number")


def _pack(unit: PackUnit, folder: Path) -> Packed:
    streams: dict[int, _Stream] = {}
    documents = unread = reads = text_bytes = text_tokens = padding = 0
    before = unit.before
    to_check: list[Checked] = []
    tokenizer = str(local_file(unit.tokenizer))
    for texts, sizes, values in read_documents(unit.file, None if unit.repeats is None else _column(unit.repeats)):
        times = np.ones(len(texts), dtype=np.int64)
        if unit.repeats is not None:
            units = unit.repeats.units(values, unit.file.address)
            times = copies(units, before)
            before += int(units.sum())
            texts = [text for text, number in zip(texts, times, strict=True) if number]
            unread += len(times) - len(texts)
            sizes, times = sizes[times > 0], times[times > 0]
        encoded = encode(tokenizer, unit.encoder, texts)
        if unit.encoder == "fast":
            to_check += checked(encoded, texts, documents)
            if len(to_check) >= _CHECKED_AT_ONCE:
                verify(tokenizer, to_check)
                to_check = []
        documents += len(texts)
        reads += int(times.sum())
        text_bytes += int(sizes.sum())
        text_tokens += len(encoded.ids)
        for number in map(int, np.unique(times)):
            if number not in streams:
                streams[number] = _Stream(unit, number, folder)
            chosen = encoded if times.min() == times.max() else chosen_ids(encoded, times == number)
            streams[number].append(framed(chosen, unit.bos_id, unit.eot_id, unit.dtype))
        while sum(stream.writer.held for stream in streams.values()) > max_rows(unit.row_len, unit.dtype):
            max(streams.values(), key=lambda stream: stream.writer.held).writer.flush()
    verify(tokenizer, to_check)
    runs: list[SortedRun] = []
    tails: list[Tail] = []
    for number, stream in sorted(streams.items()):
        padding += stream.pad() if unit.packing == "dclm" else 0
        runs += stream.writer.close()
        if len(stream.carry):
            tails.append(Tail(path=f"{_name(unit, 'tail', number)}.bin", times=number))
            stream.carry.tofile(folder / tails[-1].path)
    return Packed(
        runs=tuple(runs),
        tails=tuple(tails),
        documents=documents,
        unread_documents=unread,
        document_reads=reads,
        text_bytes=text_bytes,
        text_tokens=text_tokens,
        padding_tokens=padding,
    )


class _Stream:
    """The documents of a shard that are read equally often."""

    def __init__(self, unit: PackUnit, times: int, folder: Path) -> None:
        path = folder / _name(unit, "run", times)
        self.unit, self.carry = unit, np.empty(0, dtype=unit.dtype)
        self.writer = RunWriter(unit.purpose(times), unit.seed, unit.row_len, unit.dtype, path, times)

    def append(self, tokens: Rows) -> None:
        self.carry = self.writer.append(np.concatenate([self.carry, tokens]))

    def pad(self) -> int:
        """Fill the last row; returns the number of padding tokens."""
        padding = self.unit.row_len - len(self.carry) if len(self.carry) else 0
        self.append(np.full(padding, self.unit.pad_id, dtype=self.unit.dtype))
        return padding


def _name(unit: PackUnit, what: str, times: int) -> str:
    return what if unit.repeats is None else f"{what}-x{times}"


class RunWriter:
    """Collects rows in order, and writes a sorted run whenever `RUN_BYTES` of them have accumulated."""

    def __init__(self, purpose: str, seed: int, row_len: int, dtype: str, path: Path, times: int) -> None:
        """path: path of the runs, without their numbers. times: how often each row is to be read."""
        self._purpose, self._seed, self._row_len, self._dtype, self._path = purpose, seed, row_len, dtype, path
        self._times = times
        self._limit = max_rows(row_len, dtype)
        self._blocks: list[Rows] = []
        self.held = 0
        self._written = 0
        self._runs: list[SortedRun] = []

    def append(self, stream: Rows) -> Rows:
        """Take the complete rows at the start of `stream`; returns the rest, shorter than a row."""
        whole = len(stream) // self._row_len
        for block in _pieces(stream[: whole * self._row_len].reshape(whole, self._row_len), self._limit):
            if self.held + len(block) > self._limit:
                self.flush()
            self._blocks.append(block)
            self.held += len(block)
        return stream[whole * self._row_len :].copy()

    def close(self) -> tuple[SortedRun, ...]:
        """Write the held rows; returns all runs, with paths relative to the folder."""
        if self.held:
            self.flush()
        return tuple(self._runs)

    def flush(self) -> None:
        """Write the held rows as a run."""
        rows = np.concatenate(self._blocks)
        name = f"{self._path.name}-{len(self._runs):04d}"
        keys = row_keys(self._seed, self._purpose, self._written, len(rows))
        write_run(self._path.with_name(name), keys, rows, self._dtype)
        self._runs.append(SortedRun(path=name, num_rows=len(rows), times=self._times))
        self._written += len(rows)
        self._blocks, self.held = [], 0


def max_rows(row_len: int, dtype: str) -> int:
    """Number of rows that a worker holds before it writes a run."""
    return max(1, RUN_BYTES // (row_len * np.dtype(dtype).itemsize))


def _pieces(rows: Rows, size: int) -> Iterator[Rows]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


@dataclass(frozen=True, kw_only=True)
class TailsUnit:
    """The tails of a source's shards, which become its last rows."""

    fingerprint: str
    directory: str
    tails: tuple[str, ...]
    times: int
    """Number of times that they are read."""
    source: int
    eot_id: int
    row_len: int
    dtype: Literal["uint16", "uint32"]
    seed: int
    repeats: DocumentRepeats | None


def pack_tails(unit: TailsUnit) -> Outcome:
    """Join the tails, in order, into rows; the very last row is filled up with EOT."""
    tails = [np.fromfile(local_file(tail), dtype=unit.dtype) for tail in unit.tails]
    stream = np.concatenate([np.empty(0, dtype=unit.dtype), *tails])
    padding = math.ceil(len(stream) / unit.row_len) * unit.row_len - len(stream)
    with unit_files(unit.directory) as (folder, outcome):
        purpose = _purpose(unit.source, "tails", unit.repeats, unit.times)
        writer = RunWriter(purpose, unit.seed, unit.row_len, unit.dtype, folder / "run", unit.times)
        writer.append(np.concatenate([stream, np.full(padding, unit.eot_id, dtype=unit.dtype)]))
        outcome["packed"] = dataclasses.asdict(Packed(runs=writer.close(), padding_tokens=padding))
    return outcome
