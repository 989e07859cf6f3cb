"""How often each document is read: a number from one of its columns, realized as whole copies.

A count may be fractional. Counts are added up in document order, in units of 1/65,536, and a document gets one copy for
each whole number that the sum passes at it. So every document is read ⌊c⌋ or ⌈c⌉ times, the copies of any number of
consecutive documents differ from the sum of their counts by less than one, those of a source by at most a half, and
nothing depends on workers or on how the source is cut into files.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt

from dclm.core.config import NonNegative, Range
from dclm.core.errors import DataError

UNIT = 1 << 16
"""One copy, in the integer units in which counts are added up."""
MAX_REPEATS = 1024
Counts = npt.NDArray[np.int64]
Cap = Annotated[float, Range(0.0, MAX_REPEATS)]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DocumentRepeats:
    """A rule that gives every document the number of times it is read."""

    column: str
    """Column of the documents: a quality score, the size of a cluster of duplicates, a label."""
    function: Literal["value", "log2", "steps", "labels"] = "value"
    """`value`: the column's value. `log2`: 1 + log₂ of it (0 for values below 1/2). `steps`, `labels`: as in these
    fields."""
    steps: tuple[tuple[float, float], ...] = ()
    """`[least value, times]`, in rising order: the last step whose value is reached decides; below the first: 0."""
    labels: Mapping[str, NonNegative] = dataclasses.field(default_factory=dict)
    """Label → times."""
    missing: NonNegative = 1.0
    """Times for documents that have no value, or a label that is not listed."""
    cap: Cap
    """Maximum number of times that a document is read."""

    def __post_init__(self) -> None:
        if (self.function == "steps") != bool(self.steps) or (self.function == "labels") != bool(self.labels):
            raise ValueError(
                "the function steps needs `steps`, labels needs `labels`, and no other function takes them"
            )
        edges = [edge for edge, _ in self.steps]
        times = [number for _, number in self.steps]
        if edges != sorted(set(edges)) or any(number < 0 or not math.isfinite(number) for number in times):
            raise ValueError("steps need rising values, and times that are finite and not negative")

    def units(self, values: Sequence[object], where: str) -> Counts:
        """The counts of documents with these values of the column, in units of 1/65,536.

        Raises: DataError for a value of the wrong type, or below zero.
        """
        if self.function == "labels":
            known = self.labels
            times = [known.get(value, self.missing) if isinstance(value, str) else self._other(value, where)
                     for value in values]  # fmt: skip
            return self._capped(np.array(times, dtype=np.float64))
        numbers = np.array([math.nan if v is None else self._number(v, where) for v in values], dtype=np.float64)
        given = np.nan_to_num(numbers, nan=1.0)
        if self.function == "steps":
            reached = np.searchsorted([edge for edge, _ in self.steps], given, side="right")
            found = np.array([0.0, *(number for _, number in self.steps)])[reached]
        elif self.function == "log2":
            found = np.maximum(0.0, 1 + np.log2(np.maximum(given, 0.25)))
        else:
            found = given
        return self._capped(np.where(np.isnan(numbers), self.missing, found))

    def _capped(self, times: npt.NDArray[np.float64]) -> Counts:
        units: Counts = np.rint(np.minimum(times, self.cap) * UNIT).astype(np.int64)
        return units

    def _number(self, value: object, where: str) -> float:
        if not isinstance(value, int | float) or (self.function != "steps" and value < 0):
            what = f"found {value!r:.40} in the column {self.column}, allowed: a number"
            raise DataError(where, what + ("" if self.function == "steps" else " ≥ 0"), "choose another column")
        return float(value)

    def _other(self, value: object, where: str) -> float:
        if value is not None:
            what = f"found {value!r:.40} in the column {self.column}, allowed: a label"
            raise DataError(where, what, "use the function `value`, `log2` or `steps` for numbers")
        return self.missing


def copies(units: Counts, before: int) -> Counts:
    """Number of copies of each document; `before`: the sum of the units of all documents before these."""
    sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(units)]) + (before + UNIT // 2)
    return np.diff(sums // UNIT)
