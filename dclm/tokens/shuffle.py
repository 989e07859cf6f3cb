"""The global order: merges sorted runs by ranges of keys into shard files with a fixed number of rows.

Together with packing, this makes two passes over disk. A unit is a few consecutive shards; it reads one contiguous
piece of every run (of a run's index, where rows are repeated), so memory is bounded by `GROUP_BYTES`, whatever the size
of the corpus. In a mixture, each source has its own order, and the sources take turns: after any number of rows, each
has had its exact share.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from dclm.core.record import fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import unit_files
from dclm.tokens.curriculum import Turns, stretches
from dclm.tokens.runs import Rows, SortedRun, count_bins

GROUP_BYTES = 128 << 20
"""Bytes of rows that one unit of the merge writes. Does not affect the output."""
_WINDOW_BYTES = 8 << 20
"""Bytes of rows that it holds at a time, if it reads few runs: memory that is used again is not cleared again."""
_WINDOW_RUNS = 64
"""The window grows by `_WINDOW_BYTES` per this number of runs, because each window looks at every run."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Consecutive rows of one source's order."""

    source: int
    first_key: int
    last_key: int
    """The rows have keys in this closed range, which may contain other rows too."""
    skip: int
    """Number of rows in the range before these."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Consecutive rows of one phase."""

    rows: tuple[int, ...]
    """Rows of each source in the whole phase."""
    before: tuple[int, ...]
    """Rows of each source before this stretch."""
    pieces: tuple[Piece, ...]


@dataclass(frozen=True, kw_only=True)
class MergeUnit:
    """Rows `first … first + count - 1` of the global order."""

    fingerprint: str
    directory: str
    """Address of the artifact."""
    sources: tuple[tuple[SortedRun, ...], ...]
    stretches: tuple[Stretch, ...]
    first: int
    count: int
    rows_per_shard: int
    row_len: int
    dtype: str


class _Ranges:
    """Finds rows in a source's order by their number."""

    def __init__(self, runs: Sequence[SortedRun]) -> None:
        self._counts = count_bins(runs)
        self._ends = np.cumsum(self._counts)

    def piece(self, source: int, first: int, count: int) -> Piece:
        low = int(np.searchsorted(self._ends, first, side="right"))
        high = int(np.searchsorted(self._ends, first + count - 1, side="right"))
        skip = first - int(self._ends[low] - self._counts[low])
        return Piece(source=source, first_key=low << 48, last_key=((high + 1) << 48) - 1, skip=skip, count=count)


def plan_merge(
    sources: Sequence[Sequence[SortedRun]],
    phases: Sequence[Sequence[int]],
    *,
    rows_per_shard: int,
    row_len: int,
    dtype: str,
    out: str,
    identity: str,
) -> list[MergeUnit]:
    """Units that cover all rows, each a whole number of shard files (the last file may be shorter).

    phases: for each, the number of rows of each source; together they read all rows of all sources.
    """
    total = sum(map(sum, phases))
    shards = max(1, GROUP_BYTES // (rows_per_shard * row_len * np.dtype(dtype).itemsize))
    size = shards * rows_per_shard
    ranges = [_Ranges(runs) for runs in sources]
    given = [0] * len(sources)  # number of rows already placed, per source
    turns = [Turns(phase) for phase in phases]
    units = []
    for number, parts in enumerate(stretches(total, size, phases)):
        found = []
        for phase, _, count in parts:
            before = turns[phase].past
            turns[phase].take(count)
            pieces = []
            for source, had in enumerate(before):
                wanted = turns[phase].past[source] - had
                if wanted:
                    pieces.append(ranges[source].piece(source, given[source], wanted))
                    given[source] += wanted
            found.append(Stretch(rows=tuple(phases[phase]), before=before, pieces=tuple(pieces)))
        first, count = number * size, sum(count for _, _, count in parts)
        units.append(
            MergeUnit(
                sources=tuple(map(tuple, sources)),
                stretches=tuple(found),
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


class _Part(NamedTuple):
    """Consecutive rows of a run."""

    run: SortedRun
    first: int
    places: npt.NDArray[np.int64]
    """Where each of them goes among the unit's rows, increasing."""


def merge(unit: MergeUnit) -> Outcome:
    """Write the shards of one unit; its outcome has the number of rows of each."""
    parts = _parts(unit)
    dtype = np.dtype(unit.dtype).newbyteorder("<")
    window = _WINDOW_BYTES // (unit.row_len * dtype.itemsize) * math.ceil(len(parts) / _WINDOW_RUNS)
    held = np.empty((max(1, min(window, unit.rows_per_shard, unit.count)), unit.row_len), dtype)
    counts: dict[str, int] = {}
    with unit_files(unit.directory) as (folder, outcome):
        (folder / "tokens").mkdir()
        for start in range(0, unit.count, unit.rows_per_shard):
            name = f"tokens/{(unit.first + start) // unit.rows_per_shard:05d}.bin"
            counts[name] = min(unit.rows_per_shard, unit.count - start)
            with open(folder / name, "wb") as handle:
                for first in range(start, start + counts[name], len(held)):
                    rows = held[: start + counts[name] - first]
                    _fill(rows, first, parts)
                    handle.write(rows.data)
        outcome["rows"] = counts
    return outcome


def _fill(out: Rows, first: int, parts: Sequence[_Part]) -> None:
    """Copy the unit's rows from `first` on, as many as `out` holds, in the global order."""
    for part in parts:
        low, high = map(int, np.searchsorted(part.places, (first, first + len(out))))
        if low < high:
            wanted = slice(part.first + low, part.first + high)
            out[part.places[low:high] - first] = part.run.select(wanted, out.shape[1], out.dtype.name)


def _parts(unit: MergeUnit) -> list[_Part]:
    """All rows of the unit, by run."""
    parts: list[_Part] = []
    start = 0
    for stretch in unit.stretches:
        count = sum(piece.count for piece in stretch.pieces)
        turns = Turns(stretch.rows, stretch.before).take(count)
        for piece in stretch.pieces:
            parts += _placed(unit.sources[piece.source], piece, start + np.flatnonzero(turns == piece.source))
        start += count
    return parts


def _placed(runs: Sequence[SortedRun], piece: Piece, places: npt.NDArray[np.int64]) -> Iterator[_Part]:
    """The rows of a piece, which go to these places: by key, and for equal keys by run and position in it."""
    bounds = []
    for run in runs:
        keys = run.keys()
        low = int(np.searchsorted(keys, np.uint64(piece.first_key), side="left"))
        bounds.append((low, int(np.searchsorted(keys, np.uint64(piece.last_key), side="right"))))
    found = [run.keys()[low:high] for run, (low, high) in zip(runs, bounds, strict=True)]
    order = np.argsort(np.concatenate(found), kind="stable")
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order)) - piece.skip
    start = 0
    for run, (low, high) in zip(runs, bounds, strict=True):
        here = rank[start : start + high - low]  # increasing, as the run is sorted
        first, end = map(int, np.searchsorted(here, (0, piece.count)))
        if first < end:
            yield _Part(run, low + first, places[here[first:end]])
        start += high - low
