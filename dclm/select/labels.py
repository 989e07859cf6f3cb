"""The step `labels`: keeps documents by a column of labels, such as a topic that a classifier assigned."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, joined
from dclm.curate.step import Bools, RuleFilter
from dclm.select.groups import DOMAIN, group_name, group_names

BETWEEN = " | "
"""Between the labels of several columns."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Labels(RuleFilter):
    """Keeps documents that have one of some labels, or drops those that do; documents without a label are dropped.

    With several columns, such as topic and format, a label is one of each: `news | forum`.
    """

    name: ClassVar[str] = "labels"
    version: ClassVar[int] = 1

    columns: str | tuple[str, ...]
    """Column of labels (text or whole numbers), or several; `domain` and `source` as for `quantile`."""
    keep: tuple[str, ...] = ()
    """Labels to keep."""
    drop: tuple[str, ...] = ()
    """Labels to drop, instead of `keep`."""
    keep_unlabeled: bool = False
    """Also keep documents that lack a label in one of the columns."""

    def __post_init__(self) -> None:
        if bool(self.keep) == bool(self.drop):
            raise ValueError("give either `keep` or `drop`")
        if not self.columns:
            raise ValueError("`columns` is empty, allowed: one column or more")

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return (self.columns,) if isinstance(self.columns, str) else self.columns

    @property
    def reads(self) -> tuple[str, ...]:
        own = tuple(name for name in self.names if name != DOMAIN)
        return (*own, *(("url",) if DOMAIN in self.names else ()))

    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools]]:
        """See `RuleFilter`."""
        found = labels_of(batch, self.names, self.name)
        known = np.asarray(pc.is_valid(found).to_numpy(zero_copy_only=False), np.bool_)
        if not self.keep_unlabeled:
            yield "no_label", known
        wanted = [self._wanted(label) for label in self.keep or self.drop]
        among = pc.is_in(found, value_set=pa.array(wanted, pa.string())).to_numpy(zero_copy_only=False)
        yield "label", ~known | (np.asarray(among, np.bool_) == bool(self.keep))

    def _wanted(self, label: str) -> str:
        """The label with hosts in their canonical form."""
        parts = label.split(BETWEEN) if len(self.names) > 1 else [label]
        if len(parts) != len(self.names):
            return label  # a value contains the separator
        return BETWEEN.join(group_name(part, column) for part, column in zip(parts, self.names, strict=True))


def labels_of(batch: pa.RecordBatch, columns: tuple[str, ...], step: str) -> Column:
    """The label of each document, as text; null if it has none in one of the columns. Raises: see `group_names`."""
    parts = [group_names(batch, column, step) for column in columns]
    return parts[0] if len(parts) == 1 else joined(parts, BETWEEN)
