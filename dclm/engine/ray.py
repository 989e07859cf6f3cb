"""The Ray engine: the same units as Ray tasks or actors, on a cluster that shares the output's storage."""

from __future__ import annotations

import copy
import os
import socket
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from dclm.core.errors import ConfigError, DataError, DclmError
from dclm.core.stages import stopping
from dclm.core.stages.engine import WAIT_SECONDS, Group, Groups
from dclm.engine.ray_workers import GpuActors, Tasks
from dclm.engine.resources import Needs, needs_of

U = TypeVar("U")
R = TypeVar("R")
POLL_SECONDS = 5.0
START_ATTEMPTS = 3
CONNECT_SECONDS = 5.0
"""Timeout for a cluster's address to answer."""


class RayEngine:
    """Runs units as Ray tasks of one CPU each."""

    on_this_machine = False

    def __init__(
        self,
        address: str | None = None,
        workers: int | None = None,
        say: Callable[[str], None] = lambda line: None,
    ) -> None:
        """Connect to a cluster, or start a local one.

        address: of a running cluster; None: the one this process is in (a Ray job), or a new local one. say: called
        with a message when the engine has to wait, for example for a node with a GPU.
        """
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
        self._owned = not ray.is_initialized()
        self._is_local = False
        if self._owned:
            inside = os.environ.get("RAY_ADDRESS") or os.environ.get("RAY_JOB_ID")
            target = address or (None if inside else "local")
            cpus = workers if target == "local" else None
            _connect(target, cpus)
            self._is_local = target == "local"
            stopping.install_again()
        self._limit = workers
        self._say = say
        self._kind: str | None = None

    @property
    def workers(self) -> int:
        return self._limit or max(1, int(ray.cluster_resources().get("CPU", 1)))

    @property
    def gpus(self) -> int:
        return int(ray.cluster_resources().get("GPU", 0))

    def for_stage(self, kind: str) -> RayEngine:
        engine = copy.copy(self)
        engine._owned, engine._kind = False, kind
        return engine

    def end_stage(self) -> None:
        """Nothing to do: Ray ends its idle processes."""

    def _needs(self, on_gpu: bool) -> Needs:
        """The resources that a unit requests from Ray. A cluster started by this engine has only this machine, so a
        unit requests only CPUs."""
        if self._kind is None or self._is_local:
            return Needs(gpus=1 if on_gpu else 0)
        return needs_of(self._kind, on_gpu)

    def map(
        self, function: Callable[[U], R], units: Iterable[U], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        """See `dclm.core.stages.engine.Engine.map`. Ray retries a group whose worker or node dies.

        On GPUs, units run in actors: a process holds its GPU, and the models that it has loaded, until all units are
        done. Raises: ConfigError if nothing in the cluster can run the work for `WAIT_SECONDS`.
        """
        needs = self._needs(one_gpu_each)
        workers = (GpuActors if one_gpu_each else Tasks)(function, needs, self._limit)
        running: dict[Any, Group[U]] = {}
        groups = Groups(units, self.workers, single=one_gpu_each)
        group = groups.draw()
        patience = _Patience(needs, self._say)
        try:
            while group is not None or running:
                while group is not None and workers.can_take():
                    running[workers.take(group)] = group
                    group = groups.draw()
                ready, _ = ray.wait(workers.pending(), num_returns=1, timeout=POLL_SECONDS)
                if not ready:
                    patience.check()
                    continue
                workers.finish(ready[0])
                ran = running.pop(ready[0], None)
                done = _result(ready[0], 0 if ran is None else ran.first)
                if ran is None:
                    continue  # an actor has got its GPU
                groups.learn(len(ran.units), done.seconds)
                for offset, result in enumerate(done.results):
                    yield ran.first + offset, result
        finally:
            workers.close()

    def close(self) -> None:
        """Leave the cluster (and stop it, if this engine started it)."""
        if self._owned:
            ray.shutdown()


def _connect(target: str | None, cpus: int | None) -> None:
    """Connect to a cluster or start a local one; if a busy machine starts a local one too slowly, retry."""
    _require_answer(target)
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address=target, num_cpus=cpus, log_to_driver=False, include_dashboard=False, logging_level="error")
            return
        except (ConnectionError, RuntimeError, ValueError) as error:
            hint = "start a cluster with `make cluster-up`"
            raise DataError(f"ray {target}", f"cannot connect: {error}", hint) from None
        except Exception as error:  # Ray raises a plain Exception when its own processes start too slowly
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt + 1 == START_ATTEMPTS:
                raise


def _require_answer(target: str | None) -> None:
    """Raises: DataError within seconds if nothing listens at HOST:PORT; Ray itself would try for minutes."""
    host, separator, port = (target or "").rpartition("://")[2].rpartition(":")
    if not separator or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS).close()
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        what = f"nothing answers there ({reason}, waited at most {CONNECT_SECONDS:g} s)"
        hint = "start a cluster with `make cluster-up`, or check the address"
        raise DataError(f"ray {target}", what, hint) from None


class _Patience:
    """Waits for a resource that the cluster does not have yet, reports it once, and gives up in the end."""

    def __init__(self, needs: Needs, say: Callable[[str], None]) -> None:
        self._needs, self._say = needs, say
        self._since: float | None = None

    def check(self) -> None:
        """Call while nothing has finished. Raises: ConfigError if no node with room has joined within
        `WAIT_SECONDS`."""
        if any(node["Alive"] and self._needs.fit(node["Resources"]) for node in ray.nodes()):
            self._since = None
            return
        if self._since is None:
            self._since = time.monotonic()
            self._say(f"waiting for a node with {self._needs} (at most {WAIT_SECONDS:,.0f} s)")
        elif time.monotonic() - self._since > WAIT_SECONDS:
            what = f"no node with {self._needs} joined the cluster within {WAIT_SECONDS:,.0f} s"
            hint = "add such a node, or change a unit's needs in cluster/resources.yaml"
            raise ConfigError("--on ray", what, "pass --device cpu, or add such a node" if self._needs.gpus else hint)


def _result(reference: Any, index: int) -> Any:
    try:
        return ray.get(reference)
    except RayTaskError as error:
        cause = error.cause
        if isinstance(cause, DclmError):
            raise cause from None
        raise
    except RayError as error:
        raise DataError(f"ray unit {index}", f"was lost: {error}", "check the cluster's logs") from error
