"""Recomputes a result's scores from its items, and refuses the items if the scores differ.

The items are untrusted: they are read in a separate process with little memory and time, and only in the relevant
columns. The content of the items is checked too: the choice with the lowest score was selected, rows and clusters are
those of the task, and, if the task data is available, an item is marked right only if the answer is right.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
import resource
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.board.conform import raise_problems, shorten
from dclm.board.continuous import continuous_problems, core_bpb_problems, malformed
from dclm.board.entry import Rescored
from dclm.board.known.answers import wrong_marks
from dclm.board.known.layout import layouts
from dclm.board.result import ITEMS_FILE, Result, TaskScore, parse_result
from dclm.core.arrow import one_list_array, to_list
from dclm.core.errors import DataError, DclmError, Problem
from dclm.core.storage import sha256_file
from dclm.eval.kinds.registry import kind_of
from dclm.eval.report import read_items
from dclm.eval.statistics.continuous import COLUMNS, read_continuous
from dclm.eval.statistics.stats import TaskItems, accuracy, mean_error
from dclm.eval.suite import load_suite
from dclm.eval.task import Task

MAX_ITEMS_BYTES = 64 << 20
"""Maximum size of items.parquet; those of EXTENDED are well below half of it."""
_COLUMNS = ("task", "row", "category", "cluster", "correct", "selected", "scores", "output", "trimmed")
_MAX_ROWS = 1_000_000
_MAX_DECODED = 512 << 20  # bytes of one column according to the file's footer
_MEMORY = 4 << 30  # address space of the process that reads; a real suite takes about 1 GB of it
_SECONDS = 120
_SCORE_TOLERANCE = 1e-9
_ERROR_TOLERANCE = 1e-6


def items_hash(result: Result) -> str | None:
    """The sha256 of the items in the result's chain; None if the chain does not name them."""
    return next((link.content.get(ITEMS_FILE) for link in result.chain if link.kind == "scores"), None)


def rescore(result: Result, items: Path) -> Rescored:
    """Recompute the scores of `result` from `items` in a separate process.

    Raises: DataError with every number that differs, or if the items are not those of the chain or cannot be read.
    """
    if items.stat().st_size > MAX_ITEMS_BYTES:
        raise DataError("items", f"more than {MAX_ITEMS_BYTES} bytes, more than any real items need")
    command = [sys.executable, "-c", "from dclm.board.serving.rescore import main; main()", str(items)]
    package = Path(__file__).resolve().parents[3]
    paths = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": paths, "DCLM_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    try:
        done = subprocess.run(
            command,
            input=json.dumps(result.to_json()).encode(),
            capture_output=True,
            timeout=2 * _SECONDS,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise DataError("items", f"not read within {2 * _SECONDS} s") from None
    if done.returncode != 0:
        raise DataError("items", "not readable within the memory and time that real items need")
    answer: dict[str, Any] = json.loads(done.stdout)
    if "problems" in answer:
        raise_problems([Problem(*problem) for problem in answer["problems"]])
    return Rescored(**answer)


def main() -> None:
    """Main function of the process: the result on standard input, the path of the items as argument, JSON on standard
    output."""
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY, _MEMORY))
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    try:
        result = parse_result(sys.stdin.buffer.read(), "result")
        answer: object = dataclasses.asdict(rescore_here(result, Path(sys.argv[1])))
    except DclmError as error:
        answer = {"problems": [list(problem) for problem in error.problems[:100]]}
    except (pa.ArrowException, MemoryError, OSError, ValueError) as error:
        answer = {"problems": [["items", f"not readable: {shorten(str(error))}", None]]}
    sys.stdout.write(json.dumps(answer))


def rescore_here(result: Result, items: Path) -> Rescored:
    """Same as `rescore`, but in this process, for items that are trusted to be harmless. Raises: DataError."""
    expected, found = items_hash(result), sha256_file(items)
    if expected is None:
        hint = "results of `dclm run` name them; older ones do not"
        raise DataError("items", "the result's chain does not name its items", hint)
    if found != expected:
        raise DataError("items", f"sha256 {found[:16]}…, but the chain names {expected[:16]}…")
    table = _read(items)
    tasks = {task.task: task for task in load_suite("extended").tasks}
    groups = {name: table.filter(pc.equal(table["task"], pa.scalar(name))) for name in result.scores if name in tasks}
    by_task = {label: read_items(group) for label, group in groups.items() if len(group)}
    problems = [problem for label, group in groups.items() for problem in malformed(tasks[label], group)]
    raise_problems(problems)
    continuous = {label: read_continuous(groups[label]) for label in by_task}
    checked = 0
    for label, score in result.scores.items():
        where = f"scores.{shorten(label)}"
        if label not in by_task:
            problems.append(Problem(where, "no items"))
            continue
        problems += _score_problems(score, by_task[label], where)
        problems += continuous_problems(score, continuous[label], where)
        problems += _item_problems(tasks[label], groups[label], result.limited is None, where)
        wrong = wrong_marks(tasks[label], groups[label])
        checked += wrong is not None
        if wrong:
            problems.append(Problem(where, f"{wrong} items are marked differently from the task data"))
    others = sorted(set(to_list(pc.unique(table["task"]))) - set(result.scores))
    if others:
        problems.append(Problem("items", f"items of tasks without a score: {', '.join(map(shorten, others[:5]))}"))
    problems += _mean_problems(result, by_task)
    problems += core_bpb_problems(result, continuous)
    raise_problems(problems)
    return Rescored(items=len(table), tasks=len(by_task), answers_checked=checked, sha256=found)


