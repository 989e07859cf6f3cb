"""What runs the units of a Ray engine: tasks, or actors that hold one GPU each.

An actor is a process that runs unit after unit, so that a model is loaded once per GPU.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import ray

from dclm.core.stages.engine import Done, Group, run_group
from dclm.engine.resources import Needs

IN_FLIGHT = 256
"""Maximum number of groups submitted to Ray at once: enough to fill nodes that join later. `ray.wait` is slow with
thousands."""
RESTARTS = 5
"""Number of times that Ray runs a unit again whose process or node has died."""


class Tasks:
    """A task per group. Many are pending at any time, whatever the cluster's size: nodes that join later are used at
    once, and an autoscaler sees the demand."""

    def __init__(self, function: Callable[[Any], Any], needs: Needs, limit: int | None) -> None:
        """limit: maximum number of groups at one time."""
        self._task = ray.remote(max_retries=RESTARTS, **_options(needs))(_call)
        self._function, self._limit = ray.put(function), limit or IN_FLIGHT
        self._running: set[Any] = set()

    def can_take(self) -> bool:
        """Whether another group may be handed to Ray."""
        return len(self._running) < self._limit

    def take(self, group: Group[Any]) -> Any:
        """Hand a group to Ray; returns the reference of its result."""
        reference = self._task.remote(self._function, group)
        self._running.add(reference)
        return reference

    def pending(self) -> list[Any]:
        """References that `ray.wait` has to wait for."""
        return list(self._running)

    def finish(self, reference: Any) -> None:
        """Call when one of `pending` is ready."""
        self._running.remove(reference)

    def close(self) -> None:
        """Stop whatever still runs."""
        for reference in self._running:
            ray.cancel(reference, force=True)


class GpuActors:
    """The actors of one `map`, as many as the cluster has room for. An actor gets work once it has its GPU."""

    def __init__(self, function: Callable[[Any], Any], needs: Needs, limit: int | None) -> None:
        """limit: maximum number of actors."""
        self._make = ray.remote(max_restarts=RESTARTS, max_task_retries=RESTARTS, **_options(needs))(_Actor)
        self._function, self._needs, self._limit = ray.put(function), needs, limit
        self._all: list[Any] = []
        self._idle: list[Any] = []
        self._busy: dict[Any, Any] = {}

    def can_take(self) -> bool:
        """Whether an actor is idle. Asks for another one if the cluster has grown."""
        while len(self._all) < self._wanted():
            actor = self._make.remote(self._function)
            self._all.append(actor)
            self._busy[actor.ready.remote()] = actor
        return bool(self._idle)

    def take(self, group: Group[Any]) -> Any:
        """Hand a group to an idle actor; returns the reference of its result."""
        actor = self._idle.pop()
        reference = actor.run.remote(group)
        self._busy[reference] = actor
        return reference

    def pending(self) -> list[Any]:
        """References that `ray.wait` has to wait for: of running groups, and of actors that wait for a GPU."""
        return list(self._busy)

    def finish(self, reference: Any) -> None:
        """Call when one of `pending` is ready: its actor is idle."""
        self._idle.append(self._busy.pop(reference))

    def close(self) -> None:
        """Stop all actors: their GPUs are free again."""
        for actor in self._all:
            ray.kill(actor)

    def _wanted(self) -> int:
        room = int(ray.cluster_resources().get("GPU", 0) / self._needs.gpus)
        return max(1, room if self._limit is None else min(room, self._limit))


def _options(needs: Needs) -> dict[str, float]:
    return {"num_cpus": needs.cpus, "num_gpus": needs.gpus, "memory": needs.memory_bytes}


def _call(function: Callable[[Any], Any], group: Group[Any]) -> Done[Any]:
    import pyarrow as pa

    pa.set_cpu_count(1)
    return run_group(function, group)


class _Actor:
    """A process with a GPU, which Ray has made the only visible one."""

    def __init__(self, function: Callable[[Any], Any]) -> None:
        import pyarrow as pa

        pa.set_cpu_count(1)
        self._function = function

    def ready(self) -> None:
        """Returns once the actor has been placed."""

    def run(self, group: Group[Any]) -> Done[Any]:
        return run_group(self._function, group)
