"""The four kinds of curation step. A step is a frozen, keyword-only dataclass: its fields are its configuration.

Columns that have a meaning for the engine; any step may add them, and they are never written to a file:

    _row     int64   index of the record in its input shard (0 …); always present
    _drop    bool    set by a Map: True drops the document as this step's decision
    _reject  string  set by a Map: non-null makes the row a reject, with this reason
    _rule    string  set by a Map next to `_drop`: the rule that decided, for the ledger
    _measured float64 set by a Map next to `_drop`: what it compared with its `cut`, NaN where that did not decide
    _edits   int64   set by a Map: how many lines (or spans) it removed from the document; summed in the counts

Other columns starting with "_" are features (see `dclm.text.features`): computed once per batch when a step names them
in `features`, filtered along with the rows, discarded as soon as a step changes `text`.
"""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from dclm.core.arrow import column_of
from dclm.core.record import Record
from dclm.core.stores.store import local_file, verified_file
from dclm.curate.quantity import Cut, Rule, judged

Bools = npt.NDArray[np.bool_]
MapFunction = Callable[[pa.RecordBatch], pa.RecordBatch]
FilterFunction = Callable[[pa.RecordBatch], pa.BooleanArray]
RuleFunction = Callable[[pa.RecordBatch], pa.StringArray]
JudgeFunction = Callable[[pa.RecordBatch], tuple[pa.BooleanArray, list[Rule]]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Context:
    """The external context of a step when it opens."""

    seed: int = 0
    """The recipe's seed. Random choices are hash(seed, step, document id): see `random_fraction`."""
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """Name in `Step.assets` → address of that file."""
    hashes: Mapping[str, str] = dataclasses.field(default_factory=dict)
    """The same names → sha256, which is compared when the file is opened."""

    def file(self, name: str) -> Path:
        """The local path of an asset that the step named in `assets`.

        Raises: DataError if the file has changed since the run began.
        """
        path = local_file(self.files[name])
        return path if path.is_dir() else verified_file(self.files[name], self.hashes.get(name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step(ABC):
    """Base of all steps. `open` is called once in each worker; the function that it returns is called on every batch.

    That function must be pure and must accept empty batches (the schema of empty shards is made with one).
    """

    name: ClassVar[str]
    """The key in a pipeline file."""
    version: ClassVar[int] = 1
    """Part of the fingerprint: raise it whenever the step's behavior changes."""
    features: ClassVar[tuple[str, ...]] = ()
    """Names in `dclm.text.features.FEATURES` that must be columns of the batch when the function is called."""

    @property
    def assets(self) -> tuple[str, ...]:
        """External files (asset names or paths) that the step opens; their sha256 is part of its fingerprint."""
        return ()

    @property
    def reads(self) -> tuple[str, ...]:
        """Required columns besides the text. If one of them is null throughout the pool, the run stops."""
        return ()

    @property
    def artifacts(self) -> tuple[str, ...]:
        """Addresses of artifacts that the step opens. Its fingerprint includes their content, not their location."""
        return ()

    def without_addresses(self) -> Step:
        """The step without `artifacts`: the configuration that enters its fingerprint."""
        return self

    def accept(self, address: str, record: Record) -> None:
        """Check the record of one of `artifacts`. Raises: ConfigError if the step cannot use it."""
        raise NotImplementedError(f"{self.name} does not open artifacts")

    @property
    def libraries(self) -> tuple[str, ...]:
        """Installed distributions whose version affects its output, and so is part of its fingerprint."""
        return ()

    @property
    def runs_model(self) -> bool:
        """Whether a model takes most of its time: such a step begins a pass of its own, which `wants_gpus`."""
        return False

    def wants_gpus(self, gpus: int | None) -> bool:
        """Whether the step runs on GPUs. gpus: how many the nodes that do the work have; None: look on this machine."""
        return False

    @property
    def memory(self) -> str:
        """Memory that grows with the size of the corpus, in words, for `dclm plan`; empty if no memory does."""
        return ""

    @property
    def cost(self) -> str:
        """Work besides reading the documents that decides how long the step takes, in words, for `dclm plan`."""
        return ""


class Map(Step):
    """Edits or annotates documents; drops and rejects through `_drop` and `_reject`. Never removes rows itself."""

    unless_column: ClassVar[str | None] = None
    """The step is skipped for batches that already have this column: `extract` for pools that contain text."""

    @property
    def cut(self) -> Cut | None:
        """What `_measured` is compared with, if the step adds it."""
        return None

    @abstractmethod
    def open(self, context: Context) -> MapFunction:
        """The function from a batch to a batch with the same rows in the same order."""


class Filter(Step):
    """Keeps the documents for which its function returns True."""

    @abstractmethod
    def open(self, context: Context) -> FilterFunction:
        """The function from a batch to a BooleanArray without nulls, one value per row."""

    def open_rules(self, context: Context) -> RuleFunction | None:
        """The function from dropped rows, with their features, to the rule that each broke (null: unknown).

        It is called only on dropped rows, so that kept rows cost nothing. None: the step has a single rule, which its
        name describes.
        """
        return None

    def open_judge(self, context: Context) -> JudgeFunction | None:
        """Replaces `open` if the step measures something: its answers, and the rules behind them with their values."""
        return None


class RuleFilter(Filter):
    """Keeps the documents that pass all of its rules; the ledger names the first rule that a dropped document broke."""

    @abstractmethod
    def answers(self, batch: pa.RecordBatch) -> Iterator[tuple[str, Bools] | Rule]:
        """Name of each rule, in order, and the documents that pass it. Later rules may rely on earlier ones.

        A `Rule` also has what was measured (`at_least`, `at_most`).
        """

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: self._judge(batch)[0]

    def open_judge(self, context: Context) -> JudgeFunction | None:
        return self._judge if type(self).open is RuleFilter.open else None

    def _judge(self, batch: pa.RecordBatch) -> tuple[pa.BooleanArray, list[Rule]]:
        return judged(self.answers(batch), batch.num_rows)

    def open_rules(self, context: Context) -> RuleFunction | None:
        def rule_of(batch: pa.RecordBatch) -> pa.StringArray:
            first = np.full(batch.num_rows, -1, np.int32)
            names = []
            for place, answer in enumerate(self.answers(batch)):
                names.append(answer[0])
                first[(first < 0) & ~answer[1]] = place
            return pa.array(names, pa.string()).take(column_of(first, first < 0))

        return rule_of


KEY_FIELDS = (pa.field("key", pa.uint64()), pa.field("shard", pa.int32()), pa.field("row", pa.int64()))
"""Columns that every key table starts with: what to group by, and the document (shard, row) it belongs to."""


class Ordered(Step):
    """One pass in document order within a partition of shards; partitions run in parallel, each one sequentially."""

    partitions: int
    """Shard i belongs to partition i % partitions. Part of the configuration, independent of the number of workers."""

    @abstractmethod
    def measure(self, context: Context) -> Callable[[pa.RecordBatch], int]:
        """A function whose sum over a partition is passed to `begin` (such as the number of n-grams). May be 0."""

    def holds(self, total: int) -> int:
        """Bytes of memory that a partition with this measure needs from `begin` until it is done."""
        return 0

    @abstractmethod
    def begin(self, context: Context, total: int, partition: int) -> MapFunction:
        """A function with state, called on the partition's batches in document order. Behaves like a Map's."""
