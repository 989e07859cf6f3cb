"""Small steps of every kind, and pools of text, for the engine's tests. Importable by worker processes."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.curate.global_step import Decision, Global, Round
from dclm.curate.pipeline import BoundPipeline, Pipeline
from dclm.curate.step import Context, Filter, FilterFunction, Map, MapFunction, Ordered, Step


@dataclasses.dataclass(frozen=True, kw_only=True)
class MinLength(Filter):
    name: ClassVar[str] = "min_length"
    characters: int

    def open(self, context: Context) -> FilterFunction:
        return lambda batch: pc.greater_equal(pc.utf8_length(batch.column("text")), self.characters)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edit(Map):
    """Removes the word "bad", drops texts that are then empty, rejects texts with "broken"."""

    name: ClassVar[str] = "edit"

    def open(self, context: Context) -> MapFunction:
        def run(batch: pa.RecordBatch) -> pa.RecordBatch:
            old = batch.column("text")
            text = pc.replace_substring(old, "bad", "")
            reject = pc.if_else(pc.match_substring(old, "broken"), "is broken", pa.scalar(None, pa.string()))
            batch = batch.set_column(batch.schema.get_field_index("text"), "text", text)
            batch = batch.append_column("_drop", pc.equal(text, ""))
            batch = batch.append_column("_reject", reject)
            return batch.append_column("_edits", pc.cast(pc.count_substring(old, "bad"), pa.int64()))

        return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class FirstOfLength(Global):
    """Keeps the first document of each length; with `verify`, only if the texts are also equal."""

    name: ClassVar[str] = "first_of_length"
    num_partitions: ClassVar[int] = 4
    verify: bool = False

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            key = pc.cast(pc.utf8_length(batch.column("text")), pa.uint64())
            return pa.RecordBatch.from_arrays([key, batch.column("_row")], names=["key", "row"])

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        key = keys.column("key").to_numpy()
        later = np.zeros(len(key), bool)
        later[1:] = key[1:] == key[:-1]
        return keys.filter(pa.array(later)).select(["shard", "row"])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        drops = pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")])
        if self.verify:
            rows = drops.append_column("even", pc.equal(pc.bit_wise_and(drops.column("row"), 1), 0))
            return Decision(drops=drops, then=Round(step=KeepOdd(), rows=[rows], finish=lambda d: d))
        return Decision(drops=drops, info={"dropped": drops.num_rows}, tables={"drops": [drops]})


@dataclasses.dataclass(frozen=True, kw_only=True)
class KeepOdd(Global):
    """The further round of `FirstOfLength(verify=True)`: only candidates in even rows are dropped after all."""

    name: ClassVar[str] = "keep_odd"
    num_partitions: ClassVar[int] = 2

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            assert batch.column("text").null_count == 0
            batch = batch.filter(batch.column("even"))
            key = pc.cast(batch.column("_row"), pa.uint64())
            return pa.RecordBatch.from_arrays([key, batch.column("_row")], names=["key", "row"])

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        return keys.select(["shard", "row"])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        return Decision(drops=pa.concat_tables(reduced).sort_by([("shard", "ascending"), ("row", "ascending")]))


@dataclasses.dataclass(frozen=True, kw_only=True)
class CutOfLength(FirstOfLength):
    """Cuts the first `bytes` bytes off every document but the first of each length, and drops those of length 7."""

    name: ClassVar[str] = "cut_of_length"
    bytes: int = 4

    def open(self, context: Context) -> MapFunction:
        def emit(batch: pa.RecordBatch) -> pa.RecordBatch:
            length = pc.binary_length(batch.column("text"))
            key = pc.cast(length, pa.uint64())
            end = pc.cast(pc.min_element_wise(length, self.bytes), pa.int64())
            return pa.RecordBatch.from_arrays([key, batch.column("_row"), end], names=["key", "row", "end"])

        return emit

    def reduce(self, keys: pa.Table) -> pa.Table:
        key = keys.column("key").to_numpy()
        later = np.zeros(len(key), bool)
        later[1:] = key[1:] == key[:-1]
        found = keys.filter(pa.array(later))
        zeros = pa.array(np.zeros(found.num_rows, np.int64))
        return found.append_column("start", zeros).select(["key", "shard", "row", "start", "end"])

    def decide(self, reduced: Iterable[pa.Table]) -> Decision:
        drops = [t.filter(pc.equal(t["key"], 7)).select(["shard", "row"]) for t in reduced]
        return Decision(drops=pa.concat_tables(drops), edits=reduced)


@dataclasses.dataclass(frozen=True, kw_only=True)
class SeenBefore(Ordered):
    """Drops texts that its partition has seen already."""

    name: ClassVar[str] = "seen_before"
    partitions: int = 2

    def measure(self, context: Context) -> Callable[[pa.RecordBatch], int]:
        return lambda batch: batch.num_rows

    def begin(self, context: Context, total: int, partition: int) -> MapFunction:
        seen: set[str] = set()

        def run(batch: pa.RecordBatch) -> pa.RecordBatch:
            drop = []
            for text in batch.column("text").to_pylist():
                drop.append(text in seen)
                seen.add(text)
            assert len(seen) <= total
            return batch.append_column("_drop", pa.array(drop, pa.bool_()))

        return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class KillOnce(Filter):
    """Kills its own process the first time it meets the text "kill me"; `marker` remembers that it did."""

    name: ClassVar[str] = "kill_once"
    marker: str

    def open(self, context: Context) -> FilterFunction:
        def run(batch: pa.RecordBatch) -> pa.BooleanArray:
            if "kill me" in batch.column("text").to_pylist() and not os.path.exists(self.marker):
                Path(self.marker).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return pa.array([True] * batch.num_rows, pa.bool_())

        return run


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fail(Filter):
    """A step with a bug."""

    name: ClassVar[str] = "fail"

    def open(self, context: Context) -> FilterFunction:
        def run(batch: pa.RecordBatch) -> pa.BooleanArray:
            if batch.num_rows:
                raise ZeroDivisionError("a bug")
            return pa.array([], pa.bool_())

        return run


def bound(*steps: Step) -> BoundPipeline:
    return BoundPipeline(pipeline=Pipeline(name="test", steps=steps), files={}, hashes={})


def write_pool(root: Path, shards: list[list[str]]) -> Path:
    """JSONL files, one per shard, with the given texts."""
    root.mkdir(parents=True, exist_ok=True)
    for number, texts in enumerate(shards):
        lines = [
            json.dumps({"id": f"{number}-{i}", "url": f"http://x/{number}/{i}", "text": t}) for i, t in enumerate(texts)
        ]
        (root / f"shard-{number}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return root


def write_lines(root: Path) -> Path:
    """A pool of documents that share lines, or are near-copies of others; some are empty, or all equal."""
    draw = random.Random(3)
    words = ["red", "green", "blue", "grey", "old", "new"]
    lines = [" ".join(draw.choices(words, k=9)) for _ in range(30)] + ["WIN WIN WIN with cheap sunglasses"]
    shards = [["\n".join(draw.choices(lines, k=draw.randint(0, 5))) for _ in range(40)] for _ in range(3)]
    near = [f"{text}\nand {i} more" for i, text in enumerate(shards[0])]
    return write_pool(root, [*shards, [], near])
