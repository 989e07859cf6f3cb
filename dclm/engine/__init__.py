"""Engines schedule units of work: processes on this machine, or Ray."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

from dclm.core.errors import ConfigError
from dclm.core.stages.engine import Engine
from dclm.engine.local import LocalEngine


@contextlib.contextmanager
def open_engine(
    on: str = "local", workers: int | None = None, say: Callable[[str], None] = lambda line: None
) -> Iterator[Engine]:
    """The engine named `on`: `local`, `ray` or `ray:ADDRESS`. It calls `say` with a message when it has to wait.

    Raises: ConfigError for anything else.
    """
    kind, _, address = on.partition(":")
    if kind == "local" and not address:
        yield LocalEngine(workers)
    elif kind == "ray":
        from dclm.engine.ray import RayEngine

        engine = RayEngine(address or None, workers, say)
        try:
            yield engine
        finally:
            engine.close()
    else:
        raise ConfigError(f"--on {on}", "unknown engine, allowed: local, ray, ray:ADDRESS")
