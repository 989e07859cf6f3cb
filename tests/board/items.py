"""Items that determine a result's scores, for tests."""

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
    Measure,
    Result,
    SuiteIdentity,
    TaskScore,
    TrainingSummary,
    make_result,
)
from dclm.eval.report import read_items
from dclm.eval.statistics.continuous import estimate, mean_bits, read_continuous
from dclm.eval.statistics.stats import accuracy, mean_error
from dclm.eval.suite import load_suite
from dclm.eval.task import Task
from tests.board.conftest import make_records


def item_table(seed: int = 0, share: float = 0.4, limit: int | None = None) -> pa.Table:
    """Every item of CORE, as from a model that is right at random."""
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


def with_continuous(table: pa.Table, seed: int = 1) -> pa.Table:
    """The same items with the columns of continuous scores, as in a run."""
    random = np.random.default_rng(seed)
    rows = table.select(["task", "selected", "correct"]).to_pylist()
    logprobs = -random.gamma(2.0, 4.0, (len(rows), 4))
    sizes = random.integers(1, 30, (len(rows), 4)).astype(np.int32)
    choices = [row["selected"] is not None for row in rows]
    gold = [row["selected"] if row["correct"] else (row["selected"] + 1) % 4 if c else None
            for row, c in zip(rows, choices, strict=True)]  # fmt: skip
    width = [4 if c else 1 for c in choices]
    totals = [each[:n] for each, n in zip(logprobs, width, strict=True)]
    scores = [old if c else total.astype(np.float32)
              for old, total, c in zip(table["scores"].to_pylist(), totals, choices, strict=True)]  # fmt: skip
    table = table.set_column(
        table.schema.get_field_index("scores"), SCHEMA.field("scores"), pa.array(scores, pa.list_(pa.float32()))
    )
    bytes_of = [each[:n] for each, n in zip(sizes, width, strict=True)]
    table = table.append_column("gold", pa.array(gold, pa.int32()))
    table = table.append_column("logprobs", pa.array(totals, pa.list_(pa.float64())))
    return table.append_column("answer_bytes", pa.array(bytes_of, pa.list_(pa.int32())))


def _clusters(rows: np.ndarray, clusters: int, largest: int, limit: int | None) -> np.ndarray:
    """This many clusters, one of them of the largest size."""
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
    """Write the table; returns its sha256."""
    pq.write_table(table, path, compression="zstd")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def result_of(
    table: pa.Table, sha256: str, name: str = "with items", scale: str = "411m_1x", limited: int | None = None
) -> Result:
    """The result with the scores of `table`."""
    suite, known = load_suite("core"), known_scale(scale)
    assert known is not None
    by_task = {t.task: read_items(table.filter(pa.compute.equal(table["task"], t.task))) for t in suite.tasks}
    estimates = {label: accuracy(items) for label, items in by_task.items()}
    groups = {t.task: table.filter(pa.compute.equal(table["task"], t.task)) for t in suite.tasks}
    continuous = {label: read_continuous(group) for label, group in groups.items()}
    bits = mean_bits(continuous, suite.tasks)
    scores: Mapping[str, TaskScore] = {
        label: TaskScore(
            score=e.value,
            n=e.n,
            stderr=e.standard_error,
            continuous={
                metric: Measure(value=estimate(mine, metric).value, stderr=estimate(mine, metric).standard_error)
                for metric, mine in continuous[label].items()
            },
        )
        for label, e in estimates.items()
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
        core_bpb_stderr=None if bits is None else bits.standard_error,
    )
    last = dataclasses.replace(result.chain[-1], content={ITEMS_FILE: sha256})
    return dataclasses.replace(result, chain=(*result.chain[:-1], last))
