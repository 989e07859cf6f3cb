"""Runs steps over reference inputs: documents dropped by each, and the remaining texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence

import pyarrow as pa
import pytest

from dclm.curate.batches import Flow, Opened
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.step import Context, Filter, Map, Step

BATCH_ROWS = 1024


@dataclasses.dataclass
class Outcome:
    """The fate of documents: `dropped[row]` is the index of the step that dropped it, `kept[row]` all columns."""

    dropped: dict[int, int]
    kept: dict[int, dict[str, object]]


Run = Callable[[Sequence[Step], Sequence[str | None], Sequence[str]], Outcome]


def run_steps(steps: Sequence[Step], urls: Sequence[str | None], texts: Sequence[str]) -> Outcome:
    """Apply local steps in order, as a worker does."""
    local = [step for step in steps if isinstance(step, Map | Filter)]
    assert len(local) == len(steps)
    files = bind(Pipeline(name="test", steps=tuple(steps))).files
    opened = Opened.all(local, 0, Context(files=files))
    rows = range(len(texts))
    whole = pa.RecordBatch.from_pydict(
        {
            "id": [str(row) for row in rows],
            "url": pa.array(urls, pa.string()),
            "source": [f"test#{row}" for row in rows],
            "text": list(texts),
            "_row": list(rows),
        }
    )
    outcome = Outcome({}, {})
    for start in range(0, len(texts), BATCH_ROWS):
        batch, flow = whole.slice(start, BATCH_ROWS), Flow(opened, seed=0)
        for step in opened:
            before = batch.column("_row").to_pylist()
            batch = flow.step(batch, step, flow.count(step.step.name, step.index))
            gone = set(before) - set(batch.column("_row").to_pylist())
            outcome.dropped.update(dict.fromkeys(gone, step.index))
        outcome.kept.update((row["_row"], row) for row in batch.to_pylist())
    return outcome


@pytest.fixture(scope="session")
def run() -> Run:
    return run_steps