def _read(path: Path) -> pa.Table:
    """The relevant columns, after checking in the footer that they fit."""
    file = pq.ParquetFile(path)
    metadata = file.metadata
    lacking = [name for name in _COLUMNS if name not in file.schema_arrow.names]
    if lacking:
        raise DataError("items", f"no column {', '.join(lacking)}")
    if metadata.num_rows > _MAX_ROWS:
        raise DataError("items", f"{metadata.num_rows} rows, allowed: {_MAX_ROWS}")
    size = sum(
        metadata.row_group(group).column(column).total_uncompressed_size
        for group in range(metadata.num_row_groups)
        for column in range(metadata.num_columns)
    )
    if size > _MAX_DECODED:
        raise DataError("items", f"{size} bytes when unpacked, allowed: {_MAX_DECODED}")
    known = [*_COLUMNS, *(name for name in COLUMNS if name in file.schema_arrow.names)]
    return file.read(columns=known, use_threads=False)


def _score_problems(score: TaskScore, items: TaskItems, where: str) -> Iterator[Problem]:
    estimate = accuracy(items)
    if estimate.n != score.n:
        yield Problem(where, f"n is {score.n}, but there are {estimate.n} items")
    if abs(estimate.value - score.score) > _SCORE_TOLERANCE:
        yield Problem(where, f"found {score.score:.6f}, but the items give {estimate.value:.6f}")
    elif not _agree(score.stderr, estimate.standard_error):
        yield Problem(where, f"standard error {score.stderr}, but the items give {estimate.standard_error}")


def _mean_problems(result: Result, by_task: Mapping[str, TaskItems]) -> Iterator[Problem]:
    for field, name in (("core_v2_stderr", "core"), ("extended_v2_stderr", "extended")):
        suite = load_suite(name)
        found = getattr(result, field)
        if found is None or any(label not in by_task for label in suite.labels):
            continue
        expected = mean_error(by_task, suite.tasks, "v2")
        if not _agree(found, expected):
            yield Problem(field, f"found {found}, but the items give {expected}")


def _agree(found: float | None, expected: float | None) -> bool:
    if found is None or expected is None:
        return not found  # unknown or not estimable: then no error may be claimed; older results state 0
    return math.isclose(found, expected, rel_tol=_ERROR_TOLERANCE, abs_tol=_ERROR_TOLERANCE)


def _item_problems(task: Task, table: pa.Table, whole: bool, where: str) -> Iterator[Problem]:
    """Rows, clusters and selections that are impossible for a run of the task."""
    rows = table["row"].to_numpy()
    if len(np.unique(rows)) != len(rows) or rows.min() < 0 or rows.max() >= task.metadata.data.rows:
        yield Problem(where, f"the items are not different rows of the {task.metadata.data.rows} of the task")
    layout = layouts().get(task.task)
    if whole and layout is not None:
        sizes = np.unique(table["cluster"].to_numpy(), return_counts=True)[1]
        if (len(sizes), sizes.max()) != (layout.clusters, layout.largest):
            yield Problem(
                where, f"{len(sizes)} clusters of up to {sizes.max()} items, which differ from those of the task"
            )
    if kind_of(task).choices is not None:
        wrong = _not_lowest(table)
        if wrong:
            yield Problem(where, f"in {wrong} items the selected choice is not the one with the lowest score")


def _not_lowest(table: pa.Table) -> int:
    """Number of items in which `selected` is not the choice with the lowest score."""
    scores = one_list_array(table["scores"])
    selected = table["selected"]
    sizes = pc.list_value_length(scores).to_numpy(zero_copy_only=False)
    if scores.null_count or selected.null_count or len(sizes) == 0 or (sizes == 0).any():
        return len(table)
    values = scores.flatten().to_numpy(zero_copy_only=False)
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]]).astype(np.int64)
    chosen = selected.to_numpy().astype(np.int64)
    fits = (chosen >= 0) & (chosen < sizes)
    lowest = np.minimum.reduceat(values, starts)
    found = values[np.minimum(starts + np.where(fits, chosen, 0), len(values) - 1)]
    return int((~fits | (found != lowest)).sum())
