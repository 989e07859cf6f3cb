"""Resources that one unit of each stage needs, from `cluster/resources.yaml`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import dclm
from dclm.core.config import load_yaml
from dclm.core.errors import ConfigError

STAGES = {
    "pool": "curate",
    "classifier": "curate",
    "documents": "curate",
    "tokens": "tokenize",
    "checkpoint": "train",
    "scores": "evaluate",
}
"""Kind of artifact → the stage that makes it."""


class Needs(NamedTuple):
    """Resources of one unit."""

    cpus: float = 1
    memory_bytes: int = 0
    """Peak resident memory; 0: unknown."""
    gpus: float = 0

    def fit(self, node: Mapping[str, float]) -> bool:
        """Whether a node with these Ray resources is large enough."""
        wanted = {"CPU": self.cpus, "memory": self.memory_bytes, "GPU": self.gpus}
        return all(node.get(name, 0) >= amount for name, amount in wanted.items())

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} CPU" + ("s" if self.cpus > 1 else "")]
        parts += [f"{self.memory_bytes / 1e9:g} GB of memory"] if self.memory_bytes else []
        parts += [f"{self.gpus:g} GPU" + ("s" if self.gpus > 1 else "")] if self.gpus else []
        return ", ".join(parts)


def resources_file() -> Path:
    """`cluster/resources.yaml` of the project, which is uploaded with every job."""
    return Path(dclm.__file__).resolve().parent.parent / "cluster" / "resources.yaml"


def needs_of(kind: str, on_gpu: bool) -> Needs:
    """Needs of a unit of the stage that makes this kind of artifact.

    on_gpu: whether it runs on a GPU. Without one, a unit of a GPU stage takes a single CPU.
    Raises: ConfigError if the file is malformed.
    """
    found = _read(resources_file()).get(STAGES[kind], Needs())
    if on_gpu:
        return found._replace(gpus=max(found.gpus, 1))
    return Needs() if found.gpus else found


@functools.cache
def _read(path: Path) -> dict[str, Needs]:
    """Stage → needs; empty if dclm is installed without the file."""
    if not path.is_file():
        return {}
    stages = load_yaml(path).value
    found = stages.get("stages") if isinstance(stages, dict) else None
    if not isinstance(found, dict):
        raise ConfigError(str(path), "has no `stages`", "compare it with the shipped one")
    needs = {}
    for stage, fields in found.items():
        if not isinstance(fields, dict) or set(fields) != {"cpus", "memory_gb", "gpus"}:
            raise ConfigError(f"{path}: {stage}", f"found {fields}, allowed: cpus, memory_gb and gpus")
        needs[str(stage)] = Needs(fields["cpus"], int(fields["memory_gb"] * 1e9), fields["gpus"])
    return needs
