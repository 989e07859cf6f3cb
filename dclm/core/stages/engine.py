"""The interface of engines: run one function over many units, anywhere, and return its results.

The engines themselves are in `dclm.engine` (processes on one machine, or Ray). Stages in lower layers take an `Engine`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, NamedTuple, Protocol, TypeVar

U = TypeVar("U")
R = TypeVar("R")
GROUP_SECONDS = 0.25
"""Target duration of a group of units, in seconds, so that the driver's cost per unit stays small."""
MAX_GROUP = 4096
WAIT_SECONDS = float(os.environ.get("DCLM_RAY_WAIT_SECONDS", "900"))
"""Maximum number of seconds that work waits for nodes of a cluster that can run it."""


class Engine(Protocol):
    """Schedules units of work. Results depend neither on the engine nor on the number of workers."""

    @property
    def workers(self) -> int:
        """Number of units that run at once."""

    @property
    def on_this_machine(self) -> bool:
        """Whether all workers share this machine's memory."""

    @property
    def gpus(self) -> int | None:
        """Number of GPUs on the nodes that run units now; None for this machine's, which torch knows."""

    def for_stage(self, kind: str) -> Engine:
        """This engine with the resource requests of the stage that makes artifacts of this kind. It may keep
        processes for later calls of `map` until `end_stage`."""

    def end_stage(self) -> None:
        """End the processes that are kept for further work of the stage."""

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        """`(index of the unit, result)` in order of completion. Units are drawn lazily, a few groups ahead.

        With `one_gpu_each` each worker sees one GPU that no other worker sees, and there are as many workers as GPUs.

        `function`, units and results are pickled, so use a module-level function or a `functools.partial` of one, and
        small values (data is passed in files that all workers can reach). The first exception stops the work and is
        raised here with a note that names the unit; running units are waited for or stopped. The death of a worker
        process (out of memory, kill) also raises.
        """


@contextlib.contextmanager
def staged(engine: Engine, kind: str) -> Iterator[Engine]:
    """`engine.for_stage(kind)`, whose processes end with the block. Blocks of one stage may contain each other."""
    chosen = engine.for_stage(kind)
    try:
        yield chosen
    finally:
        chosen.end_stage()


class SerialEngine:
    """An engine that runs every unit here, one after the other."""

    workers = 1
    on_this_machine = True
    gpus: int | None = None

    def for_stage(self, kind: str) -> Engine:
        return self

    def end_stage(self) -> None:
        pass

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        for index, unit in enumerate(units):
            yield index, function(unit)


class Group(NamedTuple, Generic[U]):
    """Consecutive units that are handed to a worker together."""

    first: int
    """Index of the first unit."""
    units: list[U]


class Done(NamedTuple, Generic[R]):
    """The results of a group of units, and how long it took."""

    results: list[R]
    seconds: float


class Groups(Generic[U]):
    """Splits a lazy sequence of units into groups whose size follows the time that earlier groups took.

    The size only affects when units run.
    """

    def __init__(self, units: Iterable[U], workers: int, single: bool = False) -> None:
        """`single`: always one unit per group."""
        self._rest = iter(units)
        self._next = 0
        self._size = 1
        self._workers = max(1, workers)
        self._single = single

    def draw(self) -> Group[U] | None:
        """The next group; None when there are no more units."""
        units = list(itertools.islice(self._rest, self._size))
        if not units:
            return None
        first, self._next = self._next, self._next + len(units)
        return Group(first, units)

    def learn(self, count: int, seconds: float) -> None:
        """Record how long a group of `count` units took. Sizes at most double from one group to the next."""
        if self._single:
            return
        wanted = GROUP_SECONDS / max(seconds / count, 1e-6)
        self._size = max(1, min(int(wanted), 2 * count, MAX_GROUP))


def run_group(function: Callable[[U], R], group: Group[U]) -> Done[R]:
    """Run a group's units in this process."""
    started = time.perf_counter()
    results = []
    for offset, unit in enumerate(group.units):
        try:
            results.append(function(unit))
        except Exception as error:
            error.add_note(f"unit {group.first + offset}")
            raise
    return Done(results, time.perf_counter() - started)
