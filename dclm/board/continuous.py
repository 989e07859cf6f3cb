"""Continuous scores of a result, recomputed from its items, which are untrusted. Items that predate these scores have
none; a result that claims some must include the items for them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.board.result import Result, TaskScore
from dclm.core.arrow import filled, num_true
from dclm.core.errors import Problem
from dclm.eval.kinds.registry import kind_of
from dclm.eval.statistics.continuous import COLUMNS, estimate, mean_bits
from dclm.eval.statistics.stats import TaskItems
from dclm.eval.suite import load_suite
from dclm.eval.task import Task

_TOLERANCE = 1e-6
_LOOSE = 1e-3
"""Tolerance between a sum of single-precision numbers and the total that was stored in double precision."""


def malformed(task: Task, table: pa.Table) -> Iterator[Problem]:
    """Find values in the columns of one task's items that no run produces and that rule out any computation."""
    where = f"scores.{task.task}"
    present = [name for name in COLUMNS if name in table.column_names]
    if not present or len(table) == 0:
        return
    if len(present) < len(COLUMNS):
        yield Problem(where, f"the items have no {', '.join(n for n in COLUMNS if n not in present)}")
        return
    types = [table.schema.field(name).type for name in COLUMNS]
    if not (pa.types.is_integer(types[0]) and all(map(pa.types.is_list, types[1:]))):
        yield Problem(where, f"columns {', '.join(COLUMNS)} of types {', '.join(map(str, types))}")
        return
    chosen = table.filter(pc.is_valid(table["logprobs"]))
    kind = kind_of(task)
    if len(chosen) < len(table) and not kind.generates:
        yield Problem(where, f"{len(table) - len(chosen)} items without logprobs")
        return
    counts = pc.list_value_length(chosen["logprobs"]).to_numpy().astype(np.int64)
    sizes = pc.fill_null(pc.list_value_length(chosen["answer_bytes"]), -1).to_numpy().astype(np.int64)
    gold = filled(chosen["gold"], -1).to_numpy().astype(np.int64)
    of_choices = kind.choices is not None
    wrong = (counts != sizes) | (gold >= counts) | ((gold >= 0) != of_choices) | (counts < 1 + of_choices)
    values = pc.list_flatten(chosen["logprobs"]).to_numpy()
    lengths = pc.list_flatten(chosen["answer_bytes"])
    if wrong.any() or lengths.null_count or (lengths.to_numpy() < 0).any() or not (values <= 0.0).all():
        yield Problem(where, "the items' right choices, log-probabilities and bytes are inconsistent")
        return
    yield from _contradictions(task, chosen, where)


def _contradictions(task: Task, table: pa.Table, where: str) -> Iterator[Problem]:
    """Find marks that differ from the right choice, and totals that differ from their parts."""
    kind = kind_of(task)
    if kind.choices is not None:
        right = pc.equal(filled(table["selected"], -1), table["gold"])
        wrong = len(table) - num_true(pc.equal(right, table["correct"]))
        if wrong:
            yield Problem(where, f"in {wrong} items the mark differs from the right choice")
    elif not kind.generates:
        parts = table["scores"].to_pylist()
        sums = np.array([math.fsum(part or [math.nan]) for part in parts])
        totals = pc.list_flatten(table["logprobs"]).to_numpy()
        wrong = int((~np.isclose(sums, totals, rtol=_LOOSE, atol=_LOOSE)).sum())
        if wrong:
            yield Problem(where, f"in {wrong} items the log-probability is not the sum over its tokens")


def continuous_problems(score: TaskScore, items: Mapping[str, TaskItems], where: str) -> Iterator[Problem]:
    """Find continuous scores that differ from those of the items. Scores that the result does not state are not
    required."""
    for metric, stated in score.continuous.items():
        if metric not in items:
            yield Problem(f"{where}.{metric}", "the items do not provide it")
            continue
        found = estimate(items[metric], metric)
        if not _close(stated.value, found.value):
            yield Problem(f"{where}.{metric}", f"found {stated.value:.6f}, but the items give {found.value:.6f}")
        elif not _same(stated.stderr, found.standard_error):
            what = f"standard error {stated.stderr}, but the items give {found.standard_error}"
            yield Problem(f"{where}.{metric}", what)


def core_bpb_problems(result: Result, continuous: Mapping[str, Mapping[str, TaskItems]]) -> Iterator[Problem]:
    """Find a standard error of core_bpb that differs from that of the items (the mean itself follows from the
    tasks')."""
    if result.core_bpb is None:
        return
    found = mean_bits(continuous, load_suite("core").tasks)
    if found is not None and not _same(result.core_bpb_stderr, found.standard_error):
        yield Problem("core_bpb_stderr", f"found {result.core_bpb_stderr}, but the items give {found.standard_error}")


def _same(stated: float | None, found: float | None) -> bool:
    return stated is found is None or (stated is not None and found is not None and _close(stated, found))


def _close(stated: float, found: float) -> bool:
    return math.isclose(stated, found, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE)
