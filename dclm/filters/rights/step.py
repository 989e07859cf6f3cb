"""The step that reads what pages say about their own use, and the filter that acts on it."""

from __future__ import annotations

import dataclasses
import re
from typing import Any, ClassVar

import pyarrow as pa

from dclm.core.errors import ConfigError
from dclm.curate.step import Context, Filter, FilterFunction, Map, MapFunction, RuleFunction
from dclm.filters.rights.statements import read_statements

TDM, ROBOTS, LICENSE = COLUMNS = ("rights_tdm", "rights_robots", "rights_license")
_VERSION = re.compile(r" \d\.\d$")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rights(Map):
    """Adds the statements of a page and its HTTP header about their own use; put it before `extract`.

    Columns of text, null where nothing is said: `rights_tdm` (`reserved`, `not reserved`: TDM Reservation Protocol),
    `rights_robots` (restricting directives for all robots, such as `noai,noindex`), `rights_license` (Creative Commons,
    such as `CC BY-SA 4.0`). Nothing is dropped: `rights_filter` does that. Documents that do not come from pages get
    nulls.
    """

    name: ClassVar[str] = "rights"
    version: ClassVar[int] = 1

    def open(self, context: Context) -> MapFunction:
        def add(batch: pa.RecordBatch) -> pa.RecordBatch:
            there = [name for name in COLUMNS if name in batch.schema.names]
            if there:
                hint = "rename the column of the pool, or leave out the step"
                raise ConfigError("step rights", f"the column `{there[0]}` already exists", hint)
            for name, values in zip(COLUMNS, _columns(batch), strict=True):
                batch = batch.append_column(name, pa.array(values, pa.string()))
            return batch

        return add


def _columns(batch: pa.RecordBatch) -> list[list[str | None]]:
    if "body" not in batch.schema.names:
        return [[None] * batch.num_rows for _ in COLUMNS]
    headers = batch.column("_rights").to_pylist() if "_rights" in batch.schema.names else [None] * batch.num_rows
    found = []
    for header, body in zip(headers, batch.column("body"), strict=True):
        found.append(read_statements(header, memoryview(body.as_buffer()) if body.is_valid else None))
    return [list(values) for values in zip(*found, strict=True)] if found else [[], [], []]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RightsFilter(Filter):
    """Drops documents by what their pages say about their own use, as `rights` found it. Silence keeps a document,
    unless `licenses` is set."""

    name: ClassVar[str] = "rights_filter"

    tdm: bool = True
    """Drop pages that reserve text and data mining."""
    robots: tuple[str, ...] = ("noai",)
    """Drop pages with one of these directives for all robots: noai, noimageai, noindex, noarchive, nosnippet …"""
    licenses: tuple[str, ...] | None = None
    """Keep only pages all of whose licenses are among these, in any version: `CC BY`, `CC BY-SA`, `CC0`, `Public Domain
    Mark` and so on. Null: any license, or none."""

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            return pa.array([rule is None for rule in self._rules(batch)], pa.bool_())

        return keep

    def open_rules(self, context: Context) -> RuleFunction:
        """Names the statement that decided: tdm, robots or license."""
        return lambda batch: pa.array(self._rules(batch), pa.string())

    def _rules(self, batch: pa.RecordBatch) -> list[str | None]:
        missing = [name for name in COLUMNS if name not in batch.schema.names]
        if missing:
            raise ConfigError(f"step {self.name}", f"no column `{missing[0]}`", "put `- rights` before `extract`")
        columns: list[list[Any]] = [batch.column(name).to_pylist() for name in COLUMNS]
        return [self._rule(*values) for values in zip(*columns, strict=True)]

    def _rule(self, tdm: str | None, robots: str | None, license: str | None) -> str | None:
        if self.tdm and tdm == "reserved":
            return "tdm"
        if set(self.robots) & set((robots or "").split(",")):
            return "robots"
        if self.licenses is None:
            return None
        found = {_VERSION.sub("", name) for name in (license or "").split("; ")}
        return None if found <= set(self.licenses) else "license"
