"""Cuts at a quantile of the whole pool, or of each of its sources, languages or domains."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column
from dclm.core.config import Fraction, Range
from dclm.curate.global_step import Decision, Global
from dclm.curate.step import Bools, Context, MapFunction
from dclm.select.groups import DOMAIN, group_keys, group_names
from dclm.select.quality import Values, numeric_column

_SUMMARY = -1  # replaces the shard in a row that describes a group's result


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantile(Global):
    """Keeps the documents with the highest (or lowest) values of a numeric column, such as "the top 10 %" of all.

    The cut is the value of the last of the ⌈keep_top · n⌉ highest among the n documents that have one; equal values are
    also kept, and documents without a value (null, NaN) are dropped. The record states the cut as `cut`; `threshold`
    with that literal as `min` keeps the same documents. With `keep_bottom` it works the same from below, as for
    perplexity.
    `keep_between: [a, b]` keeps what `keep_bottom: b` keeps and `keep_bottom: a` does not, so that [0, 0.3], [0.3, 0.6]
    and [0.6, 1] split the documents into CCNet's head, middle and tail, and steps of 0.2 into fifths; `above` in the
    record is the value that all kept documents exceed (null: no such bound).

    With `per`, each group has its own cut: the artifact's table `cuts` lists them. Documents without a group form a
    separate group.

    The cut is exact for any number of documents: instead of a sketch, the bits of the values are counted in four passes
    of 16 bits over the keys on disk, one partition in memory at a time. So it depends only on the values, not on how
    they were distributed.
    """

    name: ClassVar[str] = "quantile"
    version: ClassVar[int] = 4

    column: str
    """Numeric column."""
    keep_top: Annotated[float, Range(0.0, 1.0)] | None = None
    """Fraction of the documents to keep, those with the highest values; above 0."""
    keep_bottom: Annotated[float, Range(0.0, 1.0)] | None = None
    """Fraction of the documents to keep, those with the lowest values; above 0."""
    keep_between: tuple[Fraction, ...] = ()
    """Two fractions: keep the documents between them in ascending order of value. Set one of the three."""
    per: str | None = None
    """A column of text or integers: the fraction is kept within each of its values. `domain`: the canonical host of the
    URL without "www.", if there is no such column. `source`: the file that a document comes from."""

    def __post_init__(self) -> None:
        given = (self.keep_top is not None, self.keep_bottom is not None, bool(self.keep_between))
        if sum(given) != 1:
            raise ValueError("give `keep_top`, `keep_bottom` or `keep_between`")
        if self.keep_between and (len(self.keep_between) != 2 or self.keep_between[0] >= self.keep_between[1]):
            raise ValueError("`keep_between` takes two fractions, the lower one first")
        if self._fraction <= 0:
            raise ValueError(f"{'keep_bottom' if self.keep_top is None else 'keep_top'} must be above 0")

    @property
    def _fraction(self) -> float:
        if self.keep_between:
            return self.keep_between[1]
        fraction = self.keep_bottom if self.keep_top is None else self.keep_top
        assert fraction is not None
        return fraction

    @property
    def _skipped(self) -> float:
        """The fraction at the kept end that is dropped nevertheless."""
        return self.keep_between[0] if self.keep_between else 0.0

    @property
    def _sign(self) -> float:
        return -1.0 if self.keep_top is None else 1.0

    @property
    def reads(self) -> tuple[str, ...]:
        return (self.column, *(("url",) if self.per == DOMAIN else ()))

    @property
    def memory(self) -> str:
        """See `Step`."""
        whole = "a 16th of 20 bytes per document, and 12 bytes per dropped document"
        return whole if self.per is None else f"{whole}; 40 bytes per document of the largest {self.per}"

    def open(self, context: Context) -> MapFunction:
        """See the class."""

        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            row = batch.column("_row")
            values = pa.array(self._sign * numeric_column(batch, self.column, self.name))
            if self.per is None:
                return pa.RecordBatch.from_pydict({"key": pc.cast(row, pa.uint64()), "row": row, "value": values})
            groups = group_names(batch, self.per, self.name)
            return pa.RecordBatch.from_pydict({"key": group_keys(groups), "row": row, "value": values, "group": groups})

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        """All rows; with `per`, the rows to drop, and one row per group that states its cut."""
        if self.per is None:
            return keys.select(["shard", "row", "value"])
        return _cut_groups(keys, self._fraction, self._skipped)

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        """See `Global`."""
        if self.per is not None:
            return self._decide_groups(reduced)
        total = sum(int(np.count_nonzero(~np.isnan(_values(table)))) for table in reduced)
        wanted = _wanted(self._fraction, total)
        cut = _value_of_rank(reduced, wanted) if wanted else math.inf
        skipped = _wanted(self._skipped, total)
        above = _value_of_rank(reduced, skipped) if skipped else math.nan
        gone = [t.select(["shard", "row"]).filter(pa.array(_outside(_values(t), cut, above))) for t in reduced]
        info: dict[str, object] = {
            "column": self.column,
            "documents": total,
            "cut": self._sign * cut if wanted else None,
        }
        if self.keep_between:
            info["above"] = self._sign * above if skipped else None
        return Decision(drops=_sorted(pa.concat_tables(gone)), info=info)

    def _decide_groups(self, reduced: Iterable[pa.Table]) -> Decision:
        whole = pa.concat_tables(reduced)
        is_summary = pc.equal(whole.column("shard"), pa.scalar(_SUMMARY))
        drops = whole.filter(pc.invert(is_summary)).select(["shard", "row"])
        names = ["cut", "above"] if self.keep_between else ["cut"]
        cuts = whole.filter(is_summary).select(["group", "documents", *names]).sort_by("group")
        for place, name in enumerate(names, 2):
            cuts = cuts.set_column(place, name, pc.multiply(cuts.column(name), self._sign))
        total = pc.sum(cuts.column("documents")).as_py() or 0
        info = {"column": self.column, "per": self.per, "groups": cuts.num_rows, "documents": total}
        return Decision(drops=_sorted(drops), info=info, tables={"cuts": [cuts]})


def _sorted(drops: pa.Table) -> pa.Table:
    return drops.sort_by([("shard", "ascending"), ("row", "ascending")])


def _wanted(fraction: float, total: int) -> int:
    return math.ceil(fraction * total - 1e-9)  # 0.1 · 30 is slightly more than 3


def _outside(values: Values, cut: float, above: float) -> Bools:
    """Which values are missing, below the cut, or at or over `above` (NaN: no such bound)."""
    outside: Bools = ~(values >= cut) | (values >= above)
    return outside


def _cut_groups(keys: pa.Table, fraction: float, skipped_fraction: float) -> pa.Table:
    """Rows (shard, row) that their group's cut drops; and (−1, −1, group, documents, cut, above) for each group."""
    value, key = _values(keys), keys.column("key").to_numpy()
    starts = np.flatnonzero(np.diff(key, prepend=key[:1] ^ np.uint64(1))) if len(key) else np.zeros(0, np.int64)
    ends = np.append(starts, len(key))[1:]
    dropped = np.zeros(len(key), bool)
    counts, cuts = np.zeros(len(starts), np.int64), np.full((2, len(starts)), np.nan)
    for number, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
        part = value[start:end]
        known = part[~np.isnan(part)]
        counts[number] = len(known)
        bounds = [math.inf, math.nan]
        for which, share in enumerate((fraction, skipped_fraction)):
            if wanted := _wanted(share, len(known)):
                bounds[which] = np.partition(known, len(known) - wanted)[len(known) - wanted]
                cuts[which, number] = bounds[which]
        dropped[start:end] = _outside(part, bounds[0], bounds[1])
    gone = keys.filter(pa.array(dropped)).select(["shard", "row"])
    nothing: dict[str, Column] = {"group": pa.nulls(gone.num_rows, pa.string())}
    nothing["documents"] = pa.nulls(gone.num_rows, pa.int64())
    no_cut = pa.nulls(gone.num_rows, pa.float64())
    for name, array in {**nothing, "cut": no_cut, "above": no_cut}.items():
        gone = gone.append_column(name, array)
    minus = np.full(len(starts), _SUMMARY)
    summary = pa.Table.from_pydict(
        {
            "shard": pa.array(minus, pa.int32()),
            "row": pa.array(minus, pa.int64()),
            "group": keys.column("group").take(starts),
            "documents": pa.array(counts),
            "cut": pa.array(cuts[0], mask=np.isnan(cuts[0])),
            "above": pa.array(cuts[1], mask=np.isnan(cuts[1])),
        }
    )
    return pa.concat_tables([gone, summary])


