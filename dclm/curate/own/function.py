"""A step from a plain function: its first parameter determines its input, and its return type the kind of step.

def keep(text: str, *, min_words: int = 5) -> bool     a filter; the other parameters are fields of the step def
keep(row) -> bool                                  row: a dict with `id`, `url`, `text` … and annotations def
keep(batch) -> list[bool]                          batch: a pyarrow.RecordBatch; one answer per row def clean(text) ->
str                                 an edit: the text in place of the old one def shouting(text) -> float
a score: a column named after the function, for `threshold`
"""

from __future__ import annotations

import dataclasses
import inspect
import typing
from collections.abc import Callable, Iterator, Mapping
from types import FunctionType
from typing import Any, ClassVar, Literal

import numpy as np
import pyarrow as pa

from dclm.core.errors import ConfigError
from dclm.core.schema import json_schema
from dclm.curate.own.blame import HINT, blamed
from dclm.curate.step import Context, Filter, FilterFunction, Map, MapFunction, Step

Given = Literal["text", "row", "batch"]
Gives = Literal["bool", "str", "float"]
_BY_TYPE: dict[Any, Given] = {str: "text", dict: "row", Mapping: "row", pa.RecordBatch: "batch"}
_RESULTS: dict[Any, Gives] = {bool: "bool", str: "str", float: "float", int: "float"}
_COLUMNS: dict[str, pa.DataType] = {"str": pa.string(), "float": pa.float64()}


TYPES = "bool, int, float, str, Literal, tuple[X, ...], Mapping[str, X], a dataclass, or X | None"
"""The default of a field of a user's step."""


class _Calls:
    """Common part of steps made from functions: the function, and how it is called."""

    function: ClassVar[Callable[..., Any]]
    given: ClassVar[Given]
    gives: ClassVar[Gives]
    where: ClassVar[str]

    def _fields(self) -> dict[str, object]:
        return {f.name: getattr(self, f.name) for f in dataclasses.fields(typing.cast(Any, self))}

    def _answers(self, batch: pa.RecordBatch) -> list[Any]:
        """One checked answer per row. Raises: ConfigError for an error in the function or a wrong answer."""
        fields, function = self._fields(), type(self).function
        if batch.num_rows == 0:  # the schema of empty shards is made with an empty batch
            return []
        if self.given == "batch":
            with blamed():
                found = function(_visible(batch), **fields)
            answers = found.tolist() if isinstance(found, np.ndarray) else _list(found)
            if answers is None or len(answers) != batch.num_rows:
                shape = f"{found!r:.60}" if answers is None else f"{len(answers)} answers"
                raise self._wrong(shape, f"{batch.num_rows} answers, one for each row of the batch")
            for answer in answers:
                self._check(answer, "")
            return answers
        answers = []
        for item, document in zip(self._items(batch), batch.column("id"), strict=True):
            which = f"on the document {document}"
            with blamed(which):
                answer = function(item, **fields)
            self._check(answer, f" {which}")
            answers.append(answer)
        return answers

    def _items(self, batch: pa.RecordBatch) -> Iterator[Any]:
        if self.given == "row":
            return iter(_visible(batch).to_pylist())
        if "text" not in batch.schema.names:
            hint = "put `extract: {with: resiliparse}` before it"
            raise ConfigError(self.where, "needs texts, but the pages of this pool are not extracted yet", hint)
        return iter(batch.column("text").to_pylist())

    def _check(self, answer: object, which: str) -> None:
        allowed = {"bool": bool | np.bool_, "str": str, "float": int | float | np.number}[self.gives]
        if not isinstance(answer, allowed) or (self.gives == "float" and isinstance(answer, bool)):
            words = {"bool": "True or False", "str": "a text", "float": "a number"}[self.gives]
            raise self._wrong(f"{answer!r:.60}{which}", words)

    def _wrong(self, found: str, allowed: str) -> ConfigError:
        return ConfigError(self.where, f"returned {found}, allowed: {allowed}", HINT)


