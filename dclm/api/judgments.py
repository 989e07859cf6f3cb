"""Which of two models or corpora is better, and how certain that is."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from dclm.api.artifacts import RunDirectory, Scores
from dclm.api.html import render_table
from dclm.api.table import Table

if TYPE_CHECKING:
    from dclm.eval.statistics.compare import Comparison
    from dclm.science.predict.forecast import Forecast

Scored = Scores | RunDirectory | str | Path


class Compared:
    """How much better B is than A, item by item."""

    def __init__(self, found: Comparison) -> None:
        self.found = found

    @property
    def table(self) -> Table:
        """One row per mean, task, text and continuous score: B minus A, its 95 % interval, and P(B is above A)."""
        bits = {} if self.found.core_bpb is None else {"CORE, bits per byte": self.found.core_bpb}
        named = {
            **self.found.means,
            **bits,
            **{label: task.difference for label, task in self.found.tasks.items()},
            **{f"bits per byte, {label}": text for label, text in self.found.texts.items()},
        }
        columns = ("value", "standard_error", "low", "high", "probability", "detectable")
        for label, measures in self.found.continuous.items():
            named |= {f"{label}, {metric}": each for metric, each in measures.items()}
        rows = [{"what": name, **{c: getattr(d, c) for c in columns}} for name, d in named.items()]
        return Table("B minus A", pa.Table.from_pylist(rows))

    def __repr__(self) -> str:
        head = next(iter(self.table.head(1)), None)
        return "Compared: nothing in common" if head is None else f"Compared: {head['what']} {head['value']:+.4f}"

    def _repr_html_(self) -> str:
        table = self.table.to_arrow()
        runs = " and ".join(map(str, self.found.num_runs))
        rows = (list(row.values()) for row in table.to_pylist())
        return render_table(f"B minus A ({runs} runs)", table.column_names, rows)


class Predicted:
    """Which corpus is better at a large scale, predicted from a small one."""

    def __init__(self, found: Forecast) -> None:
        self.found = found

    @property
    def order(self) -> Table:
        """One row per corpus, best first: predicted CORE with its 95 % interval, and P(it is the best)."""
        return Table("order", pa.Table.from_pylist([dataclasses.asdict(s) for s in self.found.order]))

    @property
    def pairs(self) -> Table:
        """One row per pair: which is better, how certain that is, and the verdict."""
        return Table("pairs", pa.Table.from_pylist([dataclasses.asdict(p) for p in self.found.pairs]))

    @property
    def next_runs(self) -> Table:
        """The most informative runs per FLOP, best first."""
        return Table("next runs", pa.Table.from_pylist([dataclasses.asdict(r) for r in self.found.next_runs]))

    def __repr__(self) -> str:
        return f"Predicted at {self.found.large}: {' > '.join(s.corpus for s in self.found.order)}"

    def _repr_html_(self) -> str:
        table = self.order.to_arrow()
        title = f"CORE at {self.found.large}, predicted from {self.found.small}"
        return render_table(title, table.column_names, (list(row.values()) for row in table.to_pylist()))


def compare(a: Scored | Sequence[Scored], b: Scored | Sequence[Scored]) -> Compared:
    """How much better the scores of `b` are than those of `a`, with confidence intervals, paired item by item.

    a, b: scores or run directories; several of each are seeds of two recipes, and the intervals are then valid for the
    recipes. Raises: DataError if they have nothing in common.
    """
    from dclm.eval.statistics.compare import compare as run_comparison

    return Compared(run_comparison(_paths(a), _paths(b)))


def predict(
    results: Sequence[str | Path] = (),
    *,
    small: str,
    large: str,
    corpora: Sequence[str] = (),
    records: Sequence[str | Path] = (),
) -> Predicted:
    """Predict which corpus is better at the scale `large`, from runs at the scale `small` (docs/predict.md).

    results: result.json files of your runs at the small scale. corpora: names of corpora in the records; without
    either, all that were run only at the small scale. records: tables of published runs; by default those found through
    DCLM_SHARED. Raises: ConfigError if the records are not enough.
    """
    from dclm.science.predict.forecast import forecast as run_forecast
    from dclm.science.predict.records import at_scale, distinct, find_published, read_result, read_table

    runs = distinct(run for path in records or (find_published(),) for run in read_table(Path(path)))
    own = [read_result(Path(path)) for path in results]
    done = {run.corpus for run in at_scale(runs, large)}
    names = [*(run.corpus for run in own), *corpora] or [
        run.corpus for run in at_scale(runs, small) if run.corpus not in done
    ]
    return Predicted(run_forecast([*runs, *own], small, large, names))


def _paths(given: Scored | Sequence[Scored]) -> list[Path]:
    several = [given] if isinstance(given, Scores | RunDirectory | str | Path) else list(given)
    return [Path(s.path) if isinstance(s, Scores | RunDirectory) else Path(s) for s in several]
