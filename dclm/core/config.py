"""YAML → frozen dataclasses, with every error at once: file:line, what was found, what is allowed, a hint.

A dataclass's annotations are its schema. Understood: bool, int, float, str, `Literal`, `X | None`, `tuple[X, ...]`,
`Mapping[str, X]`, nested dataclasses, `object` (any plain YAML value) and `Annotated[number, Range(…)]`. Where a list
of words or numbers is expected, a single one is read as a list of one.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
import re
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml

from dclm.core.errors import ConfigError, Problem
from dclm.core.names import ALLOWED, IsName, is_name

T = TypeVar("T")
Key = tuple[str | int, ...]
MAX_VALUES = 200_000
"""Limit for one YAML file: longer lists belong in separate files."""


@dataclasses.dataclass(frozen=True)
class Range:
    """Closed bounds of a number; `None` leaves that side open."""

    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        if self.high is None:
            return f"a number ≥ {self.low:g}"
        return f"a number in [{self.low:g}, {self.high:g}]" if self.low is not None else f"a number ≤ {self.high:g}"


Fraction = Annotated[float, Range(0.0, 1.0)]
NonNegative = Annotated[float, Range(0.0)]
Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]


@dataclasses.dataclass(frozen=True)
class Source:
    """A parsed YAML document: its plain value and the line of each key."""

    name: str
    value: object
    lines: Mapping[Key, int]

    def where(self, key: Key) -> str:
        """`file:line: a.b[2]` for the nearest key that exists in the file."""
        near = key
        while near and near not in self.lines:
            near = near[:-1]
        path = "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in key).lstrip(".")
        return f"{self.name}:{self.lines.get(near, 1)}" + (f": {path}" if path else "")


def load_yaml(path: str | Path) -> Source:
    """Parse a YAML file safely (no tags that construct objects).

    Raises: ConfigError if the file is missing, is not YAML, or repeats a key.
    """
    name = str(path)
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(name, "no such file", "check the path; shipped ones are in pipelines/ and recipes/") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(name, f"cannot be read: {error}") from error
    return parse_yaml(text, name)


class _Loader(yaml.SafeLoader):
    """Plain scalars have the meaning of YAML 1.2: `no` and `2024-01-01` are text, `1e-9` is a number."""


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", [*"~nN", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    ("int", r"[-+]?(0|[1-9][0-9_]*)|0x[0-9a-fA-F]+", "-+0123456789"),
    ("float", r"[-+]?([0-9][0-9_]*\.[0-9]*|\.[0-9]+|[0-9]+(?=[eE]))([eE][-+]?[0-9]+)?", "-+.0123456789"),
    ("float", r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)", "-+."),
):
    _Loader.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(f"(?:{_pattern})$"), list(_first))


_COLLECTIONS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")


def parse_yaml(text: str, name: str = "<config>") -> Source:
    """Parse YAML text; `name` is the file's name in errors.

    Raises: ConfigError, also for text designed to be endless: nested in itself, or multiplied by aliases.
    """
    lines: dict[Key, int] = {}
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
        value = _plain(node, (), lines, problems, name) if node is not None else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 1
        what = getattr(error, "problem", None) or str(error)
        raise ConfigError(f"{name}:{line}", f"not valid YAML: {what}") from None
    except RecursionError:
        raise ConfigError(name, "nested too deeply, or nested in itself by an alias") from None
    _raise(problems)
    return Source(name, value, lines)


def _plain(node: yaml.Node, key: Key, lines: dict[Key, int], problems: list[Problem], name: str) -> object:
    lines.setdefault(key, node.start_mark.line + 1)
    if len(lines) > MAX_VALUES:
        raise ConfigError(name, f"more than {MAX_VALUES:,} values (the values of an alias count at each use)")
    if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTIONS:
        problems.append(Problem(f"{name}:{node.start_mark.line + 1}", f"tag {node.tag} is not allowed"))
    if isinstance(node, yaml.MappingNode):
        out: dict[str, object] = {}
        for key_node, value_node in node.value:
            k = str(key_node.value)
            if k in out:
                problems.append(Problem(f"{name}:{key_node.start_mark.line + 1}", f"`{k}` occurs twice"))
            lines[(*key, k)] = key_node.start_mark.line + 1
            out[k] = _plain(value_node, (*key, k), lines, problems, name)
        return out
    if isinstance(node, yaml.SequenceNode):
        return [_plain(child, (*key, i), lines, problems, name) for i, child in enumerate(node.value)]
    loader = _Loader("")
    try:
        return loader.construct_object(node, deep=True)
    except yaml.YAMLError:
        problems.append(Problem(f"{name}:{node.start_mark.line + 1}", f"tag {node.tag} is not allowed"))
        return None
    finally:
        loader.dispose()


def _raise(problems: Sequence[Problem]) -> None:
    if problems:
        raise ConfigError(*problems[0], others=problems[1:])


def build(kind: type[T], source: Source, value: object = ..., key: Key = ()) -> T:
    """Make a `kind` (a dataclass) from the value at `key`.

    Raises: ConfigError naming every unknown field, wrong type, missing field and value out of range at once.
    """
    problems: list[Problem] = []
    result = convert(kind, source.value if value is ... else value, key, source, problems)
    _raise(problems)
    return typing.cast(T, result)


def convert(kind: Any, value: object, key: Key, source: Source, problems: list[Problem]) -> object:
    """The value as `kind`; if it is not one, appends to `problems` and returns None."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)

    def fail(allowed: str, hint: str | None = None) -> None:
        problems.append(Problem(source.where(key), f"found {_show(value)}, allowed: {allowed}", hint))

    if origin is Annotated:
        before = len(problems)
        result = convert(args[0], value, key, source, problems)
        limits = [a for a in args[1:] if isinstance(a, Range)]
        if len(problems) == before and isinstance(result, int | float):
            for limit in limits:
                if (limit.low is not None and result < limit.low) or (limit.high is not None and result > limit.high):
                    fail(str(limit))
        if isinstance(result, str) and any(a is IsName for a in args[1:]) and not is_name(result):
            fail(ALLOWED, "a name is not a path")
        return result
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        trials: list[list[Problem]] = []
        for arm in (a for a in args if a is not type(None)):
            trial: list[Problem] = []
            result = convert(arm, value, key, source, trial)
            if not trial:
                return result
            if (len(args) == 2 and type(None) in args) or _form(arm) == _form(type(value)) != "one":
                trials.append(trial)
        if len(trials) == 1:
            problems.extend(trials[0])
        else:
            fail(describe(kind))
        return None
    if origin is Literal:
        if value not in args or type(value) not in {type(a) for a in args}:
            fail(" | ".join(map(str, args)), suggest(str(value), [str(a) for a in args]))
        return value
    if origin is tuple:
        if isinstance(value, bool | int | float | str) and _form(args[0]) == "one":
            return (convert(args[0], value, key, source, problems),)  # `keep: en` for `keep: [en]`
        if not isinstance(value, list):
            fail(describe(kind))
            return None
        return tuple(convert(args[0], item, (*key, i), source, problems) for i, item in enumerate(value))
    if origin in (Mapping, dict):
        if not isinstance(value, dict):
            fail(describe(kind))
            return None
        for name in value:
            convert(args[0], name, (*key, name), source, problems)
        return {k: convert(args[1], v, (*key, k), source, problems) for k, v in value.items()}
    if dataclasses.is_dataclass(kind) and isinstance(kind, type):
        return _convert_dataclass(kind, value, key, source, problems)
    if kind is object:
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        fail(describe(kind))
        return None
    if isinstance(value, float) and not math.isfinite(value):
        fail("a finite number")
        return None
    return value


