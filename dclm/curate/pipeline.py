"""Pipeline files: `name:` and `steps:`, an ordered list of one-key maps that reads like a paper's method section.

An item `include: FILE` inserts the steps of another pipeline file; the result is the flat list of steps.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from dclm.assets import resolve
from dclm.core.config import Key, Source, convert, load_yaml, parse_yaml, suggest
from dclm.core.errors import ConfigError, DclmError, Problem
from dclm.core.record import canonical, content_hash, fingerprint, read_record, require_recorded
from dclm.core.storage import is_local
from dclm.core.stores.store import absolute, local_file
from dclm.curate.catalog import SPELLINGS, STEPS
from dclm.curate.own.code import find_code
from dclm.curate.own.load import code_of, own_step
from dclm.curate.step import Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pipeline:
    """What happens to documents, in order."""

    name: str
    steps: tuple[Step, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class BoundPipeline:
    """A pipeline whose external files have been found: everything that a run needs and that determines its identity."""

    pipeline: Pipeline
    files: Mapping[str, str]
    """Asset name → local path."""
    hashes: Mapping[str, str]
    """Asset name → sha256."""

    def identity(self, first: int, last: int) -> str:
        """Fingerprint of steps `first` … `last - 1` with the files they open and the libraries they depend on."""
        return fingerprint(
            [
                {
                    "step": canonical(step.without_addresses()),
                    "from": _origin(step),
                    "files": [self.hashes[a] for a in (*step.assets, *step.artifacts)],
                    "libraries": {name: _installed(name, step) for name in step.libraries},
                }
                for step in self.pipeline.steps[first:last]
            ]
        )


def _installed(name: str, step: Step) -> str:
    """The version of a package. Raises: ConfigError if it is not installed."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        raise ConfigError(f"step {step.name}", f"the package {name} is not installed", f"pip install {name}") from None


def _origin(step: Step) -> object:
    """Where a user's step comes from: the name of its module and the hash of its source.

    None for steps that ship, whose names are unique and whose modules may move.
    """
    code = code_of(step)
    if code is not None:
        return {"module": code.name, "source": code.digest}
    module = type(step).__module__
    return None if module.startswith("dclm.") else module


def load_pipeline(path: str | Path, trust: bool = False) -> Pipeline:
    """Read a pipeline file and those that it includes (`- include: FILE`, relative to the including file).

    A step's key is one of the shipped names, or `FILE:NAME` for a function or class of the user's own: `rules:keep` is
    `keep` in `rules.py` next to the pipeline file (see `dclm.curate.own`). That runs code, and so needs `trust`.

    Raises: ConfigError listing every problem, including files that include each other in a circle.
    """
    source = load_yaml(path)
    problems: list[Problem] = []
    steps = _steps(source, (Path(path).resolve(),), problems, trust)
    value = source.value if isinstance(source.value, dict) else {}
    title = convert(str, value.get("name", Path(path).stem), ("name",), source, problems)
    if problems:
        raise ConfigError(*problems[0], others=problems[1:])
    return Pipeline(name=str(title), steps=tuple(steps))


def pipeline_files(path: str | Path) -> list[Path]:
    """All files that a pipeline needs: its own, those that it includes, and those of its own steps.

    Raises: ConfigError for a file that does not exist or is not YAML.
    """
    found: list[Path] = []
    todo = [Path(path)]
    while todo:
        file = todo.pop().resolve()
        if file in found:
            continue
        found.append(file)
        value = load_yaml(file).value
        steps = value.get("steps") if isinstance(value, dict) else None
        for item in steps if isinstance(steps, list) else ():
            name = item if isinstance(item, str) else next(iter(item), "") if isinstance(item, dict) else ""
            if name == "include":
                todo.append(file.parent / str(item["include"]))
            elif ":" in name and (code := find_code(name.rpartition(":")[0], file.parent)) is not None:
                found += [Path(own).resolve() for own in code.files.values()]
    return list(dict.fromkeys(found))


def _steps(source: Source, files: tuple[Path, ...], problems: list[Problem], trust: bool) -> list[Step]:
    """The flat list of a file's steps; `files` is the chain of includes that leads to it, itself last."""
    value = source.value
    if not isinstance(value, dict) or not isinstance(value.get("steps"), list):
        problems.append(Problem(source.where(()), "a pipeline needs `name:` and `steps:` (a list of one-key maps)"))
        return []
    for name in value:
        if name not in ("name", "steps"):
            problems.append(Problem(source.where((name,)), "unknown field, allowed: name, steps"))
    steps: list[Step] = []
    for i, item in enumerate(value["steps"]):
        key = ("steps", i)
        if isinstance(item, dict) and list(item) == ["include"]:
            steps += _included(item["include"], (*key, "include"), source, files, problems, trust)
        elif (step := _step(item, key, source, problems, trust)) is not None:
            steps.append(step)
    return steps


