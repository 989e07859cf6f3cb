"""Between segments: keys from all shards → reduce per partition → one decision → drops and edits per shard.

A decision may request another round over some documents (see `dclm.curate.step.Round`): their keys are emitted, reduced
and decided on in the same way before the first decision is final. Or it may request rounds over tables (see
`dclm.curate.iterate`).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.cache import scratch_directory
from dclm.core.journal import Outcome
from dclm.core.record import fingerprint
from dclm.core.stage import FILES, Workspace, consumed, unit_files
from dclm.core.store import delete, split
from dclm.curate.files import map_tables, read_documents, read_table, read_tables, write_parquet, write_tables
from dclm.curate.iterate import IterationUnit, iterate
from dclm.curate.keys import MOST_FILES, KeyWriter, map_partition, partitions_for
from dclm.curate.own.blame import blamed
from dclm.curate.pieces import pieces
from dclm.curate.routing import Block, BlockWriter, blocks, run_block, shards_per_block
from dclm.curate.step import Context, Decision, Global, IterativeReduce, Round

U = TypeVar("U", "Merging", "Reduction", "Emission", IterationUnit, Block)
DROPS, EDITS, COLUMNS = "drops.arrow", "edits.arrow", "columns.arrow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Reduction:
    """One partition of a Global step's keys."""

    fingerprint: str
    directory: str
    partition: int
    num_partitions: int
    keys: tuple[str, ...]
    """The key files of all shards, or of several shards each, in order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Merging:
    """The key files of some shards, which are merged so that no reducer reads too many files."""

    fingerprint: str
    directory: str
    num_partitions: int
    keys: tuple[str, ...]


def run_merging(unit: Merging) -> Outcome:
    """Merge several key files."""
    with unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = [map_tables(address, slice(None), near) for address in unit.keys]
        merged = (
            pa.concat_tables(pieces([part.of(slice(p, None, unit.num_partitions)) for part in parts]))
            for p in range(unit.num_partitions)
        )
        write_tables(directory / "keys.arrow", merged)
    return consumed(outcome)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Emission:
    """The keys of one shard's documents in a further round."""

    fingerprint: str
    directory: str
    shard: int
    documents: str
    num_partitions: int
    rows: str
    """File of row tables; table number `shard` is this shard's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Making:
    """The decision as a unit of work, which the driver does itself."""

    fingerprint: str
    directory: str


def run_reduction(step: Global, unit: Reduction) -> Outcome:
    """Reduce one partition."""
    with blamed(), unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = map_partition(unit.keys, unit.partition, unit.num_partitions, near)
        rows = sum(table.num_rows for part in parts for table in part.tables)
        write_tables(directory / "reduced.arrow", map(step.reduce, pieces(parts)))
        outcome["keys"] = rows
    return consumed(outcome)


def run_emission(job: tuple[Global, Context], unit: Emission) -> Outcome:
    """Emit the keys of the documents that a round requested."""
    step, context = job
    with blamed(), unit_files(unit.directory) as (directory, outcome):
        wanted = read_table(unit.rows, unit.shard).combine_chunks()
        rows, extra = wanted.column("row").combine_chunks(), wanted.drop_columns(["shard", "row"])
        with KeyWriter(directory / "keys.arrow", unit.shard, step.open(context), unit.num_partitions) as keys:
            for batch in read_documents(unit.documents):
                index = pc.index_in(batch.column("_row"), rows)
                batch = batch.filter(pc.is_valid(index))
                index = index.drop_null()
                for name in extra.column_names:
                    batch = batch.append_column(name, extra.column(name).combine_chunks().take(index))
                keys.write(batch)
    return consumed(outcome)


class ShardDecision(NamedTuple):
    """The part of a decision that concerns one shard."""

    place: int
    """Index of this shard's table in the files."""
    drops: str
    edits: str | None
    columns: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decided:
    """A published decision."""

    info: Mapping[str, object]
    blocks: Sequence[Block]
    """Files `drops.arrow`, and `edits.arrow` and `columns.arrow` if there are any, each for some shards."""
    tables: Mapping[str, str]
    """Name of each table kept in the artifact → its address."""

    def of(self, shard: int) -> ShardDecision:
        """The part that concerns one shard."""
        block = self.blocks[shard // shards_per_block(self.blocks[0].num_shards)]
        at = {name: f"{block.directory}/{name}" for name, _ in block.sources}
        place = shard - block.shards.start
        return ShardDecision(place=place, drops=at[DROPS], edits=at.get(EDITS), columns=at.get(COLUMNS))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Exchange:
    """One Global step over one set of documents."""

    space: Workspace
    directory: str
    """Address below which everything is published."""
    fingerprint: str
    """Fingerprint of all inputs: the step and all units of the segment before it."""
    documents: tuple[str, ...]
    """The documents of every shard, as the step sees them."""
    context: Context
    deciding: list[float] = dataclasses.field(default_factory=list)
    """CPU seconds of the decisions themselves, which are made in this process."""

    @property
    def decision(self) -> _Making:
        """The unit that is in the journal once the decision is made."""
        return _Making(fingerprint=self.fingerprint, directory=f"{self.directory}/decision")

    def shuffle_and_decide(self, step: Global, keys: Sequence[str]) -> Decided:
        """Reduce `keys`, decide, and publish the drops and edits of every shard.

        The inputs of the decision are deleted once it is published: keys alone may need more space than the documents.
        """
        unit = self.decision
        outcome = self.space.run_one(partial(self._make, step, keys), unit)
        self._clear(keys)
        names = sorted(cast(Mapping[str, object], outcome[FILES]))
        at = {name: f"{unit.directory}/{name}" for name in names}
        sources = {name: at[name] for name in names if name in (DROPS, EDITS, COLUMNS)}
        shares = blocks(self.directory, fingerprint([self.fingerprint, "blocks"]), len(self.documents), sources)
        self._run(f"{step.name}: hand out", run_block, shares)
        return Decided(
            info=cast(Mapping[str, object], outcome["info"]),
            blocks=shares,
            tables={name: at[name] for name in names if name.endswith(".parquet")},
        )

    def _make(self, step: Global, keys: Sequence[str], unit: _Making) -> Outcome:
        decision = self._decide(step, keys, 0)
        with unit_files(unit.directory) as (directory, outcome):
            for name, tables in (
                (DROPS, decision.drop_tables or [decision.drops]),
                (EDITS, decision.edits),
                (COLUMNS, [] if decision.columns is None else [decision.columns]),
            ):
                with BlockWriter(directory / name, len(self.documents)) as writer:
                    for table in tables:
                        writer.write(table)
            for name, parts in decision.tables.items():
                write_parquet(directory / f"{name}.parquet", parts)
            outcome["info"] = dict(decision.info)
            outcome["cpu_seconds"] = round(sum(self.deciding), 3)
        return outcome

    def _clear(self, keys: Sequence[str]) -> None:
        """Delete the inputs of the decision; the units stay finished without them."""
        store, folder = split(self.directory)
        below = store.list(f"{folder}/rounds/")
        delete([*keys, *(f"{store.url}/{key}" for key in below)])

    def _decide(self, step: Global, keys: Sequence[str], depth: int) -> Decision:
        directory = f"{self.directory}/rounds/{depth}"
        num_partitions = partitions_for(step, len(self.documents))
        keys = self._merged(keys, step.name, num_partitions, depth)
        units = [
            Reduction(
                fingerprint=fingerprint([self.fingerprint, depth, p]),
                partition=p,
                num_partitions=num_partitions,
                keys=tuple(keys),
                directory=f"{directory}/part-{p:04d}",
            )
            for p in range(num_partitions)
        ]
        self._run(f"{step.name}: reduce", partial(run_reduction, step), units)
        reduced = [f"{u.directory}/reduced.arrow" for u in units]
        started = time.process_time()
        with blamed():
            decision = step.decide(_Reduced(reduced))
        self.deciding.append(time.process_time() - started)
        if isinstance(decision.then, IterativeReduce):
            identity = fingerprint([self.fingerprint, depth, "iterate"])
            decision = decision.then.finish(iterate(decision.then, reduced, directory, identity, self._run))
        assert not isinstance(decision.then, IterativeReduce), "one iterative reduction per round"
        return decision if decision.then is None else self._again(decision.then)

    def _merged(self, keys: Sequence[str], name: str, num_partitions: int, depth: int) -> Sequence[str]:
        """The key files, merged if there are too many of them."""
        if len(keys) <= MOST_FILES:
            return keys
        size = math.ceil(len(keys) / MOST_FILES)
        units = [
            Merging(
                fingerprint=fingerprint([self.fingerprint, depth, "merge", start]),
                directory=f"{self.directory}/rounds/{depth}/keys-{start // size:04d}",
                num_partitions=num_partitions,
                keys=tuple(keys[start : start + size]),
            )
            for start in range(0, len(keys), size)
        ]
        self._run(f"{name}: merge keys", run_merging, units)
        return [f"{unit.directory}/keys.arrow" for unit in units]

    def _again(self, again: Round) -> Decision:
        depth = len(self.deciding)  # decisions made so far: rounds may follow rounds in any way
        directory = f"{self.directory}/rounds/{depth}"
        with unit_files(directory) as (folder, _):
            write_tables(folder / "rows.arrow", _by_shard(again.rows, len(self.documents)))
        units = [
            Emission(
                fingerprint=fingerprint([self.fingerprint, depth, "shard", i]),
                shard=i,
                documents=address,
                num_partitions=partitions_for(again.step, len(self.documents)),
                rows=f"{directory}/rows.arrow",
                directory=f"{directory}/shard-{i:05d}",
            )
            for i, address in enumerate(self.documents)
        ]
        self._run(f"{again.step.name}: verify", partial(run_emission, (again.step, self.context)), units)
        decision = again.finish(self._decide(again.step, [f"{u.directory}/keys.arrow" for u in units], depth))
        assert not isinstance(decision.then, IterativeReduce), "rounds over tables come before those over documents"
        return decision if decision.then is None else self._again(decision.then)

    def _run(self, label: str, function: Callable[[U], Outcome], units: Sequence[U]) -> list[Outcome]:
        done = {d.index: d.outcome for d in self.space.run_units(function, units, label, total=len(units))}
        return [done[index] for index in range(len(units))]


class _Reduced:
    """The reduced tables in order of partition and key, loaded one at a time, as often as needed."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses

    def __iter__(self) -> Iterator[pa.Table]:
        return (table for address in self._addresses for table in read_tables(address))


def _by_shard(rows: pa.Table, num_shards: int) -> list[pa.Table]:
    shard = rows.column("shard").to_numpy()
    if np.any(shard[1:] < shard[:-1]):
        rows = rows.sort_by([("shard", "ascending"), ("row", "ascending")])
        shard = rows.column("shard").to_numpy()
    edges = np.searchsorted(shard, np.arange(num_shards + 1))
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
