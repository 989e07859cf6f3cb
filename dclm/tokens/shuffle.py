"""The global order: merges sorted runs by ranges of keys into shard files with a fixed number of rows.

Together with packing, this makes two passes over disk. A unit is a few consecutive shards; it reads one contiguous
piece of every run, so memory is bounded by `GROUP_BYTES`, whatever the size of the corpus.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dclm.core.journal import Outcome
from dclm.core.record import fingerprint
from dclm.core.stage import unit_files
from dclm.tokens.runs import Rows, Run, count_bins

GROUP_BYTES = 128 << 20
"""Bytes of rows that one unit of the merge holds at a time. Does not affect the output."""


@dataclass(frozen=True, kw_only=True)
class MergeUnit:
    """Rows `first … first + count - 1` of the global order."""

    fingerprint: str
    directory: str
    """Address of the artifact."""
    runs: tuple[Run, ...]
    first_key: int
    last_key: int
    """The rows have keys in this closed range, which may contain other rows too."""
    skip: int
    """Number of rows in the range before `first`."""
    first: int
    count: int
    rows_per_shard: int
    row_len: int
    dtype: str


def plan_merge(
    runs: list[Run], *, rows_per_shard: int, row_len: int, dtype: str, out: str, identity: str
) -> list[MergeUnit]:
    """Units that cover all rows, each a whole number of shard files (the last file may be shorter)."""
    counts = count_bins(runs)
    ends = np.cumsum(counts)
    total = int(ends[-1])
    shards = max(1, GROUP_BYTES // (rows_per_shard * row_len * np.dtype(dtype).itemsize))
    size = shards * rows_per_shard
    units = []
    for first in range(0, total, size):
        count = min(size, total - first)
        low = int(np.searchsorted(ends, first, side="right"))
        high = int(np.searchsorted(ends, first + count - 1, side="right"))
        units.append(
            MergeUnit(
                runs=tuple(runs),
                first_key=low << 48,
                last_key=((high + 1) << 48) - 1,
                skip=first - int(ends[low] - counts[low]),
                first=first,
                count=count,
                rows_per_shard=rows_per_shard,
                row_len=row_len,
                dtype=dtype,
                fingerprint=fingerprint([identity, "merge", first, count, total]),
                directory=out,
            )
        )
    return units


def merge(unit: MergeUnit) -> Outcome:
    """Write the shards of one unit; its outcome has the number of rows of each."""
    rows = _gather(unit)
    counts: dict[str, int] = {}
    with unit_files(unit.directory) as (folder, outcome):
        (folder / "tokens").mkdir()
        for start in range(0, unit.count, unit.rows_per_shard):
            name = f"tokens/{(unit.first + start) // unit.rows_per_shard:05d}.bin"
            part = rows[start : start + unit.rows_per_shard]
            (folder / name).write_bytes(part.data)
            counts[name] = len(part)
        outcome["rows"] = counts
    return outcome


def _gather(unit: MergeUnit) -> Rows:
    """The unit's rows in the global order: by key, and for equal keys by run and position in it."""
    bounds = []
    for run in unit.runs:
        keys = run.keys()
        low = int(np.searchsorted(keys, np.uint64(unit.first_key), side="left"))
        bounds.append((low, int(np.searchsorted(keys, np.uint64(unit.last_key), side="right"))))
    pieces = [run.keys()[low:high] for run, (low, high) in zip(unit.runs, bounds, strict=True)]
    order = np.argsort(np.concatenate(pieces), kind="stable")
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order)) - unit.skip
    rows = np.empty((unit.count, unit.row_len), dtype=np.dtype(unit.dtype).newbyteorder("<"))
    start = 0
    for run, (low, high) in zip(unit.runs, bounds, strict=True):
        here = place[start : start + high - low]
        inside = (here >= 0) & (here < unit.count)
        if inside.any():
            rows[here[inside]] = run.rows(unit.row_len, unit.dtype)[low:high][inside]
        start += high - low
    return rows
