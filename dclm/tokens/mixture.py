"""How much of each source is used: exact shares by weight, full and partial copies, drawn by seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from dclm.core.errors import ConfigError
from dclm.core.journal import Outcome
from dclm.core.record import fingerprint
from dclm.core.stage import unit_files
from dclm.tokens.runs import Run, row_keys, write_run


def shares(
    available: Sequence[int],
    names: Sequence[str],
    *,
    weights: Sequence[float] | None = None,
    total: int | None = None,
    max_repeats: float = 1.0,
) -> tuple[int, ...]:
    """Number of rows to take from each source; they sum to `total` exactly (largest remainder, ties to the earlier
    source).

    Without weights, sources are weighted by their size. Without a total: as many rows as the source that is scarcest
    for its weight allows with `max_repeats` passes over it. Raises: ConfigError for weights that are not positive, or a
    source that would be repeated too often.
    """
    if weights is None:
        if total is None:
            return tuple(available)
        weights = [float(n) for n in available]
    elif len(weights) != len(available) or min(weights) <= 0 or not all(map(math.isfinite, weights)):
        raise ConfigError("weights", f"found {list(weights)}, allowed: one positive number for each of {list(names)}")
    if not all(available):
        what = f"found no sequences in {names[list(available).index(0)]}, allowed: at least one in each source"
        raise ConfigError("mixture", what, "remove it")
    limits = [math.floor(n * Fraction(max_repeats)) for n in available]
    exact = [Fraction(w) for w in weights]
    if total is None:
        total = min(math.floor(limit * sum(exact) / w) for limit, w in zip(limits, exact, strict=True))
        while total and any(t > m for t, m in zip(apportion(exact, total), limits, strict=True)):
            total -= 1
    if not total:
        raise ConfigError("mixture", "found shares of no sequence at all", "raise --max-repeats, or add data")
    taken = apportion(exact, total)
    for name, take, limit, have in zip(names, taken, limits, available, strict=True):
        if take > limit:
            what = f"{take:,} sequences are needed from {name}, which has {have:,}; allowed: {max_repeats:g} passes"
            raise ConfigError("mixture", what, "raise --max-repeats, lower its weight or --num-tokens, or add data")
    return taken


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
    """One more pass over a run: all of its rows or a random part, with new keys."""

    fingerprint: str
    directory: str
    run: Run
    take: int
    copy: int
    purpose: str
    seed: int
    row_len: int
    dtype: str


class Copies(NamedTuple):
    """The parts of a source that are used unchanged, and the parts that must be written again."""

    whole: tuple[Run, ...]
    units: tuple[CopyUnit, ...]


def plan_copies(
    runs: Sequence[Run], take: int, *, source: int, seed: int, row_len: int, dtype: str, work: str, identity: str
) -> Copies:
    """Full passes over a source's runs, then a part of each run, so that exactly `take` rows result.

    work, identity: prefixes of the addresses and fingerprints of the units.
    """
    available = sum(run.num_rows for run in runs)
    passes, rest = divmod(take, available) if available else (0, 0)
    parts = apportion([Fraction(run.num_rows) for run in runs], rest)
    units = [
        CopyUnit(
            run=run,
            take=wanted,
            copy=copy,
            purpose=f"copy\0{source}\0{index}\0{copy}",
            seed=seed,
            row_len=row_len,
            dtype=dtype,
            fingerprint=fingerprint([identity, "copy", source, index, copy, take]),
            directory=f"{work}/{index:06d}-{copy}-{take}",
        )
        for copy in range(min(passes, 1), passes + 1)
        for index, run in enumerate(runs)
        if (wanted := run.num_rows if copy < passes else parts[index])
    ]
    return Copies(tuple(runs) if passes else (), tuple(units))


def write_copy(unit: CopyUnit) -> Outcome:
    """Write the copy of a run."""
    picks = np.argsort(row_keys(unit.seed, f"pick\0{unit.purpose}", 0, unit.run.num_rows), kind="stable")
    chosen = np.sort(picks[: unit.take])
    keys = row_keys(unit.seed, unit.purpose, 0, unit.take)
    with unit_files(unit.directory) as (folder, outcome):
        write_run(folder / "run", keys, unit.run.rows(unit.row_len, unit.dtype)[chosen], unit.dtype)
    return outcome


def copy_of(unit: CopyUnit) -> Run:
    """The run written by a finished unit."""
    return Run(path=f"{unit.directory}/run", num_rows=unit.take)
