"""What an artifact's filters measured: the distribution next to each cut, and what another cut would drop."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dclm.core.arrow import Chunks
from dclm.curate.quantity import EDGES, NO_VALUE, Counts, Side, Values, bins_of, dropped_at, sum_quantities
from dclm.documents.artifact import Artifact

_SHARES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5)
"""Other cuts are chosen so that they drop about these fractions of the documents on which the rule decides."""
_LOWS, _HIGHS = np.append(EDGES[0] * 10, EDGES), np.append(EDGES, EDGES[-1] * 10)
NOTHING = "No filter compared a number with a cut, or an earlier version, which did not count, made this artifact."
SIGNS = {"min": "≥", "above": ">", "max": "≤"}


class WhatIf(NamedTuple):
    """Another cut of a rule."""

    cut: float
    dropped: int
    """Number of documents that pass all other rules of the step and would be dropped."""
    change: int
    """The same, less the number that was dropped: how many more documents the step would drop."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Measured:
    """One rule of a step: what it measured on the documents that entered the step."""

    index: int
    step: str
    rule: str
    side: Side
    cut: float | None
    """None: it differs between documents, as between languages."""
    bins: Counts
    """Bin of each entry of the arrays below; see `dclm.curate.quantity`."""
    passes: Counts
    """Number of documents that pass the rule."""
    fails: Counts
    alone: Counts
    """Number of documents that pass all other rules of the step, so that this rule decides."""
    dropped: int
    """Number of documents dropped by this rule alone."""
    unmeasured: int
    """Number of documents dropped by this rule alone because they have no value."""

    @property
    def name(self) -> str:
        """Such as `page_length · min`."""
        return f"{self.step} · {self.rule}"

    @property
    def condition(self) -> str:
        """Which values pass, such as `≥ 50`."""
        return f"{SIGNS[self.side]} {'by language' if self.cut is None else f'{self.cut:g}'}"

    @property
    def num_documents(self) -> int:
        """Number of documents that entered the step."""
        return int(self.passes.sum() + self.fails.sum())

    @property
    def no_value(self) -> int:
        """Number of documents without a value, such as the mean word length of a document without words."""
        there = self.bins == NO_VALUE
        return int(self.passes[there].sum() + self.fails[there].sum())

    def what_if(self, edge: int) -> WhatIf:
        """What a cut at `EDGES[edge]` would drop."""
        dropped = dropped_at(self.bins, self.alone, edge, self.side) + self.unmeasured
        return WhatIf(float(EDGES[edge]), dropped, dropped - self.dropped)

    def others(self) -> list[WhatIf]:
        """Some other cuts, in order of their value, from mild ones to one that drops half of the documents."""
        there = self.bins != NO_VALUE
        total = int(self.alone[there].sum())
        if not total:
            return []
        upper, lower = int(self.bins[there].max()), int(self.bins[there].min()) - 1
        if lower + 1 >= int(bins_of(np.zeros(1), self.side)[0]):  # no value is negative
            lower = max(lower, int(np.searchsorted(EDGES, 0.0)))
        edges = np.arange(max(lower, 0), min(upper, len(EDGES) - 1) + 1)
        dropped = np.array([dropped_at(self.bins, self.alone, int(edge), self.side) for edge in edges])
        nearest = {int(dropped[np.argmin(np.abs(dropped / total - share))]) for share in _SHARES}
        chosen = {_roundest(edges[dropped == number]) for number in nearest}
        found = [self.what_if(edge) for edge in sorted(chosen)]
        return [other for other in found if other.cut != self.cut]


def as_json(rule: Measured) -> dict[str, object]:
    """The rule, its other cuts and its distribution as plain values; bins without documents are left out."""
    there = rule.bins != NO_VALUE
    bins = rule.bins[there]
    columns = (_LOWS[bins], _HIGHS[bins], rule.passes[there], rule.fails[there])
    return {
        "index": rule.index,
        "step": rule.step,
        "rule": rule.rule,
        "side": rule.side,
        "cut": rule.cut,
        "documents": rule.num_documents,
        "fails": int(rule.fails.sum()),
        "dropped": rule.dropped,
        "no_value": rule.no_value,
        "others": [other._asdict() for other in rule.others()],
        "distribution": [
            dict(zip(("low", "high", "passes", "fails"), row, strict=True))
            for row in zip(*(column.tolist() for column in columns), strict=True)
        ],
    }


