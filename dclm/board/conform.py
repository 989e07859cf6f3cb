"""Does JSON have the form of a result: the schema that ships with the package, every deviation at once."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema

from dclm.core.errors import DataError, Problem


@cache
def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of result.json."""
    text = resources.files("dclm.board").joinpath("schema/result.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def check_schema(value: object, name: str) -> object:
    """`value` itself. Raises: DataError with every deviation from the schema."""
    validator = jsonschema.Draft202012Validator(schema())
    errors = sorted(validator.iter_errors(value), key=lambda e: [str(part) for part in e.absolute_path])
    raise_problems([Problem(_where(name, e.json_path), shorten(e.message)) for e in errors])
    return value


def raise_problems(found: list[Problem]) -> None:
    """Raise one DataError that carries all of `found`, if there are any."""
    if found:
        raise DataError(*found[0], others=found[1:])


def _where(name: str, path: str) -> str:
    return name if path == "$" else f"{name}: {shorten(path.removeprefix('$.'))}"


def shorten(text: str) -> str:
    """One line of at most 160 characters: what strangers wrote, in an error."""
    text = " ".join(text.split())
    return text if len(text) <= 160 else text[:157] + "..."
