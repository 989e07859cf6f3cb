"""Converts DCLM's own pipeline YAML (`- source: …, steps: [{func: …}, …]`) to a pipeline of ours.

One table, `MAPPERS`, defines the equivalent of each of DCLM's mappers. Mappers without an equivalent are named, never
guessed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from dclm.core.config import Source, load_yaml
from dclm.core.errors import ConfigError, Problem
from dclm.curate.convert.arguments import Arguments, Entry, Inexpressible
from dclm.curate.convert.joined import without_keys
from dclm.curate.convert.mappers import MAPPERS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Conversion:
    """A converted pipeline."""

    name: str
    entries: tuple[Entry, ...]
    """Steps of ours, in order."""
    notes: tuple[str, ...]
    """Parts left out because they are done elsewhere here."""
    problems: tuple[Problem, ...]
    """Parts without an equivalent here; empty if the conversion is complete."""

    def as_yaml(self) -> str:
        """The pipeline file, with notes and problems as comments at the top."""
        comments = [*self.notes, *(f"NOT EXPRESSED {p.where}: {p.what}" for p in self.problems)]
        head = "".join(f"# {comment}\n" for comment in comments)
        return f"{head}name: {self.name}\nsteps:\n" + "".join(f"  - {_flow(entry)}\n" for entry in self.entries)


def _flow(entry: Entry) -> str:
    if not entry.fields:
        return entry.step
    fields = yaml.safe_dump(
        dict(entry.fields), default_flow_style=True, width=10**6, sort_keys=False, allow_unicode=True
    )
    return f"{entry.step}: {fields.strip()}"


def convert_pipeline(path: str | Path, source_name: str | None = None) -> Conversion:
    """Convert one source's steps of a DCLM pipeline file.

    Raises: ConfigError if the file is not a DCLM pipeline, or has several sources and none is named.
    """
    source = load_yaml(path)
    steps, place = _steps_of(source, source_name)
    entries: list[Entry] = []
    notes: list[str] = []
    problems: list[Problem] = []
    for index, step in enumerate(steps):
        where = source.where((place, "steps", index))
        if step == "commit":
            notes.append(f"{where}: `commit` is not needed, because every shard is committed")
            continue
        try:
            entries = _convert(step, entries, notes, where)
        except Inexpressible as error:
            problems.append(Problem(where, str(error), error.hint))
    return Conversion(name=Path(path).stem, entries=without_keys(entries), notes=tuple(notes), problems=tuple(problems))


def _convert(step: object, before: list[Entry], notes: list[str], where: str) -> list[Entry]:
    if not isinstance(step, Mapping) or not isinstance(step.get("func"), str):
        raise Inexpressible(f"found {step!r:.60}, allowed: a map with `func`, or `commit`")
    func = step["func"]
    mapper = MAPPERS.get(func)
    if mapper is None:
        kind = "a custom function" if "." in func else "not a known mapper for web text"
        raise Inexpressible(f"`{func}` is {kind}", "write it as a custom step: `module:Class`")
    arguments = Arguments(func, {key: value for key, value in step.items() if key != "func"})
    after = mapper(arguments, before)
    arguments.check_all_read()
    notes.extend(f"{where}: {note}" for note in arguments.notes)
    return after


def _steps_of(source: Source, wanted: str | None) -> tuple[list[object], int]:
    found = dict(_sources(source))
    if not found:
        what = "not a DCLM pipeline, allowed: a list of maps with `source` and `steps`"
        raise ConfigError(source.where(()), what, "a pipeline with `name:` and `steps:` needs no conversion")
    if wanted is None and len(found) > 1:
        raise ConfigError(source.name, f"found the sources {', '.join(found)}", "name one with --source")
    name = wanted if wanted is not None else next(iter(found))
    if name not in found:
        raise ConfigError(source.name, f"no source `{name}`, allowed: {', '.join(found)}")
    place = found[name]
    steps = source.value[place]["steps"]  # type: ignore[index]  # _sources has looked
    return list(steps), place


def _sources(source: Source) -> Iterator[tuple[str, int]]:
    items = source.value if isinstance(source.value, list) else []
    for place, item in enumerate(items):
        if isinstance(item, Mapping) and isinstance(item.get("steps"), list):
            yield str(item.get("source", place)), place
