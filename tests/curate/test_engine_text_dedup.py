"""Steps that compare parts of documents, through the engine: any number of workers, stopped after any unit of work."""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import pytest
from engine_steps import bound, write_pool
from test_engine_curate import data_files

from dclm.core.record import Record
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.storage import sha256_file
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.stage import curate
from dclm.curate.step import Step
from dclm.dedup.decontaminate.step import Decontaminate
from dclm.dedup.decontaminate.weighted_step import DecontaminateWeighted
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files

T = TypeVar("T")
R = TypeVar("R")


class Stopped(Exception):
    """The process ended."""


class StopsAfter(SerialEngine):
    """Ends the run after this many units."""

    def __init__(self, units: int) -> None:
        self._left = units

    def map(
        self, function: Callable[[T], R], units: Sequence[T], *, one_gpu_each: bool = False
    ) -> Iterator[tuple[int, R]]:
        for result in super().map(function, units):
            if self._left == 0:
                raise Stopped
            self._left -= 1
            yield result


def corpus(seed: int) -> list[list[str]]:
    """Shards of documents that share lines and runs of words; some are empty, short or all equal."""
    rng = random.Random(seed)
    lines = [" ".join(rng.choices(["red", "green", "blue", "grey", "old", "new"], k=9)) for _ in range(30)]
    shards = [["\n".join(rng.choices(lines, k=rng.randint(0, 5))) for _ in range(25)] for _ in range(3)]
    return [*shards, [], ["", " ", "red", lines[0], lines[0]]]


def pipeline(root: Path, steps: tuple[Step, ...]) -> BoundPipeline:
    items = root / "task.jsonl"
    items.write_text(json.dumps({"query": corpus(1)[4][3], "choices": ["blue"]}) + "\n")
    return BoundPipeline(
        pipeline=bound(*steps).pipeline, files={"task": str(items)}, hashes={"task": sha256_file(items)}
    )


def run(steps: BoundPipeline, pool: Path, out: Path, engine: Engine) -> Record:
    return curate(
        steps, list_files([str(pool)]), out, CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0), engine
    )


MASK = Decontaminate(items=("task",), ngram=4, action="mask")
STEPS: dict[str, tuple[Step, ...]] = {
    "line": (Exact(of="line", keep="smallest_hash", normalize="whitespace_and_lowercase"),),
    "substring": (Substring(min_tokens=12),),
    "decontaminate": (MASK,),
    "weighted": (DecontaminateWeighted(items=("task",), ngram=2, min_overlap=0.6, min_weight=0.1, action="mask"),),
    "carry": (
        Exact(keep="longest", normalize="whitespace_and_lowercase", carry=("size",)),
        MinHash(bands=9, rows=2, ngram=2, verify=0.3, keep="smallest_hash", carry=("size", "dates", "domains")),
    ),
    "all": (Exact(of="line"), Substring(min_tokens=5), MASK),
}


@pytest.mark.parametrize("name", STEPS)
def test_bytes_do_not_depend_on_workers_or_interruptions(name: str, tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", corpus(1))
    steps = pipeline(tmp_path, STEPS[name])
    calm = run(steps, pool, tmp_path / "calm", SerialEngine())
    assert calm.counts["kept"] != 0
    for units in (7, 14, 8):  # 5 of them hash the pool's files; finished units are not repeated
        with pytest.raises(Stopped):
            run(steps, pool, tmp_path / "stopped", StopsAfter(units))
    last = LocalEngine(2) if name == "all" else SerialEngine()  # starting processes takes longer than all the rest
    assert data_files(run(steps, pool, tmp_path / "stopped", last)) == data_files(calm)


def test_what_a_step_decided_stands_in_the_record(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", corpus(1))
    record = run(
        pipeline(tmp_path, (dataclasses.replace(MASK, action="drop"),)), pool, tmp_path / "out", SerialEngine()
    )
    decisions = record.counts["decisions"]
    assert isinstance(decisions, dict)
    report = decisions["0:decontaminate"]
    assert report["tasks"]["task"]["items"] == 1
    assert report["tasks"]["task"]["matched"] == 1
    assert report["documents"] == record.counts["dropped"] > 0
    assert any(f.path == "tables/00-decontaminate.contamination.parquet" for f in record.files)
