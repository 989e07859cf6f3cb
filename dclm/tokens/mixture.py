"""The amount used of each source: exact shares by weight, full and partial copies, drawn by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from dclm.core.errors import ConfigError
from dclm.core.record import fingerprint
from dclm.core.stages.journal import Outcome
from dclm.core.stages.stage import unit_files
from dclm.tokens.runs import GOLDEN, Keys, SortedRun, row_keys, scrambled, write_index


def shares(
    available: Sequence[int],
    names: Sequence[str],
    *,
    limits: Sequence[int],
    weights: Sequence[float] | None = None,
    total: int | None = None,
) -> tuple[int, ...]:
    """Number of rows to take from each source; they sum to `total` exactly (largest remainder, ties to the earlier
    source).

    Without weights, sources are weighted by their size. Without a total: as many rows as the source that is scarcest
    for its weight allows within its limit. Raises: ConfigError for weights that are not positive, or a source that
    would be read more often than its limit allows.
    """
    if weights is None:
        if total is None:
            return tuple(available)
        weights = [float(n) for n in available]
    else:
        check_weights(weights, names)
    if not all(available):
        what = f"found no sequences in {names[list(available).index(0)]}, allowed: at least one in each source"
        raise ConfigError("mixture", what, "remove it")
    exact = [Fraction(w) for w in weights]
    if total is None:
        total = min(math.floor(limit * sum(exact) / w) for limit, w in zip(limits, exact, strict=True))
        while total and any(t > m for t, m in zip(apportion(exact, total), limits, strict=True)):
            total -= 1
    if not total:
        raise ConfigError("mixture", "found shares that leave no sequence", "raise --max-repeats, or add data")
    taken = apportion(exact, total)
    check_limits(names, taken, limits, available)
    return taken


def check_weights(weights: Sequence[float], names: Sequence[str], *, at_least_one: bool = False) -> None:
    """Raises: ConfigError unless there is a finite number for each source: all positive, or at least one of them."""
    least = max(weights, default=0.0) if at_least_one else min(weights, default=0.0)
    if len(weights) == len(names) and least > 0 and min(weights) >= 0 and all(map(math.isfinite, weights)):
        return
    allowed = "numbers ≥ 0, one positive," if at_least_one else "one positive number"
    raise ConfigError("weights", f"found {list(weights)}, allowed: {allowed} for each of {list(names)}")


def check_limits(names: Sequence[str], taken: Sequence[int], limits: Sequence[int], available: Sequence[int]) -> None:
    """Raises: ConfigError if more rows are taken from a source than its limit allows."""
    for name, take, limit, have in zip(names, taken, limits, available, strict=True):
        if take > limit:
            passes = f"{limit / have:.4g} passes" if have else "none"
            what = f"{take:,} sequences are needed from {name}, which has {have:,}; allowed: {passes}"
            raise ConfigError("mixture", what, "raise --max-repeats, lower its weight or --num-tokens, or add data")


def apportion(weights: Sequence[Fraction], total: int) -> tuple[int, ...]:
    """Integers in proportion to `weights` that sum to `total`: largest remainder, ties to the earlier one."""
    scale = sum(weights)
    if not scale:
        return tuple(0 for _ in weights)
    quotas = [w * total / scale for w in weights]
    floors = [math.floor(q) for q in quotas]
    order = sorted(range(len(quotas)), key=lambda i: (floors[i] - quotas[i], i))
    extra = set(order[: total - sum(floors)])
    return tuple(f + (i in extra) for i, f in enumerate(floors))


@dataclass(frozen=True, kw_only=True)
class CopyUnit:
    """How often the rows of a run are read: all of them `times` times, and `extra` of them once more."""

    fingerprint: str
    directory: str
    run: SortedRun
    times: int
    extra: int
    purpose: str
    seed: int


class Copies(NamedTuple):
    """The rows read of a source."""

    whole: tuple[SortedRun, ...]
    """Runs that are read once, unchanged."""
    units: tuple[CopyUnit, ...]
    """Runs that are read in several copies or in part."""
    distinct: int
    """Number of rows that are read at least once."""


def plan_copies(runs: Sequence[SortedRun], take: int, *, source: int, seed: int, work: str, identity: str) -> Copies:
    """Full passes over a source's runs, then a part of each run, so that exactly `take` rows result.

    A run's rows count as often in a pass as its `times` states. work, identity: prefixes of the addresses and
    fingerprints of the units.
    """
    available = sum(run.num_rows * run.times for run in runs)
    passes, rest = divmod(take, available) if available else (0, 0)
    parts = apportion([Fraction(run.num_rows * run.times) for run in runs], rest)
    whole: list[SortedRun] = []
    units: list[CopyUnit] = []
    distinct = 0
    for index, (run, part) in enumerate(zip(runs, parts, strict=True)):
        times, extra = divmod(passes * run.times * run.num_rows + part, run.num_rows)
        distinct += run.num_rows if times else extra
        if (times, extra) == (1, 0):
            whole.append(replace(run, times=1))
        elif times or extra:
            unit = CopyUnit(
                run=run,
                times=times,
                extra=extra,
                purpose=f"copy\0{source}\0{index}\0{times}",
                seed=seed,
                fingerprint=fingerprint([identity, "copy", source, index, times, extra]),
                directory=f"{work}/{index:06d}-{times}-{extra}",
            )
            units.append(unit)
    return Copies(tuple(whole), tuple(units), distinct)


def write_copies(unit: CopyUnit) -> Outcome:
    """Write an index of the run for each copy.

    The copies of a row that is read n times are at least 1/(2n) of the whole order apart, and each copy of the run has
    its own order: on a circle of that length, copy j of a row with key k is at k + (j + r)/n, r random in [0, 1/2).
    """
    places = np.arange(unit.run.num_rows)
    picks = np.argsort(row_keys(unit.seed, f"pick\0{unit.purpose}", 0, len(places)), kind="stable")
    times = np.full(len(places), unit.times, dtype=np.uint64)
    times[picks[: unit.extra]] += np.uint64(1)
    with unit_files(unit.directory) as (folder, outcome):
        if unit.times:
            first = np.asarray(unit.run.keys())
            for copy in range(unit.times + (unit.extra > 0)):
                here = places[times > copy]
                write_index(folder / str(copy), _copy_keys(first[here], times[here], copy), here)
        else:
            write_index(folder / "0", row_keys(unit.seed, unit.purpose, 0, unit.extra), places[times > 0])
    return outcome


def _copy_keys(first: Keys, times: Keys, copy: int) -> Keys:
    if not copy:
        return first
    with np.errstate(over="ignore"):
        step = np.uint64((1 << 64) - 1) // times
        jitter = scrambled(first + np.uint64(copy) * GOLDEN) // (np.uint64(2) * times)
        return first + np.uint64(copy) * step + jitter


def copies_of(unit: CopyUnit) -> list[SortedRun]:
    """The runs that a finished unit describes."""
    sizes = [unit.run.num_rows] * unit.times + [unit.extra] * (unit.extra > 0)
    return [
        SortedRun(path=f"{unit.directory}/{copy}", num_rows=size, of=unit.run.path, of_rows=unit.run.num_rows)
        for copy, size in enumerate(sizes)
    ]
