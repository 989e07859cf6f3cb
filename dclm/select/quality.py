"""Model-based filtering: a fastText classifier's score, and cuts by value or by global quantile."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Annotated, ClassVar

import fasttext
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.config import Range
from dclm.core.errors import AssetError, ConfigError
from dclm.curate.step import Context, Decision, Filter, FilterFunction, Global, Map, MapFunction
from dclm.filters.columns import with_columns

Values = npt.NDArray[np.float64]


@dataclasses.dataclass(frozen=True, kw_only=True)
class FastTextScore(Map):
    """Adds the probability (float64) that a document is of the positive class, as a two-class fastText model sees it.

    The text is read as one line, its lines joined by spaces. The score is the probability of the likelier label if
    that is the positive one, and 1 minus it otherwise.

    Source: `classify_fasttext_hq_prob_enricher` in DCLM's baselines.
    """

    name: ClassVar[str] = "fasttext_score"

    model: str
    """Asset name or path of a supervised fastText model (.bin or .ftz), or a classifier that the recipe trains."""
    column: str = "quality"
    """Column to add."""
    positive: str = "__label__hq"
    """The model's label of the positive class."""

    @property
    def assets(self) -> tuple[str, ...]:
        return (self.model,)

    def open(self, context: Context) -> MapFunction:
        model = load_classifier(str(context.file(self.model)), self.positive)

        def annotate(batch: pa.RecordBatch) -> pa.RecordBatch:
            scores = score_texts(model, batch.column("text").to_pylist(), self.positive)
            return with_columns(batch, {self.column: pa.array(scores)})

        return annotate


def load_classifier(path: str, positive: str) -> fasttext.FastText._FastText:
    """The fastText model at `path`.

    Raises: AssetError if it is none; ConfigError if it has no label `positive`.
    """
    try:
        model = fasttext.load_model(path)
    except ValueError as error:
        raise AssetError(path, f"not a fastText model: {error}", "give a .bin or .ftz file") from None
    labels = sorted(model.get_labels())
    if positive not in labels:
        raise ConfigError(
            path, f"the model has no label {positive}, allowed: {', '.join(labels[:20])}", "set `positive`"
        )
    return model


def as_line(text: str) -> str:
    """A text as the single line that fastText reads."""
    return " ".join(text.strip().splitlines())


def score_texts(model: fasttext.FastText._FastText, texts: list[str], positive: str) -> Values:
    """The positive class's probability for each text (see `FastTextScore`)."""
    if not texts:
        return np.zeros(0)
    labels, scores = model.predict([as_line(text) for text in texts])
    likelier = np.array([score[0] for score in scores], np.float64)
    return np.where([label[0] == positive for label in labels], likelier, 1.0 - likelier)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Threshold(Filter):
    """Keeps documents whose value in a numeric column lies within bounds, both inclusive; no value is not kept.

    Source: `quality_filter` in DCLM's baselines (>=). DCLM-Baseline keeps scores of at least 0.018112.
    """

    name: ClassVar[str] = "threshold"

    column: str
    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise ValueError("give `min`, `max` or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"min {self.min:g} > max {self.max:g}")

    def open(self, context: Context) -> FilterFunction:
        def keep(batch: pa.RecordBatch) -> pa.BooleanArray:
            values = numeric_column(batch, self.column, self.name)
            low = -math.inf if self.min is None else self.min
            high = math.inf if self.max is None else self.max
            return pa.array((values >= low) & (values <= high))

        return keep


def numeric_column(batch: pa.RecordBatch, column: str, step: str) -> Values:
    """The column as float64 (whole numbers beyond 2⁵³ are rounded), NaN for null.

    Raises: ConfigError if there is no such column or it is not numeric.
    """
    if column not in batch.schema.names:
        there = ", ".join(n for n in batch.schema.names if not n.startswith("_"))
        raise ConfigError(step, f"no column {column}, found: {there}", "a step before this one has to add it")
    kind = batch.schema.field(column).type
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        raise ConfigError(step, f"column {column} is {kind}, allowed: numbers")
    values: Values = pc.cast(batch.column(column), pa.float64(), safe=False).to_numpy(zero_copy_only=False)
    return values


@dataclasses.dataclass(frozen=True, kw_only=True)
class Quantile(Global):
    """Keeps the documents with the highest values of a numeric column, as "the top 10 %" of all.

    The cut is the value of the last of the ⌈keep_top · n⌉ highest among the n documents that have one; what equals it
    stays too, and what has no value (null, NaN) goes. The cut stands in the record as `cut`; `threshold` with that
    literal as `min` keeps the same documents.

    The cut is exact for any number of documents, its error is 0: instead of a sketch, the bits of the values are
    counted in four passes of 16 bits over the keys on disk, one partition in memory at a time. So it depends on the
    values alone, not on how they were spread. Beside a partition (a 16th of 20 bytes a document), the decision holds
    12 bytes for each document that it drops.
    """

    name: ClassVar[str] = "quantile"

    column: str
    keep_top: Annotated[float, Range(0.0, 1.0)]
    """Fraction of the documents to keep, above 0."""

    def __post_init__(self) -> None:
        if self.keep_top <= 0:
            raise ValueError("keep_top has to be above 0")

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            row = batch.column("_row")
            values = numeric_column(batch, self.column, self.name)
            return pa.RecordBatch.from_pydict({"key": pc.cast(row, pa.uint64()), "row": row, "value": pa.array(values)})

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        return keys.select(["shard", "row", "value"])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        total = sum(int(np.count_nonzero(~np.isnan(_values(table)))) for table in reduced)
        wanted = math.ceil(self.keep_top * total - 1e-9)  # 0.1 · 30 is a little more than 3
        cut = _value_of_rank(reduced, wanted) if wanted else math.inf
        below = [t.select(["shard", "row"]).filter(pa.array(~(_values(t) >= cut))) for t in reduced]
        drops = pa.concat_tables(below).sort_by([("shard", "ascending"), ("row", "ascending")])
        info = {"column": self.column, "documents": total, "cut": cut if wanted else None}
        return Decision(drops=drops, info=info)


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
    """The bits of floats as integers in the same order, NaN left out; −0 is made 0."""
    bits = (values[~np.isnan(values)] + 0.0).view(np.uint64)
    sign = np.uint64(1 << 63)
    return np.where(bits & sign, ~bits, bits | sign)
