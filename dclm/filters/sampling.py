"""Keeps a random fraction of the pages."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import pyarrow as pa

from dclm.core.arrow import to_list
from dclm.core.config import Fraction
from dclm.core.draw import random_fraction
from dclm.curate.step import Context, Filter, FilterFunction


@dataclasses.dataclass(frozen=True, kw_only=True)
class RandomSampling(Filter):
    """Keeps each page with probability `keep_fraction`, by hash(seed, step, document id): always the same pages.

    Source: DCLM's `random_sampling_filter`, which uses an unseeded generator.
    """

    name: ClassVar[str] = "random_sampling"

    keep_fraction: Fraction
    """Fraction of pages to keep, in [0, 1]."""
    salt: str = ""
    """Two samplings with the same salt keep nested sets of pages; use different salts to sample independently."""

    def open(self, context: Context) -> FilterFunction:
        step = f"{self.name}:{self.salt}"

        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            ids = to_list(batch["id"])
            return pa.array([random_fraction(context.seed, step, i) < self.keep_fraction for i in ids], pa.bool_())

        return keep
