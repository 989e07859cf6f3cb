"""Items from which a result's scores follow, for tests."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.board.known.checks import known_scale, settings_of
from dclm.board.known.layout import layouts
from dclm.board.result import (
    ITEMS_FILE,
    DataSummary,
    Result,
    SuiteIdentity,
    TaskScore,
    TrainingSummary,
    make_result,
)
from dclm.eval.report import read_items
from dclm.eval.statistics.stats import accuracy, mean_error
from dclm.eval.suite import load_suite
from dclm.eval.task import Task
from tests.board.conftest import make_records


def item_table(seed: int = 0, share: float = 0.4, limit: int | None = None) -> pa.Table:
    """Every item of CORE as a model that is right at random would leave it."""
    random = np.random.default_rng(seed)
    return pa.concat_tables([_task_table(task, random, share, limit) for task in load_suite("core").tasks])


def _task_table(task: Task, random: np.random.Generator, share: float, limit: int | None) -> pa.Table:
    layout = layouts()[task.task]
    sizes = layout.categories or (task.metadata.data.rows,)
    names = [f"c{i:02}" if layout.categories else None for i in range(len(sizes))]
    counts = [size if limit is None else min(size, limit) for size in sizes]
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    rows = np.concatenate([start + np.arange(n) for start, n in zip(starts, counts, strict=True)]).astype(np.int32)
    correct = random.random(len(rows)) < share
    choices = task.metadata.kind in ("multiple_choice", "schema")
    scores = random.random((len(rows), 4)).astype(np.float32)
    return pa.table(
        {
            "task": [task.task] * len(rows),
            "row": rows,
            "category": [name for name, n in zip(names, counts, strict=True) for _ in range(n)],
            "cluster": _clusters(rows, layout.clusters, layout.largest, limit),
            "correct": correct,
            "selected": pa.array(scores.argmin(1).astype(np.int32) if choices else [None] * len(rows), pa.int32()),
            "scores": list(scores) if choices else pa.nulls(len(rows), pa.list_(pa.float32())),
            "output": pa.nulls(len(rows), pa.string()),
            "trimmed": [False] * len(rows),
        },
        schema=SCHEMA,
    )


def _clusters(rows: np.ndarray, clusters: int, largest: int, limit: int | None) -> np.ndarray:
    """So many clusters, one of them of the largest size."""
    if limit is not None or clusters == len(rows):
        return rows
    left, out, place = len(rows) - clusters, rows.copy(), 0
    while left > 0:  # each round joins up to `largest` rows
        size = min(largest, left + 1)
        out[place : place + size] = rows[place]
        left -= size - 1
        place += size
    return out


SCHEMA = pa.schema(
    [
        ("task", pa.string()),
        ("row", pa.int32()),
        ("category", pa.string()),
        ("cluster", pa.int32()),
        ("correct", pa.bool_()),
        ("selected", pa.int32()),
        ("scores", pa.list_(pa.float32())),
        ("output", pa.string()),
        ("trimmed", pa.bool_()),
    ]
)


def write_items(path: Path, table: pa.Table) -> str:
    """Write the table; gives its sha256."""
    pq.write_table(table, path, compression="zstd")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result_of(
    table: pa.Table, sha256: str, name: str = "with items", scale: str = "411m_1x", limited: int | None = None
) -> Result:
    """The result whose scores follow from `table`."""
    suite, known = load_suite("core"), known_scale(scale)
    assert known is not None
    by_task = {t.task: read_items(table.filter(pa.compute.equal(table["task"], t.task))) for t in suite.tasks}
    estimates = {label: accuracy(items) for label, items in by_task.items()}
    scores: Mapping[str, TaskScore] = {
        label: TaskScore(score=e.value, n=e.n, stderr=e.standard_error) for label, e in estimates.items()
    }
    result = make_result(
        name=name,
        scores=scores,
        suite=SuiteIdentity(name="core", version=suite.version, hash=suite.hash),
        training=TrainingSummary(
            scale=scale,
            params=known.model.num_parameters,
            tokens=known.trained_tokens,
            flops=float(known.flops_6nd),
            settings=settings_of(known),
        ),
        data=DataSummary(pools=("sample",), pipeline="dclm_baseline"),
        records=make_records(name),
        track="filtering",
        limited=limited,
        core_v2_stderr=mean_error(by_task, suite.tasks, "v2"),
    )
    last = dataclasses.replace(result.chain[-1], content={ITEMS_FILE: sha256})
    return dataclasses.replace(result, chain=(*result.chain[:-1], last))
