"""Passes a batch through local steps: features, filters, maps, and counts of everything that leaves."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import Column, booleans, filled, num_true, strings
from dclm.core.errors import ConfigError
from dclm.curate.global_step import REASONS
from dclm.curate.output.tally import READER, Ledger, Size, StepCount, text_size
from dclm.curate.quantity import Quantities, Rule
from dclm.curate.step import Context, Filter, FilterFunction, JudgeFunction, Map, MapFunction, RuleFunction
from dclm.text.features import FEATURES

Why = Callable[[pa.RecordBatch], Mapping[str, Column]]
"""A function from dropped rows to the ledger's entries for each (see `REASONS`)."""
NOTHING_LEFT = "nothing_left"
"""The rule under which an edit drops a document of which it leaves no text."""


@dataclasses.dataclass(frozen=True)
class Opened:
    """A local step, ready to be called in this process."""

    step: Map | Filter
    index: int
    function: MapFunction | FilterFunction
    rules: RuleFunction | None = None
    """For a Filter: the function that finds the rule that dropped rows broke."""
    judge: JudgeFunction | None = None
    """For a Filter that measures something: called instead of `function`."""

    @staticmethod
    def all(steps: Sequence[Map | Filter], first: int, context: Context) -> list[Opened]:
        """Open `steps`, the first of which has the index `first` in the pipeline."""
        return [_opened(step, first + i, context) for i, step in enumerate(steps)]


def _opened(step: Map | Filter, index: int, context: Context) -> Opened:
    if isinstance(step, Map):
        return Opened(step, index, step.open(context))
    judge, rules = step.open_judge(context), step.open_rules(context)
    if judge is None:
        return Opened(step, index, step.open(context), rules)
    return Opened(step, index, lambda batch: judge(batch)[0], rules, judge)


