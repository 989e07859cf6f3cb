"""Rounds over tables (see `IterativeReduce`): rows go to the partition of their key and come back as other rows.

A unit reads its partition of the output of all units of the previous round, piece by piece, and writes

    rows.arrow  tables piece 0 partition 0, piece 0 partition 1 …
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from dclm.core.cache import scratch_directory
from dclm.core.journal import Outcome
from dclm.core.record import fingerprint
from dclm.core.stage import consumed, unit_files
from dclm.core.store import delete
from dclm.curate.files import read_tables, write_tables
from dclm.curate.keys import map_partition
from dclm.curate.pieces import pieces
from dclm.curate.step import IterativeReduce

Run = Callable[[str, Callable[["IterationUnit"], Outcome], Sequence["IterationUnit"]], list[Outcome]]
"""Runs units (label, function, units); returns their outcomes in order."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IterationUnit:
    """One partition in one round."""

    fingerprint: str
    directory: str
    partition: int
    partitions: int
    turn: int | None
    """Index of the iteration's step; None: rows are made from reduced tables."""
    sources: tuple[str, ...]
    """Files of the previous round; the partition's reduced tables if `turn` is None."""


class _Iteration:
    """Everything that the units of an iteration need to run; picklable, without data that only the driver needs."""

    def __init__(self, iteration: IterativeReduce) -> None:
        self._start, self._steps = iteration.start, iteration.steps

    def __call__(self, unit: IterationUnit) -> Outcome:
        num_changed = 0

        def passed(near: Path) -> Iterator[pa.Table]:
            nonlocal num_changed
            if unit.turn is None:
                for table in read_tables(unit.sources[0]):
                    yield from _spread(self._start(table), unit.partitions)
                return
            for piece in pieces(map_partition(unit.sources, unit.partition, unit.partitions, near)):
                found = self._steps[unit.turn](piece)
                num_changed += found.num_changed
                yield from _spread(found.rows, unit.partitions)

        with unit_files(unit.directory) as (directory, outcome), scratch_directory() as near:
            write_tables(directory / "rows.arrow", passed(near))
            outcome["num_changed"] = num_changed
        return consumed(outcome)


def iterate(
    iteration: IterativeReduce, reduced: Sequence[str], directory: str, identity: str, run: Run
) -> Iterator[pa.Table]:
    """Rounds until each step in turn has changed nothing; yields the last rows, with all rows of a key in one table."""
    count = len(reduced)

    def units(number: int, turn: int | None, sources: Sequence[tuple[str, ...]]) -> list[IterationUnit]:
        return [
            IterationUnit(
                fingerprint=fingerprint([identity, number, p]),
                partition=p,
                partitions=count,
                turn=turn,
                directory=f"{directory}/iteration-{number:03d}/part-{p:04d}",
                sources=sources[p],
            )
            for p in range(count)
        ]

    parts = units(0, None, [(path,) for path in reduced])
    run("iteration: start", _Iteration(iteration), parts)
    quiet = 0
    for number in itertools.count(1):
        files = tuple(f"{part.directory}/rows.arrow" for part in parts)
        if quiet == len(iteration.steps):
            break
        parts = units(number, (number - 1) % len(iteration.steps), [files] * count)
        done = run(f"iteration: round {number}", _Iteration(iteration), parts)
        delete(files)  # of the previous round: the units that read it are finished
        quiet = 0 if any(outcome["num_changed"] for outcome in done) else quiet + 1
    for partition in range(count):
        with scratch_directory() as near:
            yield from pieces(map_partition(files, partition, count, near))


def _spread(rows: pa.Table, partitions: int) -> list[pa.Table]:
    key = rows.column("key").to_numpy()
    place = (key % np.uint64(partitions)).astype(np.uint16)
    order = np.lexsort((key, place))
    edges = np.searchsorted(place[order], np.arange(partitions + 1))
    rows = rows.take(pa.array(order))
    return [rows.slice(a, b - a) for a, b in itertools.pairwise(edges)]
