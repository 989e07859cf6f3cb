"""The cost of a stage's driver: a million units that do nothing, then a restart that finds them all finished.

`python -m tests.bench.bench_driver --units 1000000 --on local|ray`
"""

from __future__ import annotations

import argparse
import contextlib
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from dclm.core.record import Record, fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stage import Workspace, run_stage
from dclm.engine import open_engine
from tests.bench.rows import report


class Nothing(NamedTuple):
    """A unit without work."""

    fingerprint: str
    directory: str = "nowhere"


class Many:
    """A number of such units, created on demand."""

    def __init__(self, count: int) -> None:
        self._count = count

    def __iter__(self) -> Iterator[Nothing]:
        return (Nothing(f"{number:016x}") for number in range(self._count))


class Stopped(Exception):
    """Ends the stage before its record is written, so that it can be restarted."""


def do(unit: Nothing) -> Outcome:
    return {}


def once(out: Path, count: int, on: str, workers: int, stop: bool) -> float:
    """Seconds for the stage to process all units."""
    identity = fingerprint(["bench", count])

    def make(space: Workspace) -> Record:
        done = sum(1 for _ in space.run_units(do, Many(count), "nothing", total=count))
        assert done == count
        if stop:
            raise Stopped
        return Record(kind="pool", name="bench", fingerprint=identity, config={})

    started = time.perf_counter()
    with open_engine(on, workers) as engine, contextlib.suppress(Stopped):
        run_stage(out, kind="pool", identity=identity, make=make, engine=engine, progress=NullProgress())
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--units", type=int, default=1_000_000)
    parser.add_argument("--on", default="local")
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "out"
        seconds = once(out, given.units, given.on, given.workers, stop=True)
        restart = once(out, given.units, given.on, given.workers, stop=False)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    what = f"{given.units:,} empty units on {given.on}"
    report(what, "s", seconds)
    report(f"{what}, restart", "s", restart)
    report(f"{what}, peak", "MiB", peak)


if __name__ == "__main__":
    main()
