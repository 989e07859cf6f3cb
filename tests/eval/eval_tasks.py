"""Four small tasks, one of each kind, for end-to-end tests, and the functions that their workers run."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import dclm.eval.run.job as job_module
from dclm.core.stages import journal
from dclm.core.stages.engine import SerialEngine
from dclm.eval.data.rows import Row
from dclm.eval.run.stage import evaluate

ROWS: dict[str, list[Row]] = {
    "choose": [
        {"query": f"What is {i}?", "choices": ["a", "bb", "ccc"], "gold": i % 3, "category": f"c{i % 2}"}
        for i in range(9)
    ],
    "complete": [{"context": f"{i} and {i}", "continuation": "more"} for i in range(7)],
    "say": [{"context": f"Say {i}", "answer": str(i), "aliases": ["one", "two"]} for i in range(5)],
    "tell": [{"context_options": ["he did", "she did"], "continuation": "so", "gold": 0} for _ in range(4)],
}
KINDS = {"choose": "multiple_choice", "complete": "language_modeling", "say": "generation", "tell": "schema"}


def write_task(folder: Path, label: str, rows: int, sha256: str) -> None:
    categories = "true" if label == "choose" else "false"
    (folder / f"{label}.yaml").write_text(
        f"task: {label}\ninclude: templates/{KINDS[label]}.yaml\nnum_fewshot: 2\nmetadata:\n  version: 1\n"
        f"  about: A test.\n  kind: {KINDS[label]}\n  group: tests\n  data:\n    file: tests/{label}.jsonl\n"
        f'    rows: {rows}\n    sha256: {sha256}\n  continuation_delimiter: " "\n  categories: {categories}\n'
        "  baseline: {v1: 0.25, v2: 0.25}\n  source: here\n  licence: Apache-2.0\n"
    )


class KilledAfter(SerialEngine):
    """An engine whose process is killed, as by `kill -9`, before a later unit."""

    def __init__(self, units: int) -> None:
        self.units = units

    def map(
        self, function: Callable[[Any], Any], units: Sequence[Any], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, Any]]:
        for index, unit in enumerate(units):
            if index == self.units:
                os.kill(os.getpid(), signal.SIGKILL)
            yield index, function(unit)


def evaluate_and_die(model: str, out: Path, folder: Path, after: int) -> None:
    """Score ROWS in units of three rows, and get killed after some of them."""
    job_module.ROWS = 3
    journal.FLUSH_SECONDS = -1.0  # no finished unit is repeated
    evaluate(model, out, tasks=tuple(ROWS), device="cpu", folder=folder, engine=KilledAfter(after))
