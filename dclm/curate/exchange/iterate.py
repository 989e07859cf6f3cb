"""Work on tables between two decisions: rows go to the partition of their key and come back as other rows.

`iterate` repeats this until nothing changes (see `IterativeReduce`), `regroup` does it once (see `Regroup`). A unit
reads its partition of the output of all units before it, piece by piece, and writes

    rows.arrow     tables piece 0 partition 0, piece 0 partition 1 …
    reduced.arrow  the last unit of a partition: its tables, in order of the key
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from dclm.core.record import fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import consumed, unit_files
from dclm.core.stores.cache import scratch_directory
from dclm.core.stores.store import delete
from dclm.curate.exchange.keys import map_partition
from dclm.curate.exchange.passes import Pass
from dclm.curate.exchange.pieces import pieces
from dclm.curate.global_step import IterativeReduce, Regroup
from dclm.curate.output.files import map_tables, read_tables, write_tables
from dclm.curate.own.blame import blamed

Rows = Callable[[pa.Table], pa.Table]
Run = Callable[[str, Callable[["IterationUnit"], Outcome], Sequence["IterationUnit"]], list[Outcome]]
"""Runs units (label, function, units); returns their outcomes in order."""


class StoredTables:
    """Tables in files, by partition (see `Tables`)."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self.addresses = addresses

    def __iter__(self) -> Iterator[pa.Table]:
        return (table for address in self.addresses for table in read_tables(address))

    def by_key(self) -> Iterator[pa.Table]:
        """The rows in order of their key, merged from all files."""
        with scratch_directory() as near:
            yield from pieces([map_tables(address, slice(None), near) for address in self.addresses])


@dataclasses.dataclass(frozen=True, kw_only=True)
class IterationUnit:
    """One partition in one round."""

    fingerprint: str
    directory: str
    partition: int
    partitions: int
    sources: tuple[str, ...]
    """Files of the previous round, or one file of tables to start from."""


def run_start(start: Rows, unit: IterationUnit) -> Outcome:
    """Spread the rows made from the tables of one file over all partitions."""
    with blamed(), unit_files(unit.directory) as (directory, outcome):
        tables = (part for table in read_tables(unit.sources[0]) for part in _spread(start(table), unit.partitions))
        write_tables(directory / "rows.arrow", tables)
    return consumed(outcome)


def run_step(step: Callable[[pa.Table], Pass], unit: IterationUnit) -> Outcome:
    """One step of an iteration on one partition."""
    num_changed = 0

    def passed(parts: Iterable[pa.Table]) -> Iterator[pa.Table]:
        nonlocal num_changed
        for piece in parts:
            found = step(piece)
            num_changed += found.num_changed
            yield from _spread(found.rows, unit.partitions)

    with blamed(), unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = pieces(map_partition(unit.sources, unit.partition, unit.partitions, near))
        write_tables(directory / "rows.arrow", passed(parts))
        outcome["num_changed"] = num_changed
    return consumed(outcome)


def run_last(reduce: Rows | None, unit: IterationUnit) -> Outcome:
    """The tables of one partition, reduced."""
    with blamed(), unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
        parts = pieces(map_partition(unit.sources, unit.partition, unit.partitions, near))
        write_tables(directory / "reduced.arrow", parts if reduce is None else map(reduce, parts))
    return consumed(outcome)


def iterate(iteration: IterativeReduce, directory: str, identity: str, run: Run) -> StoredTables:
    """Rounds until each step in turn has changed nothing. The result is the last rows, all rows of a key in one
    table."""
    starts = _addresses(iteration.source)
    count = len(starts)

    def units(number: int, sources: Sequence[tuple[str, ...]]) -> list[IterationUnit]:
        return _units(f"{directory}/iteration-{number:03d}", fingerprint([identity, number]), count, sources)

    parts = units(0, [(path,) for path in starts])
    run("iteration: start", partial(run_start, iteration.start), parts)
    quiet = 0
    for number in itertools.count(1):
        files = tuple(f"{part.directory}/rows.arrow" for part in parts)
        parts = units(number, [files] * count)
        if quiet == len(iteration.steps):
            run("iteration: end", partial(run_last, None), parts)
            delete(files)
            return _stored(parts)
        step = iteration.steps[(number - 1) % len(iteration.steps)]
        done = run(f"iteration: round {number}", partial(run_step, step), parts)
        delete(files)  # of the previous round: the units that read it are finished
        quiet = 0 if any(outcome["num_changed"] for outcome in done) else quiet + 1
    raise AssertionError


def regroup(work: Regroup, directory: str, identity: str, run: Run) -> StoredTables:
    """The reduced tables."""
    count = len(_addresses(work.sources[0].tables))
    files: list[str] = []
    for number, source in enumerate(work.sources):
        starts = [(address,) for address in _addresses(source.tables)]
        parts = _units(f"{directory}/source-{number}", fingerprint([identity, number]), count, starts)
        run(f"{work.label}: spread", partial(run_start, source.rows), parts)
        files += [f"{part.directory}/rows.arrow" for part in parts]
    parts = _units(f"{directory}/groups", fingerprint([identity, "groups"]), count, [tuple(files)] * count)
    run(f"{work.label}: reduce", partial(run_last, work.reduce), parts)
    delete(files)
    return _stored(parts)


def _units(directory: str, identity: str, count: int, sources: Sequence[tuple[str, ...]]) -> list[IterationUnit]:
    return [
        IterationUnit(
            fingerprint=fingerprint([identity, p]),
            directory=f"{directory}/part-{p:04d}",
            partition=p,
            partitions=count,
            sources=mine,
        )
        for p, mine in enumerate(sources)
    ]


def _addresses(tables: Iterable[pa.Table]) -> Sequence[str]:
    assert isinstance(tables, StoredTables), "work on tables begins with tables that the engine handed out"
    return tables.addresses


def _stored(parts: Sequence[IterationUnit]) -> StoredTables:
    return StoredTables([f"{part.directory}/reduced.arrow" for part in parts])


def _spread(rows: pa.Table, partitions: int) -> list[pa.Table]:
    key = rows.column("key").to_numpy()
    place = (key % np.uint64(partitions)).astype(np.uint16)
    order = np.lexsort((key, place))
    edges = np.searchsorted(place[order], np.arange(partitions + 1))
    rows = rows.take(order)
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
