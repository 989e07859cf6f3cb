"""Pipeline files: `name:` and `steps:`, an ordered list of one-key maps that reads like the paper's method section."""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from dclm.assets import resolve
from dclm.core.config import Key, Source, convert, load_yaml, suggest
from dclm.core.errors import ConfigError, Problem
from dclm.core.record import canonical, fingerprint
from dclm.curate.catalog import STEPS
from dclm.curate.step import Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What happens to documents, in order."""

    name: str
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundPipeline:
    """A pipeline with its external files found: what a run needs, and what its identity is made of."""

    pipeline: Pipeline
    files: Mapping[str, str]
    """Asset name → local path."""
    hashes: Mapping[str, str]
    """Asset name → sha256."""

    def identity(self, first: int, last: int) -> str:
        """Fingerprint of steps `first` … `last - 1` with the files they open and the libraries they go by."""
        return fingerprint(
            [
                {
                    "step": canonical(step),
                    "from": _origin(step),
                    "files": [self.hashes[a] for a in step.assets],
                    "libraries": {name: metadata.version(name) for name in step.libraries},
                }
                for step in self.pipeline.steps[first:last]
            ]
        )


def _origin(step: Step) -> str | None:
    """The module of one's own step; None for shipped ones, which have unique names and may move."""
    module = type(step).__module__
    return None if module.startswith("dclm.") else module


def load_pipeline(path: str | Path, trust: bool = False) -> Pipeline:
    """Read a pipeline file.

    A step's key is one of the shipped names, or `module:Class` for one's own, which imports code and so needs `trust`.

    Raises: ConfigError with everything that is wrong.
    """
    source = load_yaml(path)
    problems: list[Problem] = []
    value = source.value
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        raise ConfigError(source.where(()), "a pipeline needs `name:` and `steps:` (a list of one-key maps)")
    for name in value:
        if name not in ("name", "steps"):
            problems.append(Problem(source.where((name,)), "unknown field, allowed: name, steps"))
    title = convert(str, value.get("name", Path(path).stem), ("name",), source, problems)
    steps = [_step(item, ("steps", i), source, problems, trust) for i, item in enumerate(value["steps"])]
    if problems:
        raise ConfigError(*problems[0], others=problems[1:])
    return Pipeline(name=str(title), steps=tuple(s for s in steps if s is not None))


def _step(item: object, key: Key, source: Source, problems: list[Problem], trust: bool) -> Step | None:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        problems.append(Problem(source.where(key), "a step is a name or a map with one key, its name"))
        return None
    name, fields = next(iter(item.items()))
    kind = _own_step(name, key, source, problems, trust) if ":" in name else STEPS.get(name)
    if kind is None:
        if ":" not in name:
            hint = suggest(name, list(STEPS)) or "`docs/steps.md` lists them all"
            problems.append(Problem(source.where((*key, name)), f"unknown step `{name}`", hint))
        return None
    step = convert(kind, fields, (*key, name), source, problems)
    return step if isinstance(step, Step) else None


def _own_step(name: str, key: Key, source: Source, problems: list[Problem], trust: bool) -> type[Step] | None:
    if not trust:
        what = f"`{name}` imports code, which is allowed only with --trust"
        problems.append(Problem(source.where(key), what, "pass --trust if you know where this pipeline comes from"))
        return None
    module, _, attribute = name.partition(":")
    kind = getattr(importlib.import_module(module), attribute, None)
    if not (isinstance(kind, type) and issubclass(kind, Step)):
        problems.append(Problem(source.where(key), f"`{attribute}` of {module} is no Step class"))
        return None
    return kind


def bind(pipeline: Pipeline, models: Mapping[str, Path] | None = None) -> BoundPipeline:
    """Find every file that the steps open; `models` are the run's own (a classifier trained by the recipe).

    Raises: AssetError for what cannot be had.
    """
    files: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name in sorted({a for step in pipeline.steps for a in step.assets}):
        found = resolve(str(models[name]) if models and name in models else name, directories=True)
        files[name], hashes[name] = str(found.path.resolve()), found.sha256
    return BoundPipeline(pipeline=pipeline, files=files, hashes=hashes)
