"""JSON Schemas of the dataclasses that YAML files become (see `dclm.core.config`), for editors and for the docs."""

from __future__ import annotations

import ast
import dataclasses
import inspect
import itertools
import textwrap
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any, Literal

from dclm.core.config import Range
from dclm.core.names import PATTERN, IsName

_PLAIN = {bool: "boolean", int: "integer", float: "number", str: "string"}


def json_schema(kind: Any) -> dict[str, Any]:
    """The schema of the YAML values from which `dclm.core.config.convert` makes a `kind`.

    Raises: TypeError for a type that `convert` does not understand.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return json_schema(args[0]) | _limits(args[1:])
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [{"type": "null"} if a is type(None) else json_schema(a) for a in args]}
    if origin is Literal:
        return {"enum": list(args)}
    if origin is tuple and args:
        items = json_schema(args[0])
        several = {"type": "array", "items": items}
        return {"anyOf": [items, several]} if "type" in items and items["type"] in _PLAIN.values() else several
    if origin in (Mapping, dict) and len(args) == 2:
        names = json_schema(args[0])
        schema: dict[str, Any] = {"type": "object", "additionalProperties": json_schema(args[1])}
        return schema | ({"propertyNames": names} if names != {"type": "string"} else {})
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _of_dataclass(kind)
    if kind is object or kind is Any:
        return {}
    if kind in _PLAIN:
        return {"type": _PLAIN[kind]}
    raise TypeError(f"{getattr(kind, '__name__', kind) if origin is None else kind}")


def _limits(notes: tuple[Any, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for note in notes:
        if isinstance(note, Range):
            found |= {} if note.low is None else {"minimum": note.low}
            found |= {} if note.high is None else {"maximum": note.high}
        elif note is IsName:
            found["pattern"] = f"^{PATTERN}$"
    return found


def _of_dataclass(kind: type) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    sentences = field_sentences(kind)
    properties, required = {}, []
    for field in dataclasses.fields(kind):
        if not field.init:
            continue
        name = field.name.rstrip("_")
        schema = json_schema(hints[field.name])
        if field.name in sentences:
            schema = {**schema, "description": sentences[field.name]}
        if field.default is not dataclasses.MISSING:
            schema = {**schema, "default": _plain(field.default)}
        elif field.default_factory is dataclasses.MISSING:
            required.append(name)
        properties[name] = schema
    found: dict[str, Any] = {"type": "object", "properties": properties, "additionalProperties": False}
    if kind.__doc__ and not kind.__doc__.startswith(f"{kind.__name__}("):
        found["description"] = inspect.cleandoc(kind.__doc__)
    return found | ({"required": required} if required else {})


def _plain(value: object) -> object:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name.rstrip("_"): _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    return [_plain(v) for v in value] if isinstance(value, tuple) else value


@cache
def field_sentences(kind: type) -> dict[str, str]:
    """The string under each field of a dataclass (and of its bases), joined to one line; none for generated classes."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        try:
            source = textwrap.dedent(inspect.getsource(base))
        except (OSError, TypeError, SyntaxError):
            continue
        body = typing.cast(ast.ClassDef, ast.parse(source).body[0]).body
        for field, below in itertools.pairwise(body):
            if (
                isinstance(field, ast.AnnAssign)
                and isinstance(field.target, ast.Name)
                and isinstance(below, ast.Expr)
                and isinstance(below.value, ast.Constant)
            ):
                found[field.target.id] = " ".join(str(below.value.value).split())
    return found
