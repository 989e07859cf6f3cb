"""Runs a user's source in this process. Steps made from it contain the source, so that any worker can load them.

Modules have names in Python that begin with their hash: two versions of a file are two modules, and an edited file is
never confused with one that a worker loaded before.
"""

from __future__ import annotations

import builtins
import copyreg
import dataclasses
import importlib
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import Any

from dclm.core.errors import ConfigError
from dclm.core.names import is_name
from dclm.core.schema import json_schema
from dclm.curate.global_step import Global
from dclm.curate.own.blame import blamed, syntax_error
from dclm.curate.own.code import MARK, OwnCode
from dclm.curate.own.function import TYPES, step_of_function
from dclm.curate.step import Filter, Map, Ordered, Step

_STEPS: dict[tuple[str, str], type[Step]] = {}


def own_step(code: OwnCode, attribute: str) -> type[Step]:
    """The step named `attribute` of the code: a `Step` class, or a function (see `function.py`).

    Raises: ConfigError if it does not exist, is not a step, or its source fails.
    """
    key = (code.digest, attribute)
    if key not in _STEPS:
        module = load_module(code)
        found = getattr(module, attribute, None)
        where = f"{code.files[code.name]}: {attribute}"
        if inspect.isfunction(found):
            kind = step_of_function(found, f"{code.name}:{attribute}", where)
        elif isinstance(found, type) and issubclass(found, Step):
            kind = _checked(found, where)
        else:
            offered = [n for n, v in vars(module).items() if _is_offered(v, module)]
            what = "no such function or class" if found is None else f"found {found!r:.60}"
            listed = f": {', '.join(offered)}" if offered else ""
            raise ConfigError(where, f"{what}, allowed: a function or a Step class of this file{listed}")
        setattr(kind, MARK, code)
        _reduce_by_source(kind, attribute)
        _STEPS[key] = kind
    return _STEPS[key]


def code_of(step: Step) -> OwnCode | None:
    """The user's code that a step comes from; None for shipped steps."""
    code = getattr(type(step), MARK, None)
    return code if isinstance(code, OwnCode) else None


def load_module(code: OwnCode) -> ModuleType:
    """Run the code's module, once per process. Raises: ConfigError naming the line that fails."""
    if not code.sources:
        with blamed():
            module = importlib.import_module(code.name)
        setattr(module, MARK, code)
        return module
    return _run(code, code.name)


def _run(code: OwnCode, name: str) -> ModuleType:
    """The module `name` of the code, run if it has not been run yet."""
    alias = f"{code.alias}.{name}"
    if alias in sys.modules:
        return sys.modules[alias]
    module = ModuleType(alias, doc=None)
    module.__file__ = code.files[name]
    vars(module)[MARK] = code
    vars(module)["__builtins__"] = {**vars(builtins), "__import__": _importer(code)}
    try:
        compiled = compile(code.sources[name], code.files[name], "exec", dont_inherit=True)
    except SyntaxError as error:
        raise syntax_error(error) from None
    sys.modules[alias] = module  # dataclasses look up their module while their class is created
    try:
        with blamed():
            exec(compiled, vars(module))
    except BaseException:
        del sys.modules[alias]
        raise
    return module


def _importer(code: OwnCode) -> Callable[..., ModuleType]:
    """`__import__` for the code's modules: they find each other; all other imports are Python's."""

    def import_(
        name: str,
        globals: Mapping[str, object] | None = None,
        locals: Mapping[str, object] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        if level == 0 and name in code.sources:
            return _run(code, name)
        return __import__(name, globals, locals, fromlist or (), level)

    return import_


def _is_offered(value: object, module: ModuleType) -> bool:
    """Whether the module defines it and it could be a step."""
    if getattr(value, "__module__", None) != module.__name__:
        return False
    return inspect.isfunction(value) or (isinstance(value, type) and issubclass(value, Step))


def _checked(kind: type[Step], where: str) -> type[Step]:
    """Raises: ConfigError for a class that would fail later."""
    allowed = "a subclass of Map, Filter, Global or Ordered (dclm.steps)"
    if not issubclass(kind, Map | Filter | Global | Ordered):
        raise ConfigError(where, f"found a subclass of Step itself, allowed: {allowed}")
    parameters = vars(kind).get("__dataclass_params__")
    if parameters is None or not parameters.frozen:
        hint = "put `@dataclasses.dataclass(frozen=True, kw_only=True)` above the class"
        raise ConfigError(where, "is not a frozen dataclass", hint)
    name = getattr(kind, "name", None)
    if not (isinstance(name, str) and is_name(name)):
        hint = f'add `name: ClassVar[str] = "{kind.__name__.lower()}"` to the class'
        raise ConfigError(where, f"has the name {name!r}, allowed: a name for the ledger", hint)
    try:
        json_schema(kind)
    except TypeError as error:
        raise ConfigError(where, f"has a field of type {error}, allowed: {TYPES}") from None
    if missing := sorted(getattr(kind, "__abstractmethods__", ())):
        raise ConfigError(where, f"does not define {', '.join(missing)}")
    return kind


def _reduce_by_source(kind: type[Step], attribute: str) -> None:
    """Pickle instances as their source and fields, for workers that have neither the file nor the module."""
    code = getattr(kind, MARK)

    def reduce(step: Step) -> tuple[Callable[..., Step], tuple[Any, ...]]:
        fields = {f.name: getattr(step, f.name) for f in dataclasses.fields(step) if f.init}
        return _rebuild, (code, attribute, fields)

    copyreg.pickle(kind, reduce)


def _rebuild(code: OwnCode, attribute: str, fields: Mapping[str, object]) -> Step:
    return own_step(code, attribute)(**fields)
