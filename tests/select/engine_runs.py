"""Runs steps through the engine, once in this process and once in four workers, and compares every byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.engine import SerialEngine
from dclm.core.record import Record
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.curate.step import Step
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files


def write_pool(root: Path, shards: Sequence[Sequence[dict[str, object]]]) -> Path:
    """JSONL files, one per shard; rows have `text` and the given fields."""
    root.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(shards):
        lines = [
            json.dumps({"id": f"{number}-{i}", "url": f"http://site{i % 5}.org/{number}/{i}", **row})
            for i, row in enumerate(rows)
        ]
        (root / f"shard-{number}.jsonl").write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return root


def run(steps: Sequence[Step], pool: Path, out: Path, workers: int = 1) -> tuple[Record, pa.Table]:
    """The record and all documents of the pool that `steps` keep."""
    bound = bind(Pipeline(name="test", steps=tuple(steps)))
    engine = SerialEngine() if workers == 1 else LocalEngine(workers)
    record = curate(bound, list_files([str(pool)]), out, CurateOptions(unit_bytes=0, shard_bytes=0), engine)
    return record, pa.concat_tables([pq.read_table(path) for path in sorted((out / "documents").iterdir())])


def run_twice(steps: Sequence[Step], pool: Path, work: Path) -> tuple[Record, pa.Table]:
    """Like `run`, after checking that a run in four workers gives the same files, byte for byte."""
    record, table = run(steps, pool, work / "one")
    run(steps, pool, work / "four", workers=4)
    files = sorted(p.relative_to(work / "one") for p in (work / "one").rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(work / "four") for p in (work / "four").rglob("*") if p.is_file())
    for name in files:
        if name.name != "record.json" and not name.name.startswith("."):
            assert (work / "one" / name).read_bytes() == (work / "four" / name).read_bytes(), name
    return record, table
