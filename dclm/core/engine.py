"""What a stage needs of an engine: run one function over many units, anywhere, and hand back what it returns.

The engines themselves live in `dclm.engine` (processes on one machine, or Ray). Stages below them take an `Engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

U = TypeVar("U")
R = TypeVar("R")


class Engine(Protocol):
    """Schedules units of work. Results never depend on which engine runs, nor on how many workers it has."""

    @property
    def workers(self) -> int:
        """How many units run at once."""

    @property
    def on_this_machine(self) -> bool:
        """Whether all workers share this machine's memory."""

    def map(
        self, function: Callable[[U], R], units: Sequence[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        """`(index of the unit, result)` in order of completion.

        With `one_gpu_each` a worker sees one GPU, which no other worker sees, and there are as many workers as GPUs.

        `function`, units and results are pickled: a module's function or a `functools.partial` of one, and small
        values (data goes through files on storage that all workers share). The first exception ends the work, and is
        raised here with a note saying which unit it was; units that are running are waited for or stopped, not lost
        in silence. A worker process that dies (out of memory, kill) raises too.
        """


class Serial:
    """An engine that runs every unit here, one after the other."""

    workers = 1
    on_this_machine = True

    def map(
        self, function: Callable[[U], R], units: Sequence[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        for index, unit in enumerate(units):
            yield index, function(unit)
