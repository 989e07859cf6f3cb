"""Checks that JSON has the form of a result: the schema that ships with the package, with all deviations reported at
once."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from functools import cache
from importlib import resources
from typing import Any

import jsonschema

from dclm.core.errors import DataError, Problem

MAX_RESULT_BYTES = 1 << 20  # a full result has about 30 kB
MAX_DEPTH = 20
"""Maximum nesting depth of a result; a real one has about six levels."""
MAX_PROBLEMS = 100
"""Maximum number of problems reported in plain values: a hostile upload may have a hundred thousand."""


@cache
def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of result.json."""
    text = resources.files("dclm.board").joinpath("schema/result.schema.json").read_text(encoding="utf-8")
    loaded: dict[str, Any] = json.loads(text)
    return loaded


@cache
def _validator() -> Any:
    """The schema's validator. For it, 5.0 is a number and not an integer, as for the readers of a result."""
    draft = jsonschema.Draft202012Validator
    strict = draft.TYPE_CHECKER.redefine("integer", lambda _, v: isinstance(v, int) and not isinstance(v, bool))
    extend: Any = jsonschema.validators.extend
    return extend(draft, type_checker=strict)(schema())


def check_schema(value: object, name: str) -> object:
    """`value` itself. Raises: DataError with every deviation from the schema."""
    check_plain(value, name)
    errors = sorted(_validator().iter_errors(value), key=lambda e: [str(part) for part in e.absolute_path])
    raise_problems([Problem(_where(name, e.json_path), shorten(e.message)) for e in errors[:MAX_PROBLEMS]])
    return value


def check_plain(value: object, name: str) -> object:
    """`value` itself. Raises: DataError for values that pages and files cannot represent. Much faster than the
    schema."""
    raise_problems(list(_plain_problems(value, name)))
    return value


def raise_problems(found: list[Problem]) -> None:
    """Raise one DataError with all problems in `found`, if there are any."""
    if found:
        raise DataError(*found[0], others=found[1:])


def _plain_problems(value: object, name: str) -> Iterator[Problem]:
    """Find values that JSON can express but a page or a file cannot: lone surrogates, control characters, infinity,
    deep nests.

    Every text is checked, including the free parts that the schema does not describe.
    """
    stack: list[tuple[object, str, int]] = [(value, "$", 0)]
    found = 0
    while stack and found < MAX_PROBLEMS:
        item, path, depth = stack.pop()
        problem = None
        if depth > MAX_DEPTH:
            problem = f"nested more than {MAX_DEPTH} levels deep"
        elif isinstance(item, str):
            problem = _text_problem(item)
        elif isinstance(item, float) and not math.isfinite(item):
            problem = "not a finite number"
        elif isinstance(item, dict):
            for key, inner in item.items():
                stack += [(inner, f"{path}.{key}", depth + 1), (key, f"{path}, a key", depth)]
        elif isinstance(item, list):
            stack += [(inner, f"{path}[{i}]", depth + 1) for i, inner in enumerate(item)]
        if problem is not None:
            found += 1
            yield Problem(_where(name, path), problem)


def _text_problem(text: str) -> str | None:
    if not text.isprintable() and any((ord(c) < 32 and c not in "\t\n") or 127 <= ord(c) < 160 for c in text):
        return "a text contains a control character"
    try:
        text.encode()
    except UnicodeEncodeError:
        return "a text contains half of a surrogate pair, which no file or page can contain"
    return None


def _where(name: str, path: str) -> str:
    return name if path == "$" else f"{name}: {shorten(path.removeprefix('$.'))}"


def shorten(text: str) -> str:
    """One line of at most 160 characters: untrusted text for an error message. Always safe to encode."""
    text = " ".join(text.split()).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= 160 else text[:157] + "..."


def load_json(data: bytes, name: str) -> object:
    """JSON without NaN and without repeated keys. Raises: DataError."""
    if len(data) > MAX_RESULT_BYTES:
        raise DataError(name, f"more than {MAX_RESULT_BYTES} bytes, more than any real result needs")
    try:
        return json.loads(data, object_pairs_hook=_unique, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise DataError(name, f"not valid JSON: {str(error) or 'nested too deeply'}") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a key occurs twice")
    return value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is too large a number")
    return value


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number")
