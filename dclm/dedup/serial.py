"""Runs a Global or Ordered step over batches in this process: for notebooks and tests. Pipelines use engines."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import column_of
from dclm.curate.global_step import Decision, Global, IterativeReduce, Regroup, Round
from dclm.curate.step import Context, Ordered
from dclm.dedup.order import order_by_key, spread
from dclm.text.spans import Spans, without_spans

Shards = Sequence[Sequence[pa.RecordBatch]]
"""Batches (with `_row`) of every shard."""


def decide(step: Global, shards: Shards, context: Context | None = None) -> Decision:
    """The decision of `step` over all `shards`, including further rounds."""
    context = context or Context()
    emit = step.open(context)
    keys = (_with_shard(emit(batch), shard) for shard, batches in enumerate(shards) for batch in batches)
    reduced = [step.reduce(part) for part in partitions(keys, step.num_partitions)]
    decision = step.decide(Listed(reduced))
    while (work := decision.then) is not None:
        if isinstance(work, Round):
            rows = pa.concat_tables(work.rows)
            chosen = [list(_select(rows, i, s)) for i, s in enumerate(shards)]
            decision = work.finish(decide(work.step, chosen, context))
        else:
            decision = work.finish(iterated(work) if isinstance(work, IterativeReduce) else regrouped(work))
    return decision


class Listed(list[pa.Table]):
    """Tables in memory (see `Tables`)."""

    def by_key(self) -> Iterator[pa.Table]:
        """All rows in one table."""
        yield pa.concat_tables(self).sort_by("key")


def iterated(iteration: IterativeReduce) -> Listed:
    """The final rows of an iteration, in one table."""
    rows, quiet = pa.concat_tables(map(iteration.start, iteration.source)), 0
    for step in itertools.cycle(iteration.steps):
        passed = step(rows.sort_by("key"))
        rows, quiet = passed.rows, 0 if passed.num_changed else quiet + 1
        if quiet == len(iteration.steps):
            return Listed([rows.sort_by("key")])
    raise AssertionError


def regrouped(work: Regroup) -> Listed:
    """The reduced tables."""
    rows = pa.concat_tables([source.rows(table) for source in work.sources for table in source.tables])
    order = np.argsort(rows.column("key").to_numpy(), kind="stable")
    return Listed([work.reduce(rows.take(order))])


def partitions(keys: Iterable[pa.RecordBatch], count: int) -> Iterator[pa.Table]:
    """Key tables of each partition, sorted as `reduce` expects them: by key, shard and row. Memory: the keys, and
    those of one partition twice."""
    spread_keys = [list(_by_partition(batch, count)) for batch in keys]
    for number in range(count):
        part = pa.Table.from_batches([parts[number] for parts in spread_keys]).combine_chunks()
        yield _in_order(part.take(column_of(order_by_key(part.column("key").to_numpy()))))


def _by_partition(keys: pa.RecordBatch, count: int) -> Iterator[pa.RecordBatch]:
    order, edges = spread(keys.column("key").to_numpy(), count)
    keys = keys.take(column_of(order))
    return (keys.slice(start, end - start) for start, end in itertools.pairwise(edges))


def _in_order(keys: pa.Table) -> pa.Table:
    """Rows of equal keys mostly come in the order of shard and row, which a stable sort keeps."""
    key, shard, row = (keys.column(name).to_numpy() for name in ("key", "shard", "row"))
    later = (shard[1:] > shard[:-1]) | ((shard[1:] == shard[:-1]) & (row[1:] >= row[:-1]))
    if np.all(later | (key[1:] != key[:-1])):
        return keys
    return keys.sort_by([("key", "ascending"), ("shard", "ascending"), ("row", "ascending")])


def drop(decision: Decision, shards: Shards) -> list[list[pa.RecordBatch]]:
    """`shards` without the documents that the decision drops."""
    kept = []
    drops = decision.all_drops()
    for shard, batches in enumerate(shards):
        rows = drops.filter(pc.equal(drops["shard"], pa.scalar(shard)))["row"].combine_chunks()
        kept.append([b.filter(pc.invert(pc.is_in(b.column("_row"), rows))) for b in batches])
    return kept


def apply(decision: Decision, shards: Shards) -> list[list[pa.RecordBatch]]:
    """`shards` without what the decision drops and edits; documents left with only whitespace are removed too."""
    edits = list(decision.edits)
    left = drop(decision, shards)
    for shard in range(len(left) if edits else 0):
        mine = Spans.of(pa.concat_tables([table.filter(pc.equal(table["shard"], pa.scalar(shard))) for table in edits]))
        done = [without_spans(batch, mine) for batch in left[shard]]
        left[shard] = [b.filter(pc.invert(b["_drop"])) if "_drop" in b.schema.names else b for b in done]
    return left


def run_ordered(step: Ordered, shards: Shards, context: Context | None = None) -> list[list[pa.RecordBatch]]:
    """Output of `step` for each batch, by partition; dropped rows are only marked (see `_drop`)."""
    context = context or Context()
    out: list[list[pa.RecordBatch]] = [[] for _ in shards]
    for partition in range(step.partitions):
        mine = range(partition, len(shards), step.partitions)
        measure = step.measure(context)
        total = sum(measure(batch) for shard in mine for batch in shards[shard])
        function = step.begin(context, total, partition)
        for shard in mine:
            out[shard] = [function(batch) for batch in shards[shard]]
    return out


def _with_shard(keys: pa.RecordBatch, shard: int) -> pa.RecordBatch:
    return keys.append_column(pa.field("shard", pa.int32()), pa.repeat(pa.scalar(shard, pa.int32()), keys.num_rows))


def _select(rows: pa.Table, shard: int, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    wanted = rows.filter(pc.equal(rows["shard"], pa.scalar(shard))).drop_columns(["shard"]).combine_chunks()
    for batch in batches:
        place = pc.index_in(batch.column("_row"), wanted["row"].combine_chunks())
        chosen = batch.filter(pc.is_valid(place))
        for name in wanted.column_names:
            if name != "row":
                chosen = chosen.append_column(name, wanted[name].combine_chunks().take(place.drop_null()))
        yield chosen
