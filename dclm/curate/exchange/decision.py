"""Between segments: keys from all shards → reduce per partition → one decision → drops and edits per shard.

A decision may request more work before it is final (see `dclm.curate.global_step`): a round over some documents, whose
keys are emitted, reduced and decided on in the same way, or work on tables (see `dclm.curate.exchange.iterate`).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple, TypeVar, cast

from dclm.core.record import fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import FILES, Workspace, unit_files
from dclm.core.stores.store import delete, split
from dclm.curate.exchange.iterate import IterationUnit, StoredTables, iterate, regroup
from dclm.curate.exchange.keys import MOST_FILES, partitions_for
from dclm.curate.exchange.routing import BlockWriter, ShardBlock, blocks, run_block, shards_per_block
from dclm.curate.exchange.units import Emission, Merging, Reduction, run_emission, run_merging, run_reduction
from dclm.curate.global_step import Decision, Global, IterativeReduce, Regroup, Round
from dclm.curate.output.files import write_parquet
from dclm.curate.own.blame import blamed
from dclm.curate.step import Context

U = TypeVar("U", Merging, Reduction, Emission, IterationUnit, ShardBlock)
T = TypeVar("T", Decision, StoredTables)
DROPS, EDITS, COLUMNS = "drops.arrow", "edits.arrow", "columns.arrow"
ROWS = "rows.arrow"


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Making:
    """The decision as a unit of work, which the driver does itself."""

    fingerprint: str
    directory: str


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
    blocks: Sequence[ShardBlock]
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
        decision = self._decide(step, keys)
        with unit_files(unit.directory) as (directory, outcome):
            for name, tables in (
                (DROPS, decision.drop_tables or [decision.drops]),
                (EDITS, decision.edits),
                (COLUMNS, decision.columns),
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

    def _decide(self, step: Global, keys: Sequence[str]) -> Decision:
        """The final decision of a step: reduce its keys, decide, and do whatever more work the decision requests."""
        depth = self._depth
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
        decision = self._timed(step.decide, StoredTables([f"{u.directory}/reduced.arrow" for u in units]))
        while decision.then is not None:
            decision = self._further(decision.then)
        return decision

    @property
    def _depth(self) -> int:
        """The number of decisions made so far: further work may follow in any way."""
        return len(self.deciding)

    def _timed(self, decide: Callable[[T], Decision], found: T) -> Decision:
        started = time.process_time()
        with blamed():
            decision = decide(found)
        self.deciding.append(time.process_time() - started)
        return decision

    def _further(self, work: Round | IterativeReduce | Regroup) -> Decision:
        if isinstance(work, Round):
            return self._timed(work.finish, self._decide(work.step, self._emitted(work)))
        directory = f"{self.directory}/rounds/{self._depth}"
        identity = fingerprint([self.fingerprint, self._depth, "tables"])
        if isinstance(work, IterativeReduce):
            return self._timed(work.finish, iterate(work, directory, identity, self._run))
        return self._timed(work.finish, regroup(work, directory, identity, self._run))

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

    def _emitted(self, again: Round) -> Sequence[str]:
        """The key files of a further round, one per shard."""
        depth = self._depth
        directory = f"{self.directory}/rounds/{depth}"
        with unit_files(f"{directory}/rows") as (folder, _), BlockWriter(folder / ROWS, len(self.documents)) as writer:
            for table in again.rows:
                writer.write(table)
        identity, sources = fingerprint([self.fingerprint, depth, "rows"]), {ROWS: f"{directory}/rows/{ROWS}"}
        shares = blocks(directory, identity, len(self.documents), sources)
        self._run(f"{again.step.name}: hand out", run_block, shares)
        size = shards_per_block(len(self.documents))
        units = [
            Emission(
                fingerprint=fingerprint([self.fingerprint, depth, "shard", i]),
                shard=i,
                documents=address,
                num_partitions=partitions_for(again.step, len(self.documents)),
                rows=f"{shares[i // size].directory}/{ROWS}",
                place=i % size,
                directory=f"{directory}/shard-{i:05d}",
            )
            for i, address in enumerate(self.documents)
        ]
        self._run(f"{again.step.name}: verify", partial(run_emission, (again.step, self.context)), units)
        return [f"{u.directory}/keys.arrow" for u in units]

    def _run(self, label: str, function: Callable[[U], Outcome], units: Sequence[U]) -> list[Outcome]:
        done = {d.index: d.outcome for d in self.space.run_units(function, units, label, total=len(units))}
        return [done[index] for index in range(len(units))]
