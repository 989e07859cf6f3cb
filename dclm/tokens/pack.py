"""Documents → rows of `seq_len + 1` tokens, one input shard at a time: the parallel half of tokenization.

Each document is followed by EOT, and a shard's documents form one stream that is cut into rows. What is left at the
end of the shard is either kept as its tail, and all tails together form the last rows of the source (packing
`stream`: nothing is lost, and only the very last row can need padding), or padded at once (packing `dclm`).
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from dclm.core.storage import atomic_directory
from dclm.tokens.documents import read_texts
from dclm.tokens.runs import Rows, Run, row_keys, write_run
from dclm.tokens.tokenizer import CHECKED_EVERY, Encoder, encode, verify

Packing = Literal["stream", "dclm"]
RUN_BYTES = 128 << 20
"""A worker holds about this many bytes of rows before it writes a run."""


@dataclass(frozen=True, kw_only=True)
class PackUnit:
    """One input shard, and all that decides its rows."""

    file: str
    source: int
    shard: int
    work: str
    """Directory of the unit's result, which a later run finds there."""
    tokenizer: str
    encoder: Encoder
    eot_id: int
    pad_id: int
    row_len: int
    dtype: Literal["uint16", "uint32"]
    packing: Packing
    seed: int

    @property
    def purpose(self) -> str:
        """Names the shard's rows in the hash that places them."""
        return f"row\0{self.source}\0{self.shard}"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """What became of one shard."""

    runs: tuple[Run, ...] = ()
    tail: str | None = None
    """File of the tokens that did not fill a row (packing `stream`)."""
    documents: int = 0
    text_bytes: int = 0
    text_tokens: int = 0
    padding_tokens: int = 0


def pack_shard(unit: PackUnit) -> Packed:
    """Tokenize and pack one shard; a result that an earlier run committed is reused.

    Raises: DataError for a corrupt input, or where the fast encoder is found to differ.
    """
    work = Path(unit.work)
    if not (work / "packed.json").exists():
        with atomic_directory(work) as temporary:
            packed = _pack(unit, temporary)
            (temporary / "packed.json").write_text(json.dumps(dataclasses.asdict(packed)), encoding="utf-8")
    return read_packed(work)


def read_packed(work: Path) -> Packed:
    """A committed result, its paths under `work`."""
    data = json.loads((work / "packed.json").read_text(encoding="utf-8"))
    data["runs"] = tuple(Run(path=str(work / run["path"]), num_rows=run["num_rows"]) for run in data["runs"])
    data["tail"] = str(work / data["tail"]) if data["tail"] else None
    return Packed(**data)


def _pack(unit: PackUnit, folder: Path) -> Packed:
    writer = RunWriter(unit.purpose, unit.seed, unit.row_len, unit.dtype, folder)
    documents = text_bytes = text_tokens = padding = 0
    carry = np.empty(0, dtype=unit.dtype)
    for texts in read_texts(unit.file):
        encoded = encode(unit.tokenizer, unit.encoder, texts)
        if unit.encoder == "fast":
            for index in range(-documents % CHECKED_EVERY, len(texts), CHECKED_EVERY):
                verify(unit.tokenizer, encoded, index, texts[index])
        stream = np.insert(encoded.ids, encoded.offsets[1:], unit.eot_id).astype(unit.dtype)
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


class RunWriter:
    """Collects rows in order, and writes a sorted run whenever `RUN_BYTES` of them are there."""

    def __init__(self, purpose: str, seed: int, row_len: int, dtype: str, folder: Path) -> None:
        self._purpose, self._seed, self._row_len, self._dtype, self._folder = purpose, seed, row_len, dtype, folder
        self._limit = max(1, RUN_BYTES // (row_len * np.dtype(dtype).itemsize))
        self._blocks: list[Rows] = []
        self._held = self._written = 0
        self._runs: list[Run] = []

    def append(self, stream: Rows) -> Rows:
        """Take the whole rows at the start of `stream`; gives back the rest, shorter than a row."""
        whole = len(stream) // self._row_len
        for block in _pieces(stream[: whole * self._row_len].reshape(whole, self._row_len), self._limit):
            if self._held + len(block) > self._limit:
                self._flush()
            self._blocks.append(block)
            self._held += len(block)
        return stream[whole * self._row_len :].copy()

    def close(self) -> tuple[Run, ...]:
        """Write what is held; all runs, their paths relative to the folder."""
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


def pack_tails(
    tails: list[str],
    *,
    source: int,
    eot_id: int,
    row_len: int,
    dtype: Literal["uint16", "uint32"],
    seed: int,
    work: Path,
) -> Packed:
    """Join the tails of a source's shards, in order, into its last rows; the very last is filled up with EOT."""
    if not (work / "packed.json").exists():
        stream = np.concatenate([np.empty(0, dtype=dtype), *(np.fromfile(tail, dtype=dtype) for tail in tails)])
        padding = math.ceil(len(stream) / row_len) * row_len - len(stream)
        with atomic_directory(work) as temporary:
            writer = RunWriter(f"row\0{source}\0tails", seed, row_len, dtype, temporary)
            writer.append(np.concatenate([stream, np.full(padding, eot_id, dtype=dtype)]))
            packed = Packed(runs=writer.close(), padding_tokens=padding)
            (temporary / "packed.json").write_text(json.dumps(dataclasses.asdict(packed)), encoding="utf-8")
    return read_packed(work)