class FunctionFilter(_Calls, Filter):
    """Keeps the documents for which a user's function returns True."""

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: pa.array([bool(answer) for answer in self._answers(batch)], pa.bool_())


class FunctionMap(_Calls, Map):
    """Stores the return values of a user's function in a column: `text` for an edit, otherwise one named after the
    function."""

    column: ClassVar[str]

    def open(self, context: Context) -> MapFunction:
        def run(batch: pa.RecordBatch) -> pa.RecordBatch:
            values = pa.array(self._answers(batch), _COLUMNS[self.gives])
            place = batch.schema.get_field_index(self.column)
            if place >= 0:
                return batch.set_column(place, self.column, values)
            return batch.append_column(self.column, values)

        return run


def step_of_function(function: FunctionType, name: str, where: str) -> type[Step]:
    """The step class of a user's function, named `name` in the ledger.

    Raises: ConfigError for parameters or a return type that are not supported.
    """
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except Exception as error:  # a user's annotation may raise anything
        raise ConfigError(where, f"has an annotation that fails: {type(error).__name__}: {error}") from None
    parameters = list(inspect.signature(function).parameters.values())
    given = _given(parameters, hints, where)
    gives = _gives(hints.get("return", bool), given, where)
    fields = [_field(p, hints, where) for p in parameters[1:]]
    column = "text" if gives == "str" else function.__name__
    common = {
        "__module__": function.__module__, "__doc__": inspect.getdoc(function), "name": name,
        "function": staticmethod(function), "given": given, "gives": gives, "where": where,
    }  # fmt: skip
    base: type[Step] = FunctionFilter if gives == "bool" else FunctionMap
    kind = dataclasses.make_dataclass(
        function.__name__,
        fields,
        bases=(base,),
        namespace=common if gives == "bool" else {**common, "column": column},
        frozen=True,
        kw_only=True,
    )
    assert issubclass(kind, Step)
    return kind


def _given(parameters: list[inspect.Parameter], hints: Mapping[str, Any], where: str) -> Given:
    allowed = "text, row or batch"
    if not parameters:
        raise ConfigError(where, f"has no parameter, allowed: a first parameter named {allowed}")
    first = parameters[0]
    if first.name in ("text", "row", "batch"):
        return typing.cast(Given, first.name)
    hint = hints.get(first.name)
    found = _BY_TYPE.get(typing.get_origin(hint) or hint)
    if found is None:
        raise ConfigError(where, f"has the first parameter `{first.name}`, allowed: one named {allowed}")
    return found


def _gives(result: Any, given: Given, where: str) -> Gives:
    if given == "batch":
        inner = typing.get_args(result)
        result = inner[0] if typing.get_origin(result) is list and inner else bool
    found = _RESULTS.get(result)
    if found is None:
        shown = getattr(result, "__name__", str(result))
        hint = "a filter returns bool, an edit str, a score float"
        raise ConfigError(where, f"is declared to return {shown}, allowed: bool, str, float", hint)
    return found


def _field(parameter: inspect.Parameter, hints: Mapping[str, Any], where: str) -> Any:
    if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
        raise ConfigError(where, f"has the parameter `{parameter}`, allowed: named parameters, which become fields")
    default = parameter.default
    missing = default is inspect.Parameter.empty
    kind = hints.get(parameter.name, object if missing or default is None else type(default))
    try:
        json_schema(kind)
    except TypeError as error:
        raise ConfigError(where, f"has the parameter `{parameter.name}` of type {error}, allowed: {TYPES}") from None
    if missing:
        return (parameter.name, kind)
    return (parameter.name, kind, dataclasses.field(default=default))


def _visible(batch: pa.RecordBatch) -> pa.RecordBatch:
    """The batch without scratch columns, whose names begin with "_"."""
    return batch.select([name for name in batch.schema.names if not name.startswith("_")])


def _list(found: object) -> list[Any] | None:
    if isinstance(found, pa.Array | pa.ChunkedArray):
        return typing.cast(list[Any], found.to_pylist())
    return list(found) if isinstance(found, list | tuple) else None
