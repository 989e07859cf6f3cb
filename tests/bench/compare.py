"""What changed between two runs of the benchmarks beyond noise: `python -m tests.bench.compare A.json B.json`.

`make bench` writes these files. A row that was measured together with another implementation is compared by its ratios,
which other work on the machine hardly affects; any other row is compared by its own values. Repetitions show how noisy
a row is: a change counts if Welch's test on the logarithms is significant at `SIGNIFICANCE` and the change is at least
`LEAST`. A row with fewer than `REPETITIONS` values in either file is listed as undecided, with its change.
"""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from scipy import stats

from tests.bench.rows import Row, from_json, number

SIGNIFICANCE = 0.01
LEAST = 0.02
REPETITIONS = 3
Verdict = Literal["better", "worse", "within noise", "undecided", "only in A", "only in B"]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Change:
    """One row in both files."""

    name: str
    verdict: Verdict
    factor: float | None
    """How many times as good B is; None if a file lacks the row."""
    basis: str
    """What was compared."""


def load(path: Path) -> dict[str, Row]:
    """Benchmark and work → row."""
    found = json.loads(path.read_text(encoding="utf-8"))
    return {f"{row.pop('bench')}: {row['work']}": from_json(row) for row in found["rows"]}


def values(row: Row, paired: bool) -> list[float]:
    """What is compared, higher is better."""
    if paired:
        return row.ratios
    return [1 / value if row.is_cost else value for value in row.ours]


def judge(name: str, a: Row, b: Row) -> Change:
    """Whether B's values are better or worse than A's."""
    paired = bool(a.theirs and b.theirs and a.beside == b.beside)
    first, second = (np.log(values(row, paired)) for row in (a, b))
    change = float(np.median(second) - np.median(first))
    basis = f"ratio to {a.beside}" if paired else a.unit
    verdict: Verdict = "undecided"
    if min(len(first), len(second)) >= REPETITIONS:
        verdict = "within noise"
        if abs(change) >= math.log1p(LEAST) and _differ(first, second):
            verdict = "better" if change > 0 else "worse"
    return Change(name=name, verdict=verdict, factor=math.exp(change), basis=basis)


def _differ(first: np.ndarray, second: np.ndarray) -> bool:
    """Welch's test; values without any noise, such as counts of instructions, differ if they are not equal."""
    apart = float(second.mean() - first.mean())
    parts = [float(np.var(values, ddof=1)) / len(values) for values in (first, second)]
    variance = sum(parts)
    if variance == 0:
        return apart != 0
    freedom = variance**2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (first, second), strict=True)
    )
    return bool(2 * stats.t.sf(abs(apart) / math.sqrt(variance), freedom) < SIGNIFICANCE)


def compare(a: dict[str, Row], b: dict[str, Row]) -> list[Change]:
    """All rows of both files, in A's order."""
    found = [judge(name, row, b[name]) for name, row in a.items() if name in b]
    found += [Change(name=name, verdict="only in A", factor=None, basis="") for name in a if name not in b]
    return found + [Change(name=name, verdict="only in B", factor=None, basis="") for name in b if name not in a]


def table(changes: Iterable[Change]) -> str:
    """The changes as a Markdown table."""
    lines = ["| work | B ÷ A | compared by | verdict |", "|---|---|---|---|"]
    for change in changes:
        factor = "" if change.factor is None else f"{number(change.factor)}×"
        lines.append(f"| {change.name} | {factor} | {change.basis} | {change.verdict} |")
    return "\n".join(lines)


def main(arguments: Sequence[str]) -> int:
    """Print the table; exit code 1 if anything got worse."""
    if len(arguments) != 2:
        print("usage: python -m tests.bench.compare A.json B.json", file=sys.stderr)
        return 2
    changes = compare(*(load(Path(path)) for path in arguments))
    print(table(changes))
    return int(any(change.verdict == "worse" for change in changes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
