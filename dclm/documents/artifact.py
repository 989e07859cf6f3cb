"""Reads a documents artifact piece by piece: its ledger in batches, and its record's information about its steps."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import filled
from dclm.core.counts import DocumentsCounts, counts_of
from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record, read_record
from dclm.core.stores.store import join, local_file
from dclm.curate.catalog import STEPS
from dclm.documents.schema import LEDGER

Bools = npt.NDArray[np.bool_]
KEPT = -2
"""`Rows.step` of a document that was kept (−1 is the reader)."""
BATCH_ROWS = 1 << 16


class Rows(NamedTuple):
    """A batch of the ledger."""

    batch: pa.RecordBatch
    step: npt.NDArray[np.int32]
    """Index of the step at which the record left, or KEPT."""
    rejected: Bools

    @property
    def kept(self) -> Bools:
        return np.equal(self.step, KEPT)


class Kept(NamedTuple):
    """What identifies a record of the ledger."""

    id: str
    url: str | None
    source_name: str | None = None
    """The recipe's source that it comes from, where the artifact has several."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class StepRow:
    """The effect of one step, according to the artifact's record."""

    index: int
    name: str
    settings: str
    """Its configuration, without fields at their default."""
    documents_in: int
    dropped: int
    rejected: int
    edits: int
    bytes_in: int
    bytes_out: int
    characters_in: int
    characters_out: int

    @property
    def documents_out(self) -> int:
        return self.documents_in - self.dropped - self.rejected


class Artifact:
    """A documents artifact, opened for reading."""

    def __init__(self, root: Path | str) -> None:
        """root: a folder or a URL.

        Raises: ConfigError if it is of another kind.
        """
        self.root = root
        self.record: Record = read_record(root)
        if self.record.kind != "documents":
            raise ConfigError(str(root), f"found an artifact of kind {self.record.kind}, allowed: documents")

    @functools.cached_property
    def steps(self) -> tuple[StepRow, ...]:
        """The waterfall: the effect of each step, the reader first.

        Raises: DataError if the record is older than the requested numbers.
        """
        return tuple(_steps(self.record, self.root))

    def files(self, folder: str) -> list[Path]:
        """The artifact's files in `documents`, `ledger` or `samples`, in order of their shards."""
        return [local_file(join(self.root, f.path)) for f in self.record.files if f.path.startswith(f"{folder}/")]

    def record_at(self, shard: int, row: int) -> Kept:
        """The record at this row of a shard's ledger; drops refer to the kept document in this way."""
        (name,) = [f.path for f in self.record.files if f.path == f"ledger/{shard:05d}.parquet"]
        with pq.ParquetFile(local_file(join(self.root, name))) as file:
            place = row
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if place < rows:
                    columns = [name for name in Kept._fields if name in file.schema_arrow.names]
                    found = file.read_row_group(group, columns=columns, use_threads=False).slice(place, 1).to_pylist()
                    return Kept(**found[0])
                place -= rows
        raise DataError(f"{self.root}/{name}", f"has no row {row}", "the artifact is damaged: rebuild it")

    def annotations(self) -> dict[str, bool]:
        """Name of each annotation in the ledger → whether it is a number in all shards that have it."""
        found: dict[str, bool] = {}
        for path in self.files("ledger"):
            for field in pq.read_schema(path):
                if field.name not in LEDGER.names:
                    number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
                    found[field.name] = found.get(field.name, True) and number
        return dict(sorted(found.items()))

    def rows(self, *columns: str) -> Iterator[Rows]:
        """The ledger in document order with these columns (null if a shard lacks one)."""
        needed = ["step_index", "reason", *columns]
        for path in self.files("ledger"):
            with pq.ParquetFile(path) as file:
                there = [name for name in needed if name in file.schema_arrow.names]
                for batch in file.iter_batches(BATCH_ROWS, columns=there, use_threads=False):
                    for name in needed:
                        if name not in there:
                            batch = batch.append_column(name, pa.nulls(batch.num_rows, pa.string()))
                    step = filled(batch.column("step_index"), KEPT).to_numpy(zero_copy_only=False)
                    rejected = pc.is_valid(batch.column("reason")).to_numpy(zero_copy_only=False)
                    yield Rows(batch, step, rejected)

    @property
    def seed(self) -> int:
        seed = self.record.config["seed"]
        assert isinstance(seed, int)
        return seed

    def count(self, name: str) -> int:
        """One of the record's counts: read, kept, dropped or rejected."""
        value: int = getattr(counts_of(self.record, DocumentsCounts), name)
        return value


def numbers(batch: pa.RecordBatch, name: str) -> npt.NDArray[np.float64]:
    """A numeric column as float64, NaN for null."""
    column = pc.cast(batch.column(name), pa.float64(), safe=False)
    values: npt.NDArray[np.float64] = column.to_numpy(zero_copy_only=False)
    return values


def _steps(record: Record, root: Path | str) -> Iterator[StepRow]:
    counts, settings = counts_of(record, DocumentsCounts).steps, record.config["steps"]
    assert isinstance(settings, list)
    for count in counts:
        if "characters_out" not in count:
            raise DataError(str(root), "was made by a version that did not count characters", "curate it again")
        index = count["index"]
        shown = _settings(count["step"], settings[index]) if index >= 0 else ""
        fields = {f.name for f in dataclasses.fields(StepRow)}
        yield StepRow(
            name=count["step"], settings=shown, **{k: v for k, v in count.items() if k in fields and k != "step"}
        )


def _settings(name: str, values: Mapping[str, object]) -> str:
    kind = STEPS.get(name)
    usual = {f.name: f.default for f in dataclasses.fields(kind)} if kind is not None else {}
    shown = []
    for key, value in values.items():
        if key in ("class", "version") or value == usual.get(key, ...) or value in ([], None):
            continue
        shown.append(f"{key.rstrip('_')}: {_plain(value)}")
    return " · ".join(shown)


def _plain(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_plain, value))
    if isinstance(value, dict):
        return ", ".join(f"{key} → {_plain(item)}" for key, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)
