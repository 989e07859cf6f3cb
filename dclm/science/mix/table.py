"""Tables of proxy runs: the mixture each was trained on, and its losses, joined by their first column."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dclm.core.config import suggest
from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import write_atomic
from dclm.science.tables import read_rows

Array = npt.NDArray[np.float64]
_ROUNDING = 0.02
"""Maximum deviation from 1 of the sum of a mixture's shares: published ones are rounded to three digits."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class NumberTable:
    """A CSV of numbers whose first column names the rows."""

    path: str
    first: str
    """Header of the first column."""
    names: tuple[str, ...]
    """Names of the rows."""
    columns: tuple[str, ...]
    values: Array
    """[rows, columns]"""

    def column(self, name: str) -> Array:
        """One column [rows]. Raises: ConfigError naming the nearest if it does not exist."""
        if name not in self.columns:
            raise ConfigError(f"column {name}", f"not in {self.path}", suggest(name, self.columns))
        return self.values[:, self.columns.index(name)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Proxies:
    """Proxy runs."""

    sources: tuple[str, ...]
    weights: Array
    """[runs, sources]; every row sums to 1."""
    losses: Array
    """[runs, targets]"""


def read_table(path: Path) -> NumberTable:
    """Read a CSV. Raises: DataError for a cell that is not a finite number, or a row name that occurs twice."""
    rows = read_rows(path)
    if len(rows) < 2 or len(rows[0]) < 2:
        raise DataError(str(path), "found no rows of numbers", "use a header and one row per run: NAME,NUMBER,…")
    names, values = [], []
    for line, row in enumerate(rows[1:], 2):
        if len(row) != len(rows[0]):
            raise DataError(f"{path}, row {line}", f"found {len(row)} cells, allowed: {len(rows[0])} as in the header")
        names.append(row[0])
        values.append(
            [_number(cell, f"{path}, row {line}, {name}") for name, cell in zip(rows[0][1:], row[1:], strict=True)]
        )
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(str(path), f"found two rows named {twice}, allowed: one per run")
    return NumberTable(
        path=str(path), first=rows[0][0], names=tuple(names), columns=tuple(rows[0][1:]), values=np.array(values)
    )


def read_mixtures(paths: Sequence[Path], splits: Mapping[str, Mapping[str, float]] | None = None) -> NumberTable:
    """The mixtures in several tables. A source that is missing from a table has no share in its runs.

    `splits`: source → the shares of the sources that it has since been split into; old runs have read it in these
    proportions. Rows are scaled to sum to exactly 1. Raises: DataError for a negative share, or shares that do not sum
    to 1 within rounding.
    """
    tables = [_split(read_table(path), splits or {}) for path in paths]
    columns = tuple(dict.fromkeys(name for table in tables for name in table.columns))
    names = [name for table in tables for name in table.names]
    if len(set(names)) < len(names):
        raise DataError(", ".join(map(str, paths)), "found a run's name in two tables, allowed: each run once")
    values = np.zeros((len(names), len(columns)))
    row = 0
    for table in tables:
        values[row : row + len(table.names), [columns.index(c) for c in table.columns]] = table.values
        row += len(table.names)
    sums = values.sum(axis=1)
    for name, sum_, lowest in zip(names, sums, values.min(axis=1), strict=True):
        if lowest < 0 or abs(sum_ - 1) > _ROUNDING:
            where = f"mixture {name} of {', '.join(map(str, paths))}"
            raise DataError(where, f"found shares that sum to {sum_:.4g}, allowed: none below 0, and a sum of 1")
    return NumberTable(
        path=tables[0].path, first=tables[0].first, names=tuple(names), columns=columns, values=values / sums[:, None]
    )


def join(mixtures: NumberTable, losses: Sequence[NumberTable], targets: Sequence[str]) -> Proxies:
    """The runs that have both a mixture and losses. Raises: DataError if none exists, ConfigError for a target."""
    found = {name: i for i, name in enumerate(mixtures.names)}
    rows, values = [], []
    for table in losses:
        columns = [table.column(target) for target in targets]
        for i, name in enumerate(table.names):
            if name in found:
                rows.append(found[name])
                values.append([float(column[i]) for column in columns])
    if not rows:
        raise DataError(mixtures.path, f"found none of its runs in {', '.join(t.path for t in losses)}")
    if len(set(rows)) < len(rows):
        raise DataError(", ".join(t.path for t in losses), "found the losses of a run twice, allowed: once")
    return Proxies(sources=mixtures.columns, weights=mixtures.values[rows], losses=np.array(values))


def arrange(table: NumberTable, sources: Sequence[str]) -> Array:
    """The shares in `table` in the order of `sources` [rows, sources].

    Raises: DataError if a source that the proxies have never read has a share.
    """
    for name in table.columns:
        if name not in sources and table.column(name).any():
            raise DataError(table.path, f"found shares of {name}, which no proxy has read", suggest(name, sources))
    values = np.zeros((len(table.names), len(sources)))
    for i, name in enumerate(sources):
        if name in table.columns:
            values[:, i] = table.column(name)
    return values


def write_table(path: Path, first: str, names: Sequence[str], columns: Mapping[str, Sequence[float]]) -> None:
    """Write a CSV; the header of the first column is `first`."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([first, *columns])
    for name, *values in zip(names, *columns.values(), strict=True):
        writer.writerow([name, *(repr(float(value)) for value in values)])
    write_atomic(path, text.getvalue().encode())


def _split(table: NumberTable, splits: Mapping[str, Mapping[str, float]]) -> NumberTable:
    """The table without the sources that have been split; a part's share is added to what the runs read of it alone."""
    for source, parts in splits.items():
        if source not in table.columns:
            continue
        whole, total = table.column(source), sum(parts.values())
        values = {name: table.column(name) for name in table.columns if name != source}
        for part, share in parts.items():
            values[part] = values.get(part, 0.0) + whole * (share / total)
        table = dataclasses.replace(table, columns=tuple(values), values=np.column_stack(list(values.values())))
    return table


def _number(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise DataError(where, f"found {json.dumps(text)}, allowed: a finite number")
    return value
