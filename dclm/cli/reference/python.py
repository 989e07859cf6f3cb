"""Reference of the Python library: every public name with its signature and documentation."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import dclm


def python_lines() -> Iterator[str]:
    """The page of `import dclm`."""
    yield inspect.cleandoc(dclm.__doc__ or "").partition("\n")[2].strip() + "\n"
    names = [name for name in dclm.__all__ if not name.startswith("__")]
    found = {name: getattr(dclm, name) for name in names}
    yield "## Functions\n"
    for name, value in found.items():
        if not isinstance(value, type):
            signature, text = _signature(name, value), inspect.getdoc(_function(value))
            yield f"### `dclm.{name}`\n\n```python\n{signature}\n```\n\n{text}\n"
    yield "## Classes\n"
    for name, value in found.items():
        if isinstance(value, type):
            yield f"### `dclm.{name}`\n\n{inspect.getdoc(value)}\n"
            yield from _members(value)
            yield ""


def _function(value: object) -> object:
    """The function that a callable package wraps."""
    return inspect.unwrap(value) if callable(value) else value


def _signature(name: str, value: object) -> str:
    function = _function(value)
    assert callable(function)
    signature = inspect.signature(function)
    parameters = [_parameter(p) for p in signature.parameters.values()]
    keyword = next((i for i, p in enumerate(signature.parameters.values()) if p.kind is p.KEYWORD_ONLY), None)
    if keyword is not None:
        parameters.insert(keyword, "*")
    inside = "".join(f"    {parameter},\n" for parameter in parameters)
    returned = str(signature.return_annotation).strip("'")
    return f"{name}(\n{inside}) -> {returned}"


def _parameter(parameter: inspect.Parameter) -> str:
    kind = str(parameter.annotation).strip("'").replace("Path_", "str | Path")
    if parameter.default is inspect.Parameter.empty:
        return f"{parameter.name}: {kind}"
    default = "…" if callable(parameter.default) else repr(parameter.default)
    return f"{parameter.name}: {kind} = {default}"


def _members(kind: type) -> Iterator[str]:
    """Properties and methods with their first sentence. Inherited ones are listed under their base class."""
    for name, member in vars(kind).items():
        documented = inspect.getdoc(member.fget if isinstance(member, property) else member)
        if name.startswith("_") or not documented or not (isinstance(member, property) or inspect.isfunction(member)):
            continue
        call = "" if isinstance(member, property) else "()"
        yield f"- `.{name}{call}`: {documented.partition(chr(10) * 2)[0].replace(chr(10), ' ')}"
