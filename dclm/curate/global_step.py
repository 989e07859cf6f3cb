"""The decision of a Global step over all documents, and the further work that it may request before it is final.

Three kinds of work run on all workers and hand their result to `finish`, which makes the next decision: a `Round` over
some documents, an `IterativeReduce` over tables until nothing changes, and a `Regroup` of tables by another key.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, NamedTuple, Protocol

import pyarrow as pa

from dclm.curate.exchange.passes import Pass
from dclm.curate.step import Context, MapFunction, Step

REASONS = ("rule", "kept_shard", "kept_row", "similarity")
"""Columns of the ledger that a decision may fill to explain why a document was dropped (see `documents.schema`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Decision:
    """The decision of a Global step over all documents."""

    drops: pa.Table
    """Columns shard (int32), row (int64), sorted by both, and the reasons for the ledger: any of `REASONS`."""
    drop_tables: Iterable[pa.Table] = ()
    """Instead of `drops`, which is then empty: such tables in any order. Read one at a time, perhaps repeatedly."""
    edits: Iterable[pa.Table] = ()
    """Tables with columns shard (int32), row, start, end (int64): bytes start … end of a document's `text` are removed.

    In any order; overlapping spans are merged. A document left with only whitespace is dropped. Read once, one table at
    a time, so that a decision with many edits may pass on `reduced` unchanged.
    """
    columns: Iterable[pa.Table] = ()
    """Tables in any order with columns shard (int32), row (int64), and columns to add to these documents. They are null
    for all other documents, unless these already had the column. Read once, one table at a time.
    """
    info: Mapping[str, object] = dataclasses.field(default_factory=dict)
    """Numbers for the record: cluster counts, the literal value of a quantile cut …"""
    tables: Mapping[str, Iterable[pa.Table]] = dataclasses.field(default_factory=dict)
    """Tables stored in the artifact in addition to the documents, such as `clusters`: each in parts, at least one."""
    then: Round | IterativeReduce | Regroup | None = None
    """Set if more work is needed before the decision is final; then only `then` counts."""

    def all_drops(self) -> pa.Table:
        drops = pa.concat_tables(list(self.drop_tables) or [self.drops])
        return drops.sort_by([("shard", "ascending"), ("row", "ascending")])


@dataclasses.dataclass(frozen=True, kw_only=True)
class Round:
    """One more round of a Global step over some of its documents, such as the verification of candidate pairs.

    The engine runs `step` (emit, reduce, decide; it may request a further round) on the documents in `rows` only, as
    they were in the first round, and uses `finish(its decision)` as the decision.
    """

    step: Global
    """A small picklable step; large data goes into `rows` or stays in `finish`."""
    rows: Iterable[pa.Table]
    """Tables in any order, at least one: columns shard (int32), row (int64); other columns are added to the batches
    that `step` opens on. Read once, one table at a time."""
    finish: Callable[[Decision], Decision]
    """Called in the process that called `decide`; never pickled."""


class Tables(Protocol):
    """Tables that units of work made, in order of partition: loaded one at a time, as often as needed."""

    def __iter__(self) -> Iterator[pa.Table]: ...

    def by_key(self) -> Iterator[pa.Table]:
        """The rows of all tables, each of which is sorted by its column `key`, as tables in order of the key. All rows
        of a key are in one table. Memory: that of one piece (see `dclm.curate.exchange.pieces`)."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class IterativeReduce:
    """Rounds over tables only, on all workers, for data that no single worker could hold.

    Rows are partitioned by their key. In each round the next of `steps` receives all rows of some keys, sorted by key,
    and returns rows for the following round. The rounds end when each step in turn has changed nothing.
    """

    source: Iterable[pa.Table]
    """The reduced tables that `decide` received, or the tables that a `finish` received."""
    start: Callable[[pa.Table], pa.Table]
    """Rows for the first round from one of these tables."""
    steps: tuple[Callable[[pa.Table], Pass], ...]
    """Module-level functions, like `start`: workers import them."""
    finish: Callable[[Tables], Decision]
    """Called with the last rows, all rows of a key in one table, in the process that called `decide`; never pickled."""


class TableSource(NamedTuple):
    """Some of the tables of a `Regroup`."""

    tables: Iterable[pa.Table]
    """The reduced tables that `decide` received, or the tables that a `finish` received."""
    rows: Callable[[pa.Table], pa.Table]
    """Rows from one of these tables: column `key` (uint64) and others, the same for each source. Picklable."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Regroup:
    """One reduction of tables by another key, on all workers: a join, or a second grouping."""

    label: str
    """A word or two for the progress line."""
    sources: tuple[TableSource, ...]
    reduce: Callable[[pa.Table], pa.Table]
    """A table for each piece, which contains all rows of some keys, sorted by key, then source. Picklable."""
    finish: Callable[[Tables], Decision]
    """Called with the reduced tables in the process that called `decide`; never pickled."""


class Global(Step):
    """Needs all documents: emit keys per shard → reduce per partition → decide once → drop and edit per shard."""

    num_partitions: ClassVar[int] = 16
    """Number of partitions over which keys are spread, by `key % num_partitions`; affects the output, unlike the number
    of workers."""

    @abstractmethod
    def open(self, context: Context) -> MapFunction:
        """The function from a batch to a batch of keys: `key` (uint64), `row` (int64, from `_row`), more if needed.

        Any number of keys per document. The engine adds `shard`, sorts by (key, shard, row) and partitions.
        """

    @abstractmethod
    def reduce(self, keys: pa.Table) -> pa.Table:
        """The information that `decide` needs about some keys: `keys` contains all their rows, sorted by (key, shard,
        row).

        Called for each partition, or piece by piece if it is large: the result for a key must not depend on the rows of
        other keys.
        """

    @abstractmethod
    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        """The decision, from the reduced tables in order of partition. Runs once, on one worker.

        `reduced` may be iterated more than once and loads one table at a time.
        """
