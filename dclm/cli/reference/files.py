"""Reference of the files that people write and of what artifacts hold: fields, allowed values, columns, schemas."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from dclm.cli.reference.schemas import artifact_schemas
from dclm.core.config import describe
from dclm.core.schema import field_sentences, json_schema

COMMENT = "Generated from the code by `make docs`; do not edit."
FAMILIES = {
    "extract": "Extraction",
    "filters.url": "URLs",
    "filters.language": "Languages",
    "filters.rules": "Rules on whole documents",
    "filters.rights": "Rights",
    "filters.lines": "Lines and parts of a document",
    "filters": "Other filters and edits",
    "dedup": "Duplicates and contamination",
    "select": "Selection by models",
}
"""Package of a step → its heading in docs/steps.md. The longest matching package counts."""


def kinds() -> dict[str, tuple[type, str]]:
    """Name of each kind of file → its dataclass, and which command reads it."""
    from dclm.recipe.recipe import Recipe
    from dclm.science.experiment.spec import Experiment
    from dclm.science.mix.constraints import Constraints
    from dclm.science.mix.swarm import Swarm
    from dclm.select.classifier.spec import ClassifierSpec

    return {
        "recipe": (Recipe, "dclm run"),
        "classifier": (ClassifierSpec, "dclm classifier train"),
        "experiment": (Experiment, "dclm experiment"),
        "swarm": (Swarm, "dclm mix swarm"),
        "constraints": (Constraints, "dclm mix best --constraints"),
    }


def schemas() -> dict[str, str]:
    """JSON Schemas by file name, of files that people write (`# yaml-language-server: $schema=…` as the first line) and
    of what artifacts hold."""
    found = {name: json_schema(kind) for name, (kind, _) in kinds().items()}
    found |= {"pipeline": _pipeline_schema(), **artifact_schemas()}
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$comment": COMMENT}
    return {
        f"{name}.schema.json": json.dumps({**head, "title": f"dclm {name}", **schema}, indent=1, ensure_ascii=False)
        + "\n"
        for name, schema in found.items()
    }


def _pipeline_schema() -> dict[str, Any]:
    from dclm.curate.catalog import SPELLINGS, STEPS

    own = {"type": "object", "patternProperties": {"^.+:[A-Za-z_]+$": {"type": ["object", "null"]}}}
    steps: list[dict[str, Any]] = [{"type": "string"}, own | {"additionalProperties": False, "maxProperties": 1}]
    steps.append(
        {"type": "object", "properties": {"include": {"type": "string"}}, "required": ["include"]}
        | {"additionalProperties": False}
    )
    spelled = {name: STEPS[step] for name, (step, _) in SPELLINGS.items()}
    for name, step in (STEPS | spelled).items():
        fields = {"anyOf": [json_schema(step), {"type": "null"}]}
        one = {"type": "object", "properties": {name: fields}, "required": [name], "additionalProperties": False}
        steps.append(one)
    return {
        "type": "object",
        "description": "What happens to documents, in order.",
        "properties": {"name": {"type": "string"}, "steps": {"type": "array", "items": {"anyOf": steps}}},
        "required": ["steps"],
        "additionalProperties": False,
    }


def step_lines() -> Iterator[str]:
    """The page of steps, by family."""
    from dclm.curate.catalog import SHIPPED
    from dclm.curate.global_step import Global
    from dclm.curate.step import Filter, Map, Step

    yield "The steps that a pipeline file can name, in the form `- name: {field: value}`. Custom filters: "
    yield "[own_filters.md](own_filters.md).\n"
    families: dict[str, list[type[Step]]] = {}
    for step in SHIPPED:
        place = step.__module__.removeprefix("dclm.")
        family = max((f for f in FAMILIES if place.startswith(f)), key=len)
        families.setdefault(FAMILIES[family], []).append(step)
    for title in FAMILIES.values():
        yield f"## {title}\n"
        for step in sorted(families[title], key=lambda s: s.name):
            kind = next((k.__name__ for k in (Map, Filter, Global) if issubclass(step, k)), "Ordered")
            yield f"### `{step.name}` ({kind})\n\n{inspect.getdoc(step)}\n"
            yield from field_lines(step)
            yield ""


def field_lines(kind: type, nested: str = "") -> Iterator[str]:
    """One line per field: what is allowed, the default, its sentence; the fields of a nested dataclass are below it."""
    hints = typing.get_type_hints(kind, include_extras=True)
    sentences = field_sentences(kind)
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        inner = _dataclass_in(hints[field.name])
        allowed = re.sub(r"a map \(\w+\)", "a map", describe(hints[field.name]))
        default = "" if field.default is dataclasses.MISSING else f", default `{_shown(field.default)}`"
        sentence = sentences.get(field.name, "")
        yield f"{nested}- `{field.name.rstrip('_')}`: {_escape(allowed)}{default}{'. ' if sentence else ''}{sentence}"
        if inner is not None and len(nested) < 4:
            yield from field_lines(inner, f"{nested}  ")


def _dataclass_in(hint: Any) -> type | None:
    """The dataclass whose maps a field holds, if there is one."""
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return hint
    return next((found for arg in typing.get_args(hint) if (found := _dataclass_in(arg)) is not None), None)


def _shown(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return f"{{{', '.join(f'{f.name}: {_shown(getattr(value, f.name))}' for f in dataclasses.fields(value))}}}"
    return str(value) if value != "" else '""'


def _escape(text: str) -> str:
    return text.replace("|", "or").replace("<", "&lt;")


def file_lines() -> Iterator[str]:
    """The page of files: every kind that people write, and every table that artifacts hold."""
    yield "Editors check these files and complete their fields with a JSON Schema. As the first line of a recipe:\n"
    yield "```yaml\n# yaml-language-server: $schema=../docs/schemas/recipe.schema.json\n```\n"
    written = [f"{name}.schema.json" for name in (*kinds(), "pipeline")]
    made = [f"{name}.schema.json" for name in artifact_schemas()]
    yield f"There is one for each: {', '.join(f'[{n}](schemas/{n})' for n in written)}.\n"
    yield f"Schemas of what artifacts hold: {', '.join(f'[{n}](schemas/{n})' for n in made)}.\n"
    for name, (kind, command) in kinds().items():
        yield f"## {name.capitalize()}\n\nRead by `{command}`. {inspect.getdoc(kind)}\n"
        yield from field_lines(kind)
        yield ""
    yield "## Pipeline\n\nRead by `dclm curate`. `name:` and `steps:`, an ordered list of one-key maps; "
    yield "`- include: FILE` stands for the steps of another file. The steps: [steps.md](steps.md).\n"
    yield "## Tables of artifacts\n"
    for title, (schema, about) in _tables().items():
        yield f"### {title}\n\n{about}\n\n| column | type | null |\n|---|---|---|"
        yield from (f"| `{f.name}` | {f.type} | {'yes' if f.nullable else 'no'} |" for f in schema)
        yield ""


def _tables() -> Mapping[str, tuple[pa.Schema, str]]:
    from dclm.curate.quantity import QUANTITIES
    from dclm.documents.schema import DOCUMENT, LEDGER
    from dclm.eval.run.unit import ITEMS

    return {
        "documents/NNNNN.parquet": (
            DOCUMENT,
            "The documents that `dclm curate` kept. Steps add columns, such as `language_score`.",
        ),
        "ledger/NNNNN.parquet": (
            LEDGER,
            "One row for every record that was read, in order; `step` is null for what was kept. Annotations follow.",
        ),
        "quantities/NNNNN.parquet": (
            QUANTITIES,
            "What filters measured: for each rule, documents per bin of its value, for `dclm.documents.cuts`.",
        ),
        "items.parquet": (ITEMS, "One row for every item that `dclm evaluate` scored."),
    }