class Flow:
    """Processes one shard's batches, with its ledger and its counts."""

    def __init__(self, opened: Sequence[Opened], seed: int) -> None:
        self._opened = opened
        self.ledger = Ledger(seed)
        self.quantities = Quantities()
        self.counts: dict[int, StepCount] = {}
        self._measured: tuple[pa.RecordBatch | None, Size] = (None, Size(0, 0))

    def count(self, step: str, index: int) -> StepCount:
        """The sums of one step, created at first use."""
        return self.counts.setdefault(index, StepCount(step=step, index=index))

    def size(self, batch: pa.RecordBatch) -> Size:
        """The size of the batch's texts; the output of one step is the input of the next, and is measured once."""
        if batch is not self._measured[0]:
            self._measured = (batch, text_size(batch))
        return self._measured[1]

    def read(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Accept a batch from the reader: its rejects leave here."""
        count = self.count("read", READER)
        count.documents_in += batch.num_rows
        batch = self._settle(batch, "read", count)
        count.exit(self.size(batch))
        return batch

    def run(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """The batch after all local steps."""
        for opened in self._opened:
            step = opened.step
            if isinstance(step, Map) and step.unless_column in batch.schema.names:
                continue
            count = self.count(step.name, opened.index)
            started = time.perf_counter()
            try:
                batch = self.step(batch, opened, count)
            except Exception as error:
                rows = batch.column("_row")
                span = f"rows {rows[0]}-{rows[-1]}" if batch.num_rows else "an empty batch"
                error.add_note(f"in step {opened.index} ({step.name}), {span}")
                if isinstance(error, KeyError):
                    require_text(batch, f"step {step.name}")
                raise
            count.seconds += time.perf_counter() - started
        return batch

    def step(self, batch: pa.RecordBatch, opened: Opened, count: StepCount) -> pa.RecordBatch:
        """The batch after one step."""
        count.enter(batch.num_rows, self.size(batch))
        for feature in opened.step.features:
            if f"_{feature}" not in batch.schema.names:
                batch = batch.append_column(f"_{feature}", FEATURES[feature](strings(batch.column("text"))))
        if isinstance(opened.step, Filter):
            if opened.judge is None:
                keep = cast(pa.BooleanArray, opened.function(batch))
            else:
                keep, measured = opened.judge(batch)
                self.quantities.add(opened.step.name, opened.index, measured)
            assert len(keep) == batch.num_rows, (
                f"{opened.step.name} returned {len(keep)} answers for {batch.num_rows} rows"
            )
            assert keep.null_count == 0, f"{opened.step.name} returned a null"
            rules = opened.rules
            why = None if rules is None else lambda gone: {"rule": rules(gone)}
            batch = self.drop(batch, pc.invert(keep), opened.step.name, count, why)
        else:
            after = self._counted(cast(pa.RecordBatch, opened.function(batch)), opened.step, opened.index)
            batch = self.mapped(batch, after, opened.step.name, count)
        count.exit(self.size(batch))
        return batch

    def _counted(self, after: pa.RecordBatch, step: Map, index: int) -> pa.RecordBatch:
        """The output of a Map without what it measured, which is counted."""
        if "_measured" not in after.schema.names:
            return after
        assert step.cut is not None, f"{step.name} measures something, but states no cut"
        drop = filled(after.column("_drop"), False).to_numpy(zero_copy_only=False)
        values = after.column("_measured").to_numpy(zero_copy_only=False)
        passes = ~drop | np.isnan(values)  # what has no value was dropped by another rule
        self.quantities.add(step.name, index, [Rule(step.cut.rule, passes, values, step.cut.value, step.cut.side)])
        return after.drop_columns(["_measured"])

    def mapped(self, before: pa.RecordBatch, after: pa.RecordBatch, name: str, count: StepCount) -> pa.RecordBatch:
        """The output of a Map, without its drops and rejects and without stale features."""
        assert after.num_rows == before.num_rows, f"{name} removed or added rows"
        if not _same_text(before, after):
            stale = [c for c in after.schema.names if c.startswith("_") and c in before.schema.names and c != "_row"]
            after = after.drop_columns(stale)
        return self._settle(after, name, count)

    def _settle(self, batch: pa.RecordBatch, name: str, count: StepCount) -> pa.RecordBatch:
        names = batch.schema.names
        if "_edits" in names:
            count.edits += pc.sum(batch.column("_edits")).as_py() or 0
        reject = batch.column("_reject") if "_reject" in names else None
        drop = batch.column("_drop") if "_drop" in names else None
        batch = batch.drop_columns([c for c in ("_edits", "_reject", "_drop") if c in names])
        why = _rule_of_map if "_rule" in names else _nothing_left if "_edits" in names else None
        if reject is not None and reject.null_count < len(reject):
            bad = pc.is_valid(reject)
            count.rejected += num_true(bad)
            self.ledger.leave(batch.filter(bad), name, count.index, reject.filter(bad))
            batch = batch.filter(pc.invert(bad))
            drop = None if drop is None else drop.filter(pc.invert(bad))
        if drop is not None:
            batch = self.drop(batch, booleans(filled(drop, False)), name, count, why)
        return batch.drop_columns(["_rule"]) if "_rule" in names else batch

    def drop(
        self, batch: pa.RecordBatch, mask: pa.BooleanArray, name: str, count: StepCount, why: Why | None = None
    ) -> pa.RecordBatch:
        """The batch without the rows where `mask` is True; they go to the ledger with the entries from `why`."""
        dropped = num_true(mask)
        if dropped:
            count.dropped += dropped
            gone = batch.filter(mask)
            self.ledger.leave(gone, name, count.index, why=None if why is None else why(gone))
            batch = batch.filter(pc.invert(mask))
        return batch


def require_text(batch: pa.RecordBatch, where: str) -> None:
    """Raises: ConfigError naming `where` if these are pages that no step has made text from."""
    if "text" not in batch.schema.names:
        hint = "add `extract: {with: resiliparse}` as the first step"
        raise ConfigError(where, "the pool has pages, and no step before it makes `text` from them", hint)


class Drops:
    """The rows that a Global step dropped from one shard, and why."""

    def __init__(self, table: pa.Table) -> None:
        """table: columns row and any of `REASONS` (see `Decision`)."""
        self._rows = table.column("row").combine_chunks()
        self._reasons = {name: table.column(name).combine_chunks() for name in REASONS if name in table.column_names}

    def among(self, batch: pa.RecordBatch) -> pa.BooleanArray:
        """Which rows of the batch are dropped."""
        return pc.is_in(batch.column("_row"), self._rows)

    def why(self, gone: pa.RecordBatch) -> dict[str, Column]:
        """The ledger's entries for dropped rows."""
        place = pc.index_in(gone.column("_row"), self._rows)
        return {name: column.take(place) for name, column in self._reasons.items()}


def with_columns(batch: pa.RecordBatch, table: pa.Table) -> pa.RecordBatch:
    """The batch with the columns that a Global step gives to its rows (see `Decision.columns`)."""
    place = pc.index_in(batch.column("_row"), table.column("row").combine_chunks())
    for name in table.column_names:
        if name in ("shard", "row"):
            continue
        given = table.column(name).combine_chunks().take(place)
        if name in batch.schema.names:
            given = pc.if_else(pc.is_valid(place), given, batch.column(name))
            batch = batch.set_column(batch.schema.get_field_index(name), name, given)
        else:
            batch = batch.append_column(name, given)
    return batch


def _rule_of_map(gone: pa.RecordBatch) -> dict[str, Column]:
    return {"rule": gone.column("_rule")}


def _nothing_left(gone: pa.RecordBatch) -> dict[str, Column]:
    """The drop of documents whose text was completely removed by edits."""
    return {"rule": pa.repeat(pa.scalar(NOTHING_LEFT, pa.string()), gone.num_rows)}


def _same_text(before: pa.RecordBatch, after: pa.RecordBatch) -> bool:
    if "text" not in before.schema.names or "text" not in after.schema.names:
        return True
    old, new = before.column("text"), after.column("text")
    places = [[b.address if b is not None else 0 for b in array.buffers()] for array in (old, new)]
    return places[0] == places[1] and old.offset == new.offset
