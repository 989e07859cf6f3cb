"""What filters measure: the value of each document next to its cut, counted in bins that are the same for all runs.

The edges of the bins are the decimal numbers of two significant digits (0.65, 1.2, 50, 1300), so that counts add up
over batches, shards and workers, and "how many documents would a cut at 0.7 drop" has an exact answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import schema_of

Bools = npt.NDArray[np.bool_]
Values = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Side = Literal["min", "above", "max"]
"""Which values pass: at least the cut, above the cut, at most the cut."""

_POSITIVE = [float(f"{digits}e{power}") for power in range(-5, 9) for digits in range(10, 100)]
EDGES: Values = np.array([*(-edge for edge in reversed(_POSITIVE)), 0.0, *_POSITIVE])
"""Sorted. Bin b has the values from edge b - 1 up to edge b: without the latter for `min`, without the former for the
other sides."""
NO_VALUE = len(EDGES) + 1
"""The bin of documents that have no value."""
QUANTITIES = schema_of(
    pa.field("step_index", pa.int32()),
    pa.field("step", pa.string()),
    pa.field("number", pa.int32()),
    pa.field("rule", pa.string()),
    pa.field("side", pa.string()),
    pa.field("cut", pa.float64()),
    pa.field("bin", pa.int32()),
    pa.field("passes", pa.bool_()),
    pa.field("documents", pa.int64()),
    pa.field("alone", pa.int64()),
)
"""number: of the rule within the step. cut: null if it differs between documents. passes: whether these documents pass
this rule. alone: those of them that pass all other rules of the step, so that this one decides."""
_KEYS = QUANTITIES.names[:8]
_SIZE = 2 * (NO_VALUE + 1)


class Rule(NamedTuple):
    """One rule of a filter on a batch."""

    name: str
    passes: Bools
    values: Values | Counts | None = None
    """What is compared with the cut; NaN if a document has no value. None: nothing that could be shown."""
    cut: float | None = None
    side: Side = "min"


class Cut(NamedTuple):
    """The cut of a Map that also drops: what it adds as `_measured` is compared with it."""

    rule: str
    value: float
    side: Side


def at_least(name: str, values: Values | Counts, cut: float | Values) -> Rule:
    """Passes values from `cut` on; an array has the cut of each document."""
    return Rule(name, np.asarray(values >= cut, np.bool_), values, _same(cut), "min")


def at_most(name: str, values: Values | Counts, cut: float | Values) -> Rule:
    """Passes values up to `cut`; an array has the cut of each document."""
    return Rule(name, np.asarray(values <= cut, np.bool_), values, _same(cut), "max")


def judged(answers: Iterable[tuple[str, Bools] | Rule], num_rows: int) -> tuple[pa.BooleanArray, list[Rule]]:
    """Which documents pass all rules, and the rules."""
    rules = [Rule(*answer) for answer in answers]
    kept = np.ones(num_rows, np.bool_)
    for rule in rules:
        kept &= rule.passes
    return pa.array(kept), rules


def where(has_value: Bools, rule: Rule) -> Rule:
    """The rule with documents that have no value: they do not pass."""
    assert rule.values is not None
    return rule._replace(passes=has_value & rule.passes, values=np.where(has_value, rule.values, np.nan))


def unless(exempt: Bools, rule: Rule) -> Rule:
    """The rule without documents that it does not concern: they have no value and pass."""
    assert rule.values is not None
    return rule._replace(passes=exempt | rule.passes, values=np.where(exempt, np.nan, rule.values))


def _same(cut: float | Values) -> float | None:
    return None if isinstance(cut, np.ndarray) else float(cut)


def bins_of(values: Values | Counts, side: Side) -> npt.NDArray[np.intp]:
    """The bin of each value."""
    bins = np.searchsorted(EDGES, values, side="right" if side == "min" else "left")
    if values.dtype.kind == "f":
        bins[np.isnan(values)] = NO_VALUE
    return bins


def dropped_at(bins: Counts, documents: Counts, edge: int, side: Side) -> int:
    """How many documents with these bins a cut at `EDGES[edge]` would drop; those without a value are not counted."""
    out = bins > edge if side == "max" else bins <= edge
    return int(documents[out & (bins != NO_VALUE)].sum())


class Quantities:
    """Counts of one shard: for each rule that measures something, documents per bin."""

    def __init__(self) -> None:
        self._found: dict[tuple[int, int], tuple[str, Rule, Counts]] = {}

    def add(self, step: str, index: int, rules: Sequence[Rule]) -> None:
        """Count a batch, on which all rules of a step were asked."""
        if all(rule.values is None for rule in rules):
            return
        failures = np.zeros(len(rules[0].passes), np.int32)
        for rule in rules:
            failures += ~rule.passes
        for number, rule in enumerate(rules):
            if rule.values is None:
                continue
            _, _, counts = self._found.setdefault(
                (index, number), (step, rule._replace(values=None), np.zeros((2, _SIZE), np.int64))
            )
            places = 2 * bins_of(rule.values, rule.side) + rule.passes
            counts[0] += np.bincount(places, minlength=_SIZE)
            decides = failures == ~rule.passes
            counts[1] += np.bincount(places[decides], minlength=_SIZE)

    def table(self) -> pa.Table:
        """The counts, in the order of steps, rules and bins."""
        parts = [QUANTITIES.empty_table()]
        for (index, number), (step, rule, counts) in sorted(self._found.items(), key=lambda item: item[0]):
            places = np.flatnonzero(counts[0])
            shared = (index, step, number, rule.name, rule.side, rule.cut)
            columns = [pa.repeat(pa.scalar(v, f.type), len(places)) for v, f in zip(shared, QUANTITIES, strict=False)]
            columns += [pa.array(places // 2, pa.int32()), pa.array(places % 2 == 1)]
            columns += [pa.array(counts[0][places]), pa.array(counts[1][places])]
            parts.append(pa.Table.from_arrays(columns, schema=QUANTITIES))
        return pa.concat_tables(parts)


def sum_quantities(tables: Sequence[pa.Table]) -> pa.Table:
    """Tables of several shards as one, in the order of steps, rules and bins."""
    whole = pa.concat_tables([QUANTITIES.empty_table(), *tables]).combine_chunks()
    summed = whole.group_by(_KEYS, use_threads=False).aggregate([("documents", "sum"), ("alone", "sum")])
    summed = summed.rename_columns([*_KEYS, "documents", "alone"]).select(QUANTITIES.names).cast(QUANTITIES)
    return summed.sort_by([(key, "ascending") for key in ("step_index", "number", "rule", "bin", "passes")])