def _roundest(edges: Counts) -> int:
    """Of edges that drop the same documents, one with a single digit if there is any: 2 rather than 1.1."""
    values = np.abs(EDGES[edges])
    leading = values / 10.0 ** np.floor(np.log10(np.maximum(values, 1e-9)))
    return int(edges[np.argmax(np.abs(leading - np.rint(leading)) < 1e-6)])


def measured(artifact: Artifact) -> list[Measured]:
    """Every rule that measured something, in the order of the pipeline; none for artifacts of earlier versions."""
    return list(_rules(sum_quantities([pq.read_table(path) for path in artifact.files("quantities")])))


def _rules(table: pa.Table) -> Iterator[Measured]:
    names = ("step_index", "step", "number", "rule", "side", "cut")
    for key in table.select(names).group_by(list(names), use_threads=False).aggregate([]).to_pylist():
        mine = pc.and_(pc.equal(table["step_index"], key["step_index"]), pc.equal(table["number"], key["number"]))
        yield _rule(key, table.filter(mine))


def _rule(key: dict[str, Any], rows: pa.Table) -> Measured:
    bins, place = np.unique(rows["bin"].to_numpy().astype(np.int64), return_inverse=True)

    def per_bin(values: Chunks, which: Chunks | None) -> Counts:
        weights = pc.if_else(which, values, 0) if which is not None else values
        counts = np.zeros(len(bins), np.int64)
        np.add.at(counts, place, weights.to_numpy().astype(np.int64))
        return counts

    fails = pc.invert(rows["passes"])
    lost = per_bin(rows["alone"], fails)
    return Measured(
        index=key["step_index"],
        step=key["step"],
        rule=key["rule"],
        side=key["side"],
        cut=key["cut"],
        bins=bins,
        passes=per_bin(rows["documents"], rows["passes"]),
        fails=per_bin(rows["documents"], fails),
        alone=per_bin(rows["alone"], None),
        dropped=int(lost.sum()),
        unmeasured=int(lost[bins == NO_VALUE].sum()),
    )


def _ends(bins: Counts) -> tuple[Values, Values]:
    """The ends of bins, for pictures: the bin below and with 0 begins at 0, since few quantities are negative."""
    lows, highs = _LOWS[bins], _HIGHS[bins]
    zero = highs == 0
    return np.where(zero, 0.0, lows), np.where(zero, EDGES[np.searchsorted(EDGES, 0.0, side="right")], highs)


class Spread(NamedTuple):
    """Documents per bar of a picture."""

    low: float
    high: float
    passes: Values
    fails: Values


def spread(rule: Measured, num_bars: int, logarithmic: bool = False) -> Spread | None:
    """The documents of a rule over bars of equal width (of log(1 + x) if `logarithmic`); None: no document has a value.

    A bin that overlaps several bars is divided between them.
    """
    there = rule.bins != NO_VALUE
    if not there.any():
        return None
    bins = rule.bins[there]
    lows, highs = _ends(bins)
    low, high = float(lows.min()), float(highs.max())
    scale = np.log1p if logarithmic else np.asarray
    ends = np.linspace(float(scale(low)), float(scale(high)), num_bars + 1)
    begin, end = scale(lows), scale(highs)
    width = np.maximum(end - begin, 1e-300)
    overlap = np.minimum(end[:, None], ends[1:]) - np.maximum(begin[:, None], ends[:-1])
    share = np.clip(overlap, 0, None) / width[:, None]
    return Spread(low, high, rule.passes[there] @ share, rule.fails[there] @ share)


def is_wide(rule: Measured) -> bool:
    """Whether a logarithmic axis shows the values better: none is negative, and the largest is far from the median."""
    there = rule.bins != NO_VALUE
    if not there.any():
        return False
    bins, documents = rule.bins[there], (rule.passes + rule.fails)[there]
    lows, highs = _ends(bins)
    lowest, highest = float(lows[0]), float(highs[-1])
    median = bins[np.searchsorted(np.cumsum(documents), documents.sum() / 2)]
    return lowest >= 0 and highest >= 10 and highest > 20 * float(_HIGHS[median])
