"""A suite: a named list of tasks with a version and a hash, so that a score states exactly what was asked."""

from __future__ import annotations

import dataclasses
from functools import cache, cached_property
from pathlib import Path

from dclm.core.config import Positive, build, load_yaml, suggest
from dclm.core.errors import ConfigError
from dclm.core.names import is_name
from dclm.core.record import fingerprint
from dclm.eval.task import SUITE_DIR, Task, load_task


@dataclasses.dataclass(frozen=True, kw_only=True)
class SuiteDetails:
    """Fields that lm-eval's group format does not have."""

    version: Positive
    about: str
    """A one-sentence description."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class _SuiteFile:
    """One file of `eval_suite/suites/`, in lm-eval's group format."""

    group: str
    task: tuple[str, ...]
    metadata: SuiteDetails
    aggregate_metric_list: object = None
    """Read only by lm-eval."""


@dataclasses.dataclass(frozen=True)
class Suite:
    """A named list of tasks."""

    name: str
    version: int
    about: str
    tasks: tuple[Task, ...]

    @cached_property
    def hash(self) -> str:
        """sha256 over the version and every field of every task that affects a score."""
        return fingerprint({"version": self.version, "tasks": [_identity(task) for task in self.tasks]})

    @property
    def labels(self) -> tuple[str, ...]:
        return tuple(task.task for task in self.tasks)


def _identity(task: Task) -> dict[str, object]:
    fields = dataclasses.asdict(task.metadata)
    for name in ("about", "source", "licence"):
        del fields[name]
    return {"task": task.task, "num_fewshot": task.num_fewshot, **fields}


@cache
def load_suite(name: str, folder: Path = SUITE_DIR) -> Suite:
    """The suite named `name`.

    Raises: ConfigError if it does not exist (naming the nearest), or if its file or one of its tasks is wrong.
    """
    path = folder / "suites" / f"{name}.yaml"
    if not is_name(name) or not path.is_file():
        names = suite_names(folder)
        raise ConfigError(f"suite {name}", f"no such suite, allowed: {', '.join(names)}", suggest(name, names))
    file = build(_SuiteFile, load_yaml(path))
    if file.group != name or len(set(file.task)) != len(file.task):
        raise ConfigError(str(path), f"`group` must be {name!r}, and no task may occur twice")
    tasks = tuple(load_task(label, folder) for label in file.task)
    return Suite(name, file.metadata.version, file.metadata.about, tasks)


def suite_of(labels: tuple[str, ...], folder: Path = SUITE_DIR) -> Suite:
    """An unnamed suite of chosen tasks, in the given order; a task named twice counts once."""
    tasks = tuple(load_task(label, folder) for label in dict.fromkeys(labels))
    return Suite("custom", 1, "Tasks chosen by hand.", tasks)


def suite_names(folder: Path = SUITE_DIR) -> list[str]:
    """The names of all suites, sorted."""
    return sorted(path.stem for path in (folder / "suites").glob("*.yaml"))