def _included(
    name: object, key: Key, source: Source, files: tuple[Path, ...], problems: list[Problem], trust: bool
) -> list[Step]:
    if not isinstance(name, str):
        hint = "`- include: other.yaml`"
        problems.append(Problem(source.where(key), f"found {name!r}, allowed: the path of a pipeline", hint))
        return []
    path = Path(source.name).parent / name
    if not path.is_file():
        problems.append(
            Problem(source.where(key), f"no such file: {path}", "paths are relative to the file that contains them")
        )
        return []
    file = path.resolve()
    if file in files:
        circle = " → ".join(f.name for f in (*files[files.index(file) :], file))
        problems.append(Problem(source.where(key), f"files include each other in a circle: {circle}"))
        return []
    return _steps(load_yaml(path), (*files, file), problems, trust)


def _step(item: object, key: Key, source: Source, problems: list[Problem], trust: bool) -> Step | None:
    if isinstance(item, str):
        item = {item: {}}
    if not isinstance(item, dict) or len(item) != 1:
        problems.append(Problem(source.where(key), "a step is a name, or a map whose only key is its name"))
        return None
    given, fields = next(iter(item.items()))
    name, fixed = SPELLINGS.get(given, (given, {}))
    if fixed and (fields is None or isinstance(fields, dict)):
        twice = [field for field in fixed if field in (fields or {})]
        if twice:
            what = f"`{given}` is `{name}` with {twice[0]}: {fixed[twice[0]]}, and takes no other"
            problems.append(
                Problem(source.where((*key, given, twice[0])), what, f"write `{name}` to choose `{twice[0]}`")
            )
            return None
        fields = {**fixed, **(fields or {})}
    kind = _own_step(name, key, source, problems, trust) if ":" in name else STEPS.get(name)
    if kind is None:
        if ":" not in name:
            hint = suggest(name, [*STEPS, *SPELLINGS]) or "`docs/steps.md` lists them all"
            problems.append(Problem(source.where((*key, name)), f"unknown step `{name}`", hint))
        return None
    step = convert(kind, fields, (*key, given), source, problems)
    return step if isinstance(step, Step) else None


def parse_step(text: str) -> Step:
    """One shipped step from YAML: its name, or a map such as `minhash: {bands: 14, rows: 8}`.

    Raises: ConfigError listing every problem.
    """
    source = parse_yaml(text, "step")
    problems: list[Problem] = []
    step = _step(source.value, (), source, problems, trust=False)
    if step is None or problems:
        raise ConfigError(*problems[0], others=problems[1:])
    return step


def _own_step(name: str, key: Key, source: Source, problems: list[Problem], trust: bool) -> type[Step] | None:
    if not trust:
        what = f"`{name}` runs code of the pipeline's author, which is allowed only with --trust"
        problems.append(Problem(source.where(key), what, "pass --trust if you know where this pipeline comes from"))
        return None
    module, _, attribute = name.rpartition(":")
    directory = Path(source.name).parent
    code = find_code(module, directory)
    if code is None:
        hint = f"write it to {directory / module.removesuffix('.py')}.py"
        problems.append(
            Problem(source.where(key), f"`{module}` is neither a file next to the pipeline nor a module", hint)
        )
        return None
    try:
        kind = own_step(code, attribute)
    except DclmError as error:
        problems.extend(error.problems)
        return None
    if kind.name in STEPS:
        what = f"`{name}` has the same name as the shipped step `{kind.name}`"
        problems.append(Problem(source.where(key), what, "give its class another `name`"))
        return None
    return kind


def bind(pipeline: Pipeline, models: Mapping[str, str | Path] | None = None) -> BoundPipeline:
    """Find every file that the steps open; `models` are the run's own models (a classifier trained by the recipe).

    Raises: AssetError for a file that is not available; DataError for a classifier that its record does not describe;
    IncompleteError or ConfigError for an artifact that is missing, incomplete, or not what the step can use.
    """
    files: dict[str, str] = {}
    hashes: dict[str, str] = {}
    for name in sorted({a for step in pipeline.steps for a in step.assets}):
        address = str(models[name]) if models and name in models else name
        found = resolve(address if is_local(address) else str(local_file(address)), directories=True)
        if models and name in models:
            require_recorded(address, found.sha256)
        files[name], hashes[name] = str(found.path.resolve()) if is_local(address) else address, found.sha256
    for step in pipeline.steps:
        for address in step.artifacts:
            record = read_record(address)
            step.accept(address, record)
            files[address], hashes[address] = absolute(address), content_hash(record)
    return BoundPipeline(pipeline=pipeline, files=files, hashes=hashes)
