"""The Ray engine: the same units as Ray tasks, on a cluster that shares the output's storage."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from dclm.core.errors import ConfigError, DataError, DclmError

U = TypeVar("U")
R = TypeVar("R")
IN_FLIGHT_PER_CPU = 2
START_ATTEMPTS = 3


class RayEngine:
    """Runs units as Ray tasks of one CPU each."""

    on_this_machine = False

    def __init__(self, address: str | None = None, workers: int | None = None) -> None:
        """`address`: of a running cluster; None: the one this process is in (a Ray job), or a new local one."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        self._owned = not ray.is_initialized()
        if self._owned:
            inside = os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_JOB_ID")
            target = address or (None if inside else "local")
            cpus = workers if target == "local" else None
            _connect(target, cpus)
        self._limit = workers

    @property
    def workers(self) -> int:
        return self._limit or max(1, int(ray.cluster_resources().get("CPU", 1)))

    def map(
        self, function: Callable[[U], R], units: Sequence[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        """See `dclm.core.engine.Engine.map`. Ray retries a unit whose worker or node dies.

        A process on a GPU serves one unit: that is how Ray makes sure that the GPU is free again.
        Raises: ConfigError where a GPU is asked for and the cluster has none.
        """
        if one_gpu_each and not ray.cluster_resources().get("GPU"):
            raise ConfigError("--on ray", "found a cluster without GPUs, allowed: one with GPUs", "pass --device cpu")
        task = ray.remote(num_cpus=1, num_gpus=1 if one_gpu_each else 0, max_retries=5)(_call)
        shared = ray.put(function)
        running: dict[Any, int] = {}
        todo = iter(range(len(units)))
        limit = self._limit or self.workers * IN_FLIGHT_PER_CPU
        try:
            while True:
                for index in todo:
                    running[task.remote(shared, units[index])] = index
                    if len(running) >= limit:
                        break
                if not running:
                    return
                (ready, *_), _ = ray.wait(list(running), num_returns=1)
                index = running.pop(ready)
                yield index, _result(ready, index)
        finally:
            for reference in running:
                ray.cancel(reference, force=True)

    def close(self) -> None:
        """Leave the cluster (and end it, where this engine started it)."""
        if self._owned:
            ray.shutdown()


def _connect(target: str | None, cpus: int | None) -> None:
    """Connect to a cluster or start a local one; a local one that a busy machine starts too slowly is tried again."""
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address=target, num_cpus=cpus, log_to_driver=False, include_dashboard=False, logging_level="error")
            return
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "is the cluster up? try `make cluster-up`"
            raise DataError(f"ray {target}", f"cannot connect: {error}", hint) from None
        except Exception as error:  # Ray raises a plain Exception when its own processes start too slowly
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt + 1 == START_ATTEMPTS:
                raise


def _result(reference: Any, index: int) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, DclmError):
            raise cause from None
        raise
    except RayError as error:
        raise DataError(f"ray unit {index}", f"was lost: {error}", "look at the cluster's logs") from error


def _call(function: Callable[[U], R], unit: U) -> R:
    import pyarrow as pa

    pa.set_cpu_count(1)
    return function(unit)
