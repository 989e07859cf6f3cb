"""Runs steps through the engine, once in this process and once in four workers, and compares every byte."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.core.record import Record
from dclm.core.stages.engine import Engine, SerialEngine
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


def run(
    steps: Sequence[Step], pool: Path, out: Path, workers: int = 1, engine: Engine | None = None
) -> tuple[Record, pa.Table]:
    """The record and all documents of the pool that `steps` keep."""
    bound = bind(Pipeline(name="test", steps=tuple(steps)))
    engine = engine or (SerialEngine() if workers == 1 else LocalEngine(workers))
    record = curate(bound, list_files([str(pool)]), out, CurateOptions(unit_bytes=0, shard_bytes=0), engine)
    return record, pa.concat_tables([pq.read_table(path) for path in sorted((out / "documents").iterdir())])


def run_twice(steps: Sequence[Step], pool: Path, work: Path) -> tuple[Record, pa.Table]:
    """Like `run`, after checking that a run in four workers gives the same files, byte for byte."""
    record, table = run(steps, pool, work / "one")
    run(steps, pool, work / "four", workers=4)
    assert artifact_bytes(work / "one") == artifact_bytes(work / "four")
    return record, table


def artifact_bytes(out: Path) -> dict[str, bytes]:
    """Path → content of every file of an artifact but its record, which states times."""
    files = [path for path in sorted(out.rglob("*")) if path.is_file()]
    kept = [path for path in files if path.name != "record.json" and not path.name.startswith(".")]
    return {str(path.relative_to(out)): path.read_bytes() for path in kept}
