"""How benchmarks report their results: a line of text per row, and a JSON object for the summary and for comparisons.

Every row of every benchmark goes through `report`. `python -m tests.bench` sets `DCLM_BENCH_ROWS`, collects the rows of
all benchmarks, and prints them as one table.
"""

from __future__ import annotations

import dataclasses
import json
import os
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

VARIABLE = "DCLM_BENCH_ROWS"
LOWER_IS_BETTER = ("s", "CPU s", "ms", "µs", "MiB", "GiB", "tokens")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Row:
    """One kind of work, measured one or more times: ours, and possibly another implementation of it.

    If both were measured equally often, the i-th values are pairs: measured one after the other in one run.
    """

    work: str
    unit: str
    """`LOWER_IS_BETTER` lists the units of costs; all others are rates."""
    ours: tuple[float, ...]
    beside: str | None = None
    """What ours is compared with."""
    theirs: tuple[float, ...] = ()
    limit: float | None = None
    """The best possible value, in the same unit."""
    limit_name: str | None = None

    @property
    def ratio(self) -> float | None:
        """How many times as good as `beside`: above 1, ours is better."""
        ratios = self.ratios
        return statistics.median(ratios) if ratios else None

    @property
    def ratios(self) -> list[float]:
        """One per pair; of the medians if there are no pairs."""
        if not self.theirs:
            return []
        paired = len(self.ours) == len(self.theirs)
        ours = self.ours if paired else (statistics.median(self.ours),)
        theirs = self.theirs if paired else (statistics.median(self.theirs),)
        return [self._better(a, b) for a, b in zip(ours, theirs, strict=True)]

    @property
    def share(self) -> float | None:
        """Share of the limit that ours reaches."""
        return None if self.limit is None else self._better(statistics.median(self.ours), self.limit)

    @property
    def is_cost(self) -> bool:
        """Whether a lower value is better."""
        return self.unit in LOWER_IS_BETTER

    def _better(self, ours: float, other: float) -> float:
        return other / ours if self.is_cost else ours / other


def report(
    work: str,
    unit: str,
    ours: float | Iterable[float],
    *,
    beside: str | None = None,
    theirs: float | Iterable[float] = (),
    limit: float | None = None,
    limit_name: str | None = None,
) -> Row:
    """Print a row, and append it to the file that `DCLM_BENCH_ROWS` names, if it does."""
    row = Row(
        work=work, unit=unit, ours=_values(ours), beside=beside, theirs=_values(theirs), limit=limit,
        limit_name=limit_name,
    )  # fmt: skip
    print(line(row), flush=True)
    if path := os.environ.get(VARIABLE):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(row)) + "\n")
    return row


def _values(given: float | Iterable[float]) -> tuple[float, ...]:
    return (float(given),) if isinstance(given, int | float) else tuple(map(float, given))


def read(path: Path) -> list[Row]:
    """The rows that a benchmark appended to `path`; none if it wrote none."""
    if not path.exists():
        return []
    return [from_json(json.loads(text)) for text in path.read_text(encoding="utf-8").splitlines()]


def from_json(found: dict[str, Any]) -> Row:
    """A row as it was written; other keys are ignored."""
    known = {field.name: found[field.name] for field in dataclasses.fields(Row)}
    return Row(**{**known, "ours": tuple(known["ours"]), "theirs": tuple(known["theirs"])})


def number(value: float) -> str:
    """Three digits that matter, or a whole number."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def line(row: Row) -> str:
    """One row as a sentence."""
    text = f"{row.work}: {number(statistics.median(row.ours))} {row.unit}"
    if row.theirs:
        text += f"; {row.beside}: {number(statistics.median(row.theirs))} ({row.ratio:.2f}×)"
    if row.limit is not None:
        text += f"; limit ({row.limit_name}): {number(row.limit)} ({row.share:.0%} of it)"
    return text


def table(rows: Sequence[tuple[str, Row]]) -> str:
    """Rows, each with the name of its benchmark, as a Markdown table."""
    lines = ["| benchmark | work | ours | beside it | ratio | limit | share of the limit |", "|" + "---|" * 7]
    for bench, row in rows:
        ours = f"{number(statistics.median(row.ours))} {row.unit}"
        beside = f"{row.beside}: {number(statistics.median(row.theirs))}" if row.theirs else ""
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}×"
        limit = "" if row.limit is None else f"{row.limit_name}: {number(row.limit)}"
        share = "" if row.share is None else f"{row.share:.0%}"
        lines.append(f"| `{bench}` | {row.work} | {ours} | {beside} | {ratio} | {limit} | {share} |")
    return "\n".join(lines)
