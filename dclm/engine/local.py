"""The local engine: worker processes on this machine (or none, for one worker)."""

from __future__ import annotations

import dataclasses
import itertools
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import active_children, parent_process
from multiprocessing.context import SpawnContext, SpawnProcess
from pathlib import Path
from typing import Any, Generic, TypeVar

from dclm.core.errors import DataError
from dclm.core.stages import stopping
from dclm.core.stages.engine import Done, Engine, Group, Groups, run_group

U = TypeVar("U")
R = TypeVar("R")
POLL_SECONDS = 1.0
ATTEMPTS = 3
"""Number of times a unit may kill its worker process before the run stops."""


class LocalEngine:
    """Runs units in `workers` processes; with one, in this process."""

    on_this_machine = True
    gpus: int | None = None

    def __init__(self, workers: int | None = None) -> None:
        self._workers = workers or os.cpu_count() or 1
        self._keeps = False
        self._kept: ProcessPoolExecutor | None = None

    @property
    def workers(self) -> int:
        return self._workers

    def for_stage(self, kind: str) -> Engine:
        """An engine whose processes serve all calls of `map` until `end_stage`, so that they import libraries once."""
        if self._workers == 1 or self._keeps:
            return self
        engine = LocalEngine(self._workers)
        engine._keeps = True
        return engine

    def end_stage(self) -> None:
        if self._kept is not None:
            self._kept.shutdown()
            self._kept = None

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        """See `Engine.map`. A unit whose process dies is retried, up to `ATTEMPTS` times in total."""
        gpus = visible_gpus() if one_gpu_each else ()
        workers = max(1, len(gpus)) if one_gpu_each else self._workers
        rest = iter(units)
        ahead = list(itertools.islice(rest, 2))
        if workers == 1 or len(ahead) < 2:
            for index, unit in enumerate(itertools.chain(ahead, rest)):
                yield index, function(unit)
            return
        groups = Groups(itertools.chain(ahead, rest), workers, single=one_gpu_each)
        again: dict[int, _Attempt[U]] = {}
        more = True
        with stopping.watched():
            while (more or again) and not stopping.requested():
                more = yield from self._round(function, groups, again, workers, gpus)

    def _round(
        self,
        function: Callable[[U], R],
        groups: Groups[U],
        again: dict[int, _Attempt[U]],
        workers: int,
        gpus: tuple[str, ...],
    ) -> Generator[tuple[int, R], None, bool]:
        """Work with one process pool until all units are done, or one has killed its process. False when none is left.

        again: units that were running when a process died, each to be run alone; finished ones are removed.
        """
        pool = self._take_pool(workers, gpus)
        drawn: Group[U] | None = None
        finished = False
        running: dict[Future[Done[R]], Group[U]] = {}
        patience = _Patience()
        alone = iter([Group(index, [attempt.unit]) for index, attempt in sorted(again.items())])
        try:
            while True:
                while len(running) < workers and not stopping.requested():
                    group = next(alone, None) or groups.draw()
                    if group is None:
                        break
                    drawn = group
                    running[pool.submit(run_group, function, group)] = group
                    drawn = None
                if not running:
                    finished = not stopping.requested()
                    return False
                for future in wait(running, timeout=POLL_SECONDS, return_when=FIRST_COMPLETED).done:
                    done = future.result()
                    group = running.pop(future)
                    groups.learn(len(group.units), done.seconds)
                    for offset, result in enumerate(done.results):
                        again.pop(group.first + offset, None)
                        yield group.first + offset, result
                patience.check()
        except BrokenProcessPool as error:
            if stopping.requested():
                return False
            if drawn is not None:  # a worker died before the pool took it
                for offset, unit in enumerate(drawn.units):
                    again.setdefault(drawn.first + offset, _Attempt(unit))
            for group in running.values():
                for offset, unit in enumerate(group.units):
                    index = group.first + offset
                    attempt = again.setdefault(index, _Attempt(unit))
                    attempt.count += 1
                    if attempt.count >= ATTEMPTS:
                        what = f"a worker process died {ATTEMPTS} times while unit {index} was running (out of memory?)"
                        raise DataError("worker", what, "use fewer --workers, or check `dmesg`") from error
            return True
        finally:
            if finished and self._keeps and not gpus and self._kept is None:
                self._kept = pool
            else:
                pool.shutdown(wait=True, cancel_futures=True)

    def _take_pool(self, workers: int, gpus: tuple[str, ...]) -> ProcessPoolExecutor:
        """The processes that an earlier call has left, or new ones. Those with a GPU are always new."""
        if self._kept is not None and not gpus:
            pool, self._kept = self._kept, None
            return pool
        context = _WorkerContext()
        started = context.Value("i", 0)
        return ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(started, gpus))


class _Patience:
    """Lets running units finish after a signal to this process to end, and stops them if that takes too long."""

    def __init__(self) -> None:
        self._since: float | None = None

    def check(self) -> None:
        """Call regularly. Kills the workers after `stopping.GRACE_SECONDS`."""
        if not stopping.requested():
            return
        if self._since is None:
            self._since = time.monotonic()
        elif time.monotonic() - self._since > stopping.GRACE_SECONDS:
            for child in active_children():
                child.kill()


@dataclasses.dataclass
class _Attempt(Generic[U]):
    """A unit that was running when a worker process died, and how often that has happened."""

    unit: U
    count: int = 0


def visible_gpus() -> tuple[str, ...]:
    """The GPUs that CUDA_VISIBLE_DEVICES allows, or all GPUs of the machine."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return tuple(name for name in allowed.split(",") if name)
    return tuple(map(str, range(len(list(Path("/dev").glob("nvidia[0-9]*"))))))


class _WorkerProcess(SpawnProcess):
    """A worker, which ignores SIGTERM (see `_start_worker`): the pool must end it by SIGKILL.

    When a worker dies, the pool terminates the others and waits for them. They may wait forever for a lock of the
    queue that the dead one held.
    """

    def terminate(self) -> None:
        self.kill()


class _WorkerContext(SpawnContext):
    Process = _WorkerProcess


def _start_worker(started: Any, gpus: tuple[str, ...]) -> None:
    """Limit the process to one thread: the engine's workers are the parallelism, and sums do not depend on the machine.

    A worker ends when its parent does, for whatever reason: `kill -9` leaves nothing behind. `started` counts the
    workers of a pool: the n-th sees only the n-th GPU.
    """
    import pyarrow as pa

    if gpus:
        with started.get_lock():
            os.environ["CUDA_VISIBLE_DEVICES"] = gpus[started.value]
            started.value += 1

    for number in stopping.SIGNALS:  # a scheduler may signal all processes: the parent decides when its workers end
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()

    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)


def _end_with_parent() -> None:
    parent = parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
