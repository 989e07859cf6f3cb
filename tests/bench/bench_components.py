"""Connected components of a stream of random edges: `python -m tests.bench.bench_components [EDGES] [EDGES_IN_ROUNDS]`.

On one worker (1e8 edges between 5e7 documents by default), in a separate process whose peak memory is printed; and in
rounds over partitions (1e7), also with one worker, where memory is what a worker holds at a time.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dclm.core.journal import Outcome
from dclm.curate.files import write_tables
from dclm.curate.iterate import IterationUnit, iterate
from dclm.curate.step import Decision, IterativeReduce
from dclm.dedup.groups.components import Links, components
from dclm.dedup.groups.stars import components_of, edges_of, large_star, small_star
from tests.bench.bench_dedup_scale import peak_bytes

PART = 1 << 22  # edges in memory at once
PARTITIONS = 16


class Edges:
    """The same random edges on every iteration, `PART` at a time; half as many documents."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Links]:
        for start in range(0, self.count, PART):
            draw = np.random.default_rng(start)
            ends = draw.integers(0, self.count // 2, (2, min(PART, self.count - start)))
            ends = ends[:, ends[0] != ends[1]]
            yield Links(ends.min(axis=0), ends.max(axis=0))


class Found(NamedTuple):
    """Result and cost of one method."""

    documents: int
    components: int
    seconds: float
    peak_bytes: int


def on_one_worker(count: int) -> Found:
    """Union-find."""
    components([Links(np.zeros(1, np.int64), np.ones(1, np.int64))])  # compiles
    started = time.process_time()
    found = components(Edges(count))
    return _found(found.root, time.process_time() - started)


def in_rounds(count: int) -> Found:
    """Large and small stars over files."""
    rounds = IterativeReduce(
        start=edges_of, steps=(large_star, small_star), finish=lambda rows: Decision(drops=pa.table({}))
    )
    with tempfile.TemporaryDirectory() as directory:
        reduced = [Path(directory) / f"reduced-{part}.arrow" for part in range(PARTITIONS)]
        parts = [pa.table(links._asdict()) for links in Edges(count)]
        for part, path in enumerate(reduced):
            write_tables(path, [_share(table, part) for table in parts])
        del parts
        started = time.process_time()
        found = components_of(iterate(rounds, [str(path) for path in reduced], directory, "", _run))
        return _found(found.root, time.process_time() - started)


def _share(table: pa.Table, part: int) -> pa.Table:
    start, end = (table.num_rows * p // PARTITIONS for p in (part, part + 1))
    return table.slice(start, end - start)


def _run(label: str, function: Callable[[IterationUnit], Outcome], units: Sequence[IterationUnit]) -> list[Outcome]:
    return [function(unit) for unit in units]


def _found(root: np.ndarray, seconds: float) -> Found:
    return Found(len(root), int((root == np.arange(len(root))).sum()), seconds, peak_bytes())


def main(edges: int = 100_000_000, edges_in_rounds: int = 10_000_000) -> None:
    """Print the table."""
    print("| way | edges | documents | components | CPU s | edges/s | peak |\n|---|---|---|---|---|---|---|")
    spawn = multiprocessing.get_context("spawn")
    for way, count in ((on_one_worker, edges_in_rounds), (in_rounds, edges_in_rounds), (on_one_worker, edges)):
        with spawn.Pool(1) as worker:
            found = worker.apply(way, (count,))
        numbers = f"{count:,} | {found.documents:,} | {found.components:,} | {found.seconds:,.0f}"
        print(
            f"| {way.__name__} | {numbers} | {count / found.seconds:,.0f} | {found.peak_bytes / 1e9:.1f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