def _values(table: pa.Table) -> Values:
    values: Values = table.column("value").to_numpy()
    return values


def _value_of_rank(reduced: Iterable[pa.Table], rank: int) -> float:
    """The `rank`-th highest value (1: the highest), by four passes over the tables of 16 bits each."""
    prefix = 0
    for shift in (48, 32, 16, 0):
        counts = np.zeros(1 << 16, np.int64)
        for table in reduced:
            bits = _ordered_bits(_values(table))
            if shift < 48:
                bits = bits[bits >> np.uint64(shift + 16) == np.uint64(prefix)]
            digits = ((bits >> np.uint64(shift)) & np.uint64(0xFFFF)).astype(np.int64)
            counts += np.bincount(digits, minlength=1 << 16)
        from_top = np.cumsum(counts[::-1])
        place = int(np.searchsorted(from_top, rank))
        rank -= int(from_top[place] - counts[::-1][place])
        prefix = prefix << 16 | (0xFFFF - place)
    sign = 1 << 63
    found = np.uint64(prefix ^ sign if prefix & sign else prefix ^ (2 * sign - 1))
    return float(found.view(np.float64))


def _ordered_bits(values: Values) -> npt.NDArray[np.uint64]:
    """The bits of floats as integers in the same order, NaN left out; −0 is converted to 0."""
    bits = (values[~np.isnan(values)] + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)
