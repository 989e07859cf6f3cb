"""Connected components of a stream of random edges: `python -m tests.bench.bench_components [EDGES] [EDGES_IN_ROUNDS]`.

On one worker (1e8 edges between 5e7 documents by default, none with 0), in a separate process whose peak memory is
printed; and in rounds over partitions (1e7), also with one worker, where memory is what a worker holds at a time. The
whole decision of `minhash`, on as many links into small clusters, is made in both ways, too: at once in one process,
and in partitions, where this process does the work of all workers.
"""

from __future__ import annotations

import itertools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from dclm.core.stages.journal import Outcome
from dclm.curate.exchange.iterate import IterationUnit, StoredTables, iterate, regroup
from dclm.curate.global_step import Decision, IterativeReduce, Regroup
from dclm.curate.output.files import write_tables
from dclm.dedup.groups.components import Links, components
from dclm.dedup.groups.stars import edges_of, large_star, small_star
from dclm.dedup.minhash.step import MinHash
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
    with tempfile.TemporaryDirectory() as directory:
        reduced = _stored(directory, [pa.table(links._asdict()) for links in Edges(count)])
        rounds = IterativeReduce(
            source=reduced,
            start=edges_of,
            steps=(large_star, small_star),
            finish=lambda _: Decision(drops=pa.table({})),
        )
        started = time.process_time()
        stars = [table.select(["key", "other"]) for table in iterate(rounds, directory, "", _run)]
        seconds = time.process_time() - started
    rows = pa.concat_tables(stars)
    key, other = rows["key"].to_numpy().astype(np.int64), rows["other"].to_numpy()
    roots = len(np.unique(other[other < key]))
    return Found(int((other < key).sum()) + roots, roots, seconds, peak_bytes())


def decided_at_once(count: int) -> Found:
    """MinHash's decision on small clusters, by one process."""
    return _decided(MinHash(links_in_memory=count), count)


def decided_in_partitions(count: int) -> Found:
    """The same decision in partitions."""
    return _decided(MinHash(links_in_memory=0), count)


def _decided(step: MinHash, count: int) -> Found:
    """Each link connects a document of its own to one of as many others; drops and tables are read and let go."""
    with tempfile.TemporaryDirectory() as directory:
        parts = []
        for start in range(0, count, PART):
            first = np.random.default_rng(start).integers(0, count, min(PART, count - start)) * 2
            second = np.arange(start, start + len(first)) * 2 + 1
            parts.append(pa.table({"first": np.minimum(first, second), "second": np.maximum(first, second)}))
        reduced = _stored(directory, parts)
        del parts
        started = time.process_time()
        decision = step.decide(reduced)
        for depth in itertools.count():
            if decision.then is None:
                break
            work = decision.then
            assert isinstance(work, IterativeReduce | Regroup)
            do = iterate if isinstance(work, IterativeReduce) else regroup
            decision = work.finish(do(work, f"{directory}/{depth}", str(depth), _run))  # type: ignore[arg-type]
        dropped = sum(table.num_rows for table in decision.drop_tables or [decision.drops])
        members = [sum(part.num_rows for part in table) for table in decision.tables.values()]
        assert members[1] == dropped
        return Found(members[0], members[0] - dropped, time.process_time() - started, peak_bytes())


def _stored(directory: str, tables: Sequence[pa.Table]) -> StoredTables:
    """The tables in files of partitions."""
    paths = [Path(directory) / f"reduced-{part}.arrow" for part in range(PARTITIONS)]
    for part, path in enumerate(paths):
        write_tables(path, [_share(table, part) for table in tables])
    return StoredTables([str(path) for path in paths])


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
    both = (on_one_worker, in_rounds, decided_at_once, decided_in_partitions)
    for way, count in (*((way, edges_in_rounds) for way in both), *(((on_one_worker, edges),) if edges else ())):
        with spawn.Pool(1) as worker:
            found = worker.apply(way, (count,))
        numbers = f"{count:,} | {found.documents:,} | {found.components:,} | {found.seconds:,.0f}"
        print(
            f"| {way.__name__} | {numbers} | {count / found.seconds:,.0f} | {found.peak_bytes / 1e9:.1f} GB |",
            flush=True,
        )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
