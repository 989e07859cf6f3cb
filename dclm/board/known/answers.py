"""Checks whether items are marked right and wrong as in the task data. Only possible if the data is available."""

from __future__ import annotations

import pyarrow as pa

from dclm.core.errors import AssetError
from dclm.eval.data.load import load_parts
from dclm.eval.kinds.registry import kind_of
from dclm.eval.task import Task


def wrong_marks(task: Task, table: pa.Table) -> int | None:
    """Number of items whose mark differs from what their choice or output deserves.

    None if this cannot be determined: the data is not available, or an item does not record the model's answer.
    """
    try:
        parts = load_parts(task)
    except AssetError:  # the data of a task may be missing; a board works without any
        return None
    kind = kind_of(task)
    rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
    wrong = 0
    for item in table.select(["row", "correct", "selected", "output"]).to_pylist():
        row = rows.get(item["row"])
        right = None if row is None else kind.right(task, row, item["selected"], item["output"])
        if row is not None and right is None:
            return None
        wrong += right != item["correct"]
    return wrong