@cache
def _type_hints(kind: type) -> dict[str, Any]:
    return typing.get_type_hints(kind, include_extras=True)


def _convert_dataclass(kind: type, value: object, key: Key, source: Source, problems: list[Problem]) -> object:
    fields = {f.name.rstrip("_"): f for f in dataclasses.fields(kind) if f.init}  # `with_` is `with` in YAML
    if value is None:
        value = {}
    if not isinstance(value, dict):
        problems.append(Problem(source.where(key), f"found {_show(value)}, allowed: a map with {', '.join(fields)}"))
        return None
    before = len(problems)
    hints = _type_hints(kind)
    out: dict[str, object] = {}
    for name, item in value.items():
        if name not in fields:
            allowed = ", ".join(fields) or "no fields"
            problem = Problem(source.where((*key, name)), f"unknown field, allowed: {allowed}", suggest(name, fields))
            problems.append(problem)
        else:
            field_name = fields[name].name
            out[field_name] = convert(hints[field_name], item, (*key, name), source, problems)
    for name, field in fields.items():
        required = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        if required and name not in value:
            problems.append(Problem(source.where(key), f"`{name}` is missing, allowed: {describe(hints[field.name])}"))
    if len(problems) > before:
        return None
    try:
        return kind(**out)
    except ValueError as error:  # a __post_init__ that checks fields against each other
        problems.append(Problem(source.where(key), str(error)))
        return None


def suggest(found: str, allowed: Sequence[str] | Mapping[str, object]) -> str | None:
    """`did you mean …?` for the most similar allowed word, if one is close."""
    near = difflib.get_close_matches(found, list(allowed), n=1)
    return f"did you mean `{near[0]}`?" if near else None


def _form(kind: Any) -> str:
    """Whether a YAML value of this type is a map, a list, or one word or number."""
    kind = typing.get_origin(kind) or kind
    if kind in (Mapping, dict) or dataclasses.is_dataclass(kind):
        return "map"
    return "list" if kind in (tuple, list) else "one"


def _show(value: object) -> str:
    return text if len(text := repr(value)) <= 80 else text[:77] + "..."


def describe(kind: Any) -> str:  # the allowed values, in words
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        limits = [str(a) for a in args[1:] if isinstance(a, Range)]
        return limits[0] if limits else describe(args[0])
    if origin in (typing.Union, types.UnionType):
        return " or ".join("null" if a is type(None) else describe(a) for a in args)
    if origin is Literal:
        return " | ".join(str(a) if str(a).strip() else f'"{a}"' for a in args)
    if origin is tuple:
        return f"a list of {describe(args[0])}"
    if origin in (Mapping, dict):
        return f"a map of {describe(args[1])}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "text", object: "any value"}
    return names.get(kind, f"a map ({kind.__name__})")
