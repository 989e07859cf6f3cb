"""Global steps that remove spans of documents."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from engine_steps import CutOfLength, Edit, MinLength, bound, write_pool
from test_engine_curate import data_files, run, texts

from dclm.dedup.serial import apply, decide
from dclm.engine.local import LocalEngine

SHARDS = [["bad one", "abcde", "", "only"], [], ["fghij", "bad two", "stay", "tail "], ["      ", "bad 333", "äöb"]]


def kept(out: Path) -> list[list[str]]:
    return [pq.read_table(p).column("text").to_pylist() for p in sorted((out / "documents").iterdir())]


def test_edits_are_done_counted_and_seen_by_the_steps_after(tmp_path: Path) -> None:
    record = run(bound(CutOfLength(), MinLength(characters=1)), write_pool(tmp_path / "pool", SHARDS), tmp_path / "out")
    # in bytes: the second of length 4 goes whole, later ones of length 5 keep one, later ones of length 7 are dropped
    assert kept(tmp_path / "out") == [["bad one", "abcde", "only"], [], ["j"], ["      ", "b"]]
    ledger = [pq.read_table(p).column("step").to_pylist() for p in sorted((tmp_path / "out" / "ledger").iterdir())]
    assert ledger == [
        [None, None, "min_length", None],
        [],
        [None, "cut_of_length", "cut_of_length", "cut_of_length"],
        [None, "cut_of_length", None],
    ]
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    cut, after = steps[1], steps[2]
    assert (cut["documents_in"], cut["dropped"], cut["edits"]) == (11, 4, 4)
    assert cut["bytes_out"] == after["bytes_in"] == len("bad oneabcdeonlyj      b")


def test_the_same_in_this_process(tmp_path: Path) -> None:
    run(bound(CutOfLength()), write_pool(tmp_path / "pool", SHARDS), tmp_path / "out")
    shards = [
        [pa.RecordBatch.from_pydict({"_row": pa.array(range(len(t)), pa.int64()), "text": pa.array(t, pa.string())})]
        for t in SHARDS
    ]
    left = apply(decide(CutOfLength(), shards), shards)
    found = [[t for batch in shard for t in batch.column("text").to_pylist()] for shard in left]
    assert found == kept(tmp_path / "out")


def test_edits_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(12))
    pipeline = bound(CutOfLength(), Edit(), CutOfLength(bytes=2))
    assert data_files(run(pipeline, pool, tmp_path / "one")) == data_files(
        run(pipeline, pool, tmp_path / "two", LocalEngine(2))
    )
