"""Checks whether items are marked right and wrong as in the task data. Only possible if the data is available."""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from dclm.core.errors import AssetError
from dclm.eval.data.load import load_parts
from dclm.eval.prompts import right_answers
from dclm.eval.run.answers import cut_output, is_right, normalise
from dclm.eval.task import Task


def wrong_marks(task: Task, table: pa.Table) -> int | None:
    """Number of items whose mark differs from what their choice or output deserves.

    None if this cannot be determined: the data is not available, or (`language_modeling`) an item does not record the
    model's answer.
    """
    details = task.metadata
    if details.kind == "language_modeling":
        return None
    try:
        parts = load_parts(task)
    except AssetError:  # the data of a task may be missing; a board works without any
        return None
    rows = {n: row for part in parts for n, row in zip(part.row_numbers, part.originals, strict=True)}
    numbers, marks = table["row"].to_pylist(), table["correct"].to_pylist()
    if details.kind == "generation":
        given = [output or "" for output in table["output"].to_pylist()]
        outputs = [normalise(cut_output(output, details.stop, details.cot_delimiter)) for output in given]
        return _count(
            number not in rows or is_right(output, right_answers(rows[number])) != mark
            for number, output, mark in zip(numbers, outputs, marks, strict=True)
        )
    chosen = table["selected"].to_pylist()
    return _count(
        number not in rows or (rows[number]["gold"] == choice) != mark
        for number, choice, mark in zip(numbers, chosen, marks, strict=True)
    )


def _count(marks: Iterable[bool]) -> int:
    return sum(1 for mark in marks if mark)
