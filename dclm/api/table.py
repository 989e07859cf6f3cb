"""Rows of an artifact, read on demand, in the library that you use."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.api.html import render_table
from dclm.core.errors import ConfigError

if TYPE_CHECKING:
    import datasets
    import pandas
    import polars

_SHOWN = 5


class Table:
    """Rows in Parquet files, or in memory. Nothing is read before a method needs it."""

    def __init__(self, name: str, source: Sequence[Path] | pa.Table) -> None:
        """`source`: Parquet files in order, which need not have the same columns, or a table."""
        self.name = name
        self._source = source

    def __len__(self) -> int:
        if isinstance(self._source, pa.Table):
            return int(self._source.num_rows)
        return sum(int(pq.read_metadata(path).num_rows) for path in self._source)

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the columns, in order."""
        return tuple(self.schema.names)

    @property
    def schema(self) -> pa.Schema:
        """Arrow schema: the columns of all files together."""
        if isinstance(self._source, pa.Table):
            return self._source.schema
        return pa.unify_schemas([pq.read_schema(path) for path in self._source], promote_options="permissive")

    def batches(self, columns: Sequence[str] | None = None, rows: int = 65_536) -> Iterator[pa.RecordBatch]:
        """Record batches of at most `rows` rows, one at a time, for data that does not fit in memory."""
        if isinstance(self._source, pa.Table):
            yield from (self._source if columns is None else self._source.select(list(columns))).to_batches(rows)
            return
        for path in self._source:
            with pq.ParquetFile(path) as file:
                there = file.schema_arrow.names
                wanted = None if columns is None else [name for name in columns if name in there]
                yield from file.iter_batches(rows, columns=wanted)

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """All rows as one `pyarrow.Table`; a column that a file lacks is null in its rows."""
        if isinstance(self._source, pa.Table):
            return self._source if columns is None else self._source.select(list(columns))
        tables = []
        for path in self._source:
            there = pq.read_schema(path).names
            wanted = None if columns is None else [name for name in columns if name in there]
            tables.append(pq.read_table(path, columns=wanted))
        if not tables:
            return pa.table({})
        return pa.concat_tables(tables, promote_options="permissive")

    def to_pandas(self, columns: Sequence[str] | None = None) -> pandas.DataFrame:
        """All rows as a `pandas.DataFrame`. Needs the package pandas."""
        _library("pandas")
        frame: pandas.DataFrame = self.to_arrow(columns).to_pandas()
        return frame

    def to_polars(self, columns: Sequence[str] | None = None) -> polars.DataFrame:
        """All rows as a `polars.DataFrame`. Needs the package polars."""
        frame: polars.DataFrame = _library("polars").from_arrow(self.to_arrow(columns))
        return frame

    def to_datasets(self, columns: Sequence[str] | None = None) -> datasets.Dataset:
        """All rows as a `datasets.Dataset`. Needs Hugging Face's package datasets."""
        return _library("datasets").Dataset(self.to_arrow(columns))

    def head(self, rows: int = _SHOWN) -> list[dict[str, Any]]:
        """The first rows as dicts."""
        found: list[dict[str, Any]] = []
        for batch in self.batches(rows=rows):
            found += batch.to_pylist()
            if len(found) >= rows:
                break
        return found[:rows]

    def __repr__(self) -> str:
        return f"{self.name}: {len(self):,} rows of {', '.join(self.columns)}"

    def _repr_html_(self) -> str:
        rows = self.head()
        note = f"the first {len(rows)} of {len(self):,} rows" if len(self) > len(rows) else ""
        return render_table(self.name, self.columns, ([row.get(c) for c in self.columns] for row in rows), note)


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError:
        raise ConfigError(f"to_{name}", f"the package {name} is not installed", f"pip install {name}") from None
