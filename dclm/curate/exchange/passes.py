"""The unit of an iterative reduction (see `dclm.curate.global_step.IterativeReduce`)."""

from __future__ import annotations

from typing import NamedTuple

import pyarrow as pa


class Pass(NamedTuple):
    """The output of one step of an iterative reduction for some rows."""

    rows: pa.Table
    """Rows for the next round, in any order: column `key` (uint64) and others, the same in every round."""
    num_changed: int
    """Number of changed rows; 0 everywhere means that this step has converged."""
