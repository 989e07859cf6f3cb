"""Between segments: keys from all shards → reduce per partition → one decision → drops and edits per shard.

A decision may ask for another round over some documents (see `dclm.curate.step.Round`): their keys are emitted, reduced
and decided on in the same way before the first decision stands. Or for rounds over tables (see `dclm.curate.relay`).
"""

from __future__ import annotations

import dataclasses
import itertools
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.engine import Engine
from dclm.core.progress import Progress
from dclm.core.record import fingerprint
from dclm.core.storage import atomic_directory
from dclm.curate.files import (
    UNIT,
    finished,
    read_documents,
    read_table,
    read_tables,
    unit_directory,
    write_json,
    write_tables,
)
from dclm.curate.keys import KeyWriter, map_partition
from dclm.curate.pieces import pieces
from dclm.curate.relay import Leg, run_relay
from dclm.curate.step import Context, Decision, Global, Relay, Round

U = TypeVar("U", "Reduction", "Emission", Leg)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reduction:
    """One partition of a Global step's keys."""

    fingerprint: str
    directory: str
    partition: int
    keys: tuple[str, ...]
    """The key files of all shards, in order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emission:
    """The keys of one shard's documents in a further round."""

    fingerprint: str
    directory: str
    shard: int
    documents: str
    rows: str
    """File of row tables, of which number `shard` is this shard's."""


def run_reduction(step: Global, unit: Reduction) -> None:
    """Reduce one partition and commit it."""
    parts = map_partition(unit.keys, unit.partition, step.num_partitions)
    rows = sum(table.num_rows for part in parts for table in part.tables)
    with unit_directory(unit.directory, unit.fingerprint) as (directory, result):
        write_tables(directory / "reduced.arrow", map(step.reduce, pieces(parts)))
        result["keys"] = rows


def run_emission(job: tuple[Global, Context], unit: Emission) -> None:
    """Emit the keys of the documents that a round wants to see again, and commit them."""
    step, context = job
    with unit_directory(unit.directory, unit.fingerprint) as (directory, _):
        wanted = read_table(Path(unit.rows), unit.shard).combine_chunks()
        rows, extra = wanted.column("row").combine_chunks(), wanted.drop_columns(["shard", "row"])
        with KeyWriter(directory / "keys.arrow", unit.shard, step, context) as keys:
            for batch in read_documents(Path(unit.documents)):
                place = pc.index_in(batch.column("_row"), rows)
                batch = batch.filter(pc.is_valid(place))
                place = place.drop_null()
                for name in extra.column_names:
                    batch = batch.append_column(name, extra.column(name).combine_chunks().take(place))
                keys.write(batch)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange:
    """One Global step over one set of documents."""

    directory: Path
    fingerprint: str
    """Of everything that went in: the step and all units of the segment before it."""
    documents: tuple[str, ...]
    """The documents of every shard, as the step sees them."""
    context: Context
    engine: Engine
    progress: Progress
    deciding: list[float] = dataclasses.field(default_factory=list)
    """CPU seconds of the decisions themselves, which are made in this process."""

    def settle(self, step: Global, keys: Sequence[str]) -> dict[str, object]:
        """Reduce `keys`, decide, and commit the drops and edits of every shard; gives the decision's `unit.json`.

        What led to the decision is deleted once it stands: keys alone may take more room than the documents.
        """
        target = self.directory / "decision"
        done = finished(target, self.fingerprint)
        if done is not None:
            return done
        if target.exists():  # another decision, whose rounds have lost their files
            for path in (*self.directory.glob("round-*"), target):
                shutil.rmtree(path)
        decision = self._decide(step, keys, 0)
        result: dict[str, object] = {"fingerprint": self.fingerprint, "info": dict(decision.info)}
        with atomic_directory(target) as directory:
            write_tables(directory / "drops.arrow", _by_shard(decision.drops, len(self.documents)))
            for part, edits in enumerate(decision.edits):
                write_tables(directory / f"edits-{part:04d}.arrow", _by_shard(edits, len(self.documents)))
            for name, tables in decision.tables.items():
                _write_parquet(directory / f"{name}.parquet", tables)
            write_json(directory / UNIT, result | {"cpu_seconds": round(sum(self.deciding), 3)})
        for path in (*map(Path, keys), *self.directory.glob("round-*/**/*.arrow")):  # units stay finished without them
            path.unlink(missing_ok=True)
        return result

    def _decide(self, step: Global, keys: Sequence[str], depth: int) -> Decision:
        units = [
            Reduction(
                fingerprint=fingerprint([self.fingerprint, depth, p]),
                partition=p,
                keys=tuple(keys),
                directory=str(self.directory / f"round-{depth}" / f"part-{p:04d}"),
            )
            for p in range(step.num_partitions)
        ]
        self._run(f"{step.name}: reduce", partial(run_reduction, step), units)
        reduced = [Path(u.directory) / "reduced.arrow" for u in units]
        started = time.process_time()
        decision = step.decide(_Reduced(reduced))
        self.deciding.append(time.process_time() - started)
        if isinstance(decision.then, Relay):
            directory = self.directory / f"round-{depth}"
            identity = fingerprint([self.fingerprint, depth, "relay"])
            decision = decision.then.finish(run_relay(decision.then, reduced, directory, identity, self._run))
        assert not isinstance(decision.then, Relay), "one relay a round"
        return decision if decision.then is None else self._again(decision.then, depth + 1)

    def _again(self, again: Round, depth: int) -> Decision:
        directory = self.directory / f"round-{depth}"
        directory.mkdir(parents=True, exist_ok=True)
        rows = directory / "rows.arrow"
        write_tables(rows, _by_shard(again.rows, len(self.documents)))
        units = [
            Emission(
                fingerprint=fingerprint([self.fingerprint, depth, "shard", i]),
                shard=i,
                documents=path,
                rows=str(rows),
                directory=str(directory / f"shard-{i:05d}"),
            )
            for i, path in enumerate(self.documents)
        ]
        self._run(f"{again.step.name}: verify", partial(run_emission, (again.step, self.context)), units)
        return again.finish(self._decide(again.step, [f"{u.directory}/keys.arrow" for u in units], depth))

    def _run(self, label: str, function: Callable[[U], None], units: Sequence[U]) -> None:
        todo = [u for u in units if finished(Path(u.directory), u.fingerprint) is None]
        self.progress.start(label, len(todo), "parts")
        for _ in self.engine.map(function, todo):
            self.progress.advance()
        self.progress.finish()


class _Reduced:
    """The reduced tables in order of partition and key, loaded one at a time, as often as asked."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = paths

    def __iter__(self) -> Iterator[pa.Table]:
        return (table for path in self._paths for table in read_tables(path))


def _write_parquet(path: Path, tables: Iterable[pa.Table]) -> None:
    rest = iter(tables)
    first = next(rest)
    with pq.ParquetWriter(path, first.schema, compression="zstd") as writer:
        for table in itertools.chain([first], rest):
            writer.write_table(table)


def _by_shard(rows: pa.Table, num_shards: int) -> list[pa.Table]:
    shard = rows.column("shard").to_numpy()
    if np.any(shard[1:] < shard[:-1]):
        rows = rows.sort_by([("shard", "ascending"), ("row", "ascending")])
        shard = rows.column("shard").to_numpy()
    edges = np.searchsorted(shard, np.arange(num_shards + 1))
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
