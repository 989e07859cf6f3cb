"""Cuts on the value of a numeric column."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import to_list
from dclm.core.errors import ConfigError
from dclm.curate.quantity import Rule, at_least, at_most
from dclm.curate.step import Bools, RuleFilter
from dclm.select.groups import DOMAIN, group_name, group_names

Values = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold(RuleFilter):
    """Keeps documents whose value in a numeric column is within bounds, both inclusive; missing values are dropped.

    With `per`, each group may have its own lower bound, such as a topic or a language assigned by a classifier.

    Source: `quality_filter` in DCLM's baselines (>=). DCLM-Baseline keeps scores of at least 0.018112.
    """

    name: ClassVar[str] = "threshold"
    version: ClassVar[int] = 3

    column: str
    """Numeric column."""
    min: float | None = None
    """Lower bound."""
    max: float | None = None
    """Upper bound."""
    per: str | None = None
    """Column of labels to which `min_by` refers; `domain` and `source` as for `quantile`."""
    min_by: Mapping[str, float] = dataclasses.field(default_factory=dict)
    """Value of the column `per` → its lower bound, instead of `min`."""

    def __post_init__(self) -> None:
        if self.min is None and self.max is None and not self.min_by:
            raise ValueError("give `min`, `max`, `min_by` or several of them")
        if bool(self.min_by) != (self.per is not None):
            raise ValueError("`per` and `min_by` need each other")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} > max {self.max:g}")

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column, *(("url",) if self.per == DOMAIN else ()))

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        """See `RuleFilter`."""
        values = numeric_column(batch, self.column, self.name)
        low = -math.inf if self.min is None else self.min
        yield "no_value", ~np.isnan(values)
        if self.per is not None:
            groups = to_list(group_names(batch, self.per, self.name))
            bounds = {group_name(group, self.per): bound for group, bound in self.min_by.items()}
            lows = np.array([bounds.get(group, low) for group in groups], np.float64)
            yield at_least("min_by", values, lows)
        elif self.min is not None:
            yield at_least("min", values, low)
        if self.max is not None:
            yield at_most("max", values, self.max)


def numeric_column(batch: pa.RecordBatch, column: str, step: str) -> Values:
    """The column as float64 (integers beyond 2⁵³ are rounded), NaN for null.

    Raises: ConfigError if there is no such column or it is not numeric.
    """
    if column not in batch.schema.names:
        there = ", ".join(n for n in batch.schema.names if not n.startswith("_"))
        raise ConfigError(step, f"no column {column}, found: {there}", "an earlier step must add it")
    kind = batch.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(step, f"column {column} is {kind}, allowed: numbers")
    values: Values = pc.cast(batch.column(column), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values
