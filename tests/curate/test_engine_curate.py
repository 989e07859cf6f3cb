"""Curation through the engines: everything is counted, and only the recipe changes the bytes."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from engine_steps import Edit, Fail, FirstOfLength, KillOnce, MinLength, SeenBefore, bound, write_pool

from dclm.core.errors import DataError
from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.stage import curate
from dclm.engine.local import LocalEngine
from dclm.pool.files import list_files


def texts(seed: int, shards: int = 4, rows: int = 60) -> list[list[str]]:
    rng = random.Random(seed)
    words = ["good", "bad", "fine", "broken", "dull", "x" * 40]
    return [[" ".join(rng.choices(words, k=rng.randint(0, 6))) for _ in range(rows)] for _ in range(shards)]


FULL = bound(Edit(), MinLength(characters=4), FirstOfLength(), Edit(), SeenBefore(), MinLength(characters=5))


def run(
    pipeline: BoundPipeline,
    pool: Path,
    out: Path,
    engine: object | None = None,
    *,
    force: bool = False,
    **options: object,
) -> Record:
    settings = CurateOptions(**{"max_reject_fraction": 1.0, "unit_bytes": 0, "shard_bytes": 0, **options})  # type: ignore[arg-type]
    files, chosen = list_files([str(pool)]), engine or SerialEngine()
    return curate(pipeline, files, out, settings, chosen, force=force)  # type: ignore[arg-type]


def data_files(record: Record) -> dict[str, str]:
    return {f.path: f.sha256 for f in record.files}


def test_every_record_is_in_the_ledger_once_in_order(tmp_path: Path) -> None:
    shards = texts(1)
    record = run(FULL, write_pool(tmp_path / "pool", shards), tmp_path / "out")
    counts = record.counts
    assert counts["read"] == sum(map(len, shards))
    for number, rows in enumerate(shards):
        ledger = pq.read_table(tmp_path / "out" / "ledger" / f"{number:05d}.parquet").to_pylist()
        assert [r["id"] for r in ledger] == [f"{number}-{i}" for i in range(len(rows))]
        kept = pq.read_table(tmp_path / "out" / "documents" / f"{number:05d}.parquet").column("id").to_pylist()
        assert kept == [r["id"] for r in ledger if r["step"] is None]
        for row, text in zip(ledger, rows, strict=True):
            assert (row["reason"] == "is broken") == ("broken" in text)
    assert not list((tmp_path / "out").glob(".*"))


def test_decisions_of_global_and_ordered_steps(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["aaaa", "bbbb", "cc"], ["dd", "eeeee"], ["aaaa", "fffff", "g"]])
    run(bound(FirstOfLength()), pool, tmp_path / "first")
    steps = [pq.read_table(p).column("step").to_pylist() for p in sorted((tmp_path / "first" / "ledger").iterdir())]
    assert steps == [
        [None, "first_of_length", None],
        ["first_of_length", None],
        ["first_of_length", "first_of_length", None],
    ]
    run(bound(SeenBefore(partitions=2)), pool, tmp_path / "seen")  # shards 0 and 2 are one partition
    steps = [pq.read_table(p).column("step").to_pylist() for p in sorted((tmp_path / "seen" / "ledger").iterdir())]
    assert steps == [[None, None, None], [None, None], ["seen_before", None, None]]


def test_a_decision_can_ask_for_another_round(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["aaaa", "bbbb", "cccc"], ["dddd", "eeee"]])
    run(bound(FirstOfLength(verify=True)), pool, tmp_path / "out")
    steps = [pq.read_table(p).column("step").to_pylist() for p in sorted((tmp_path / "out" / "ledger").iterdir())]
    assert steps == [[None, None, "first_of_length"], ["first_of_length", None]]


def test_bytes_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(2))
    one = run(FULL, pool, tmp_path / "one")
    four = run(FULL, pool, tmp_path / "four", LocalEngine(4))
    assert data_files(one) == data_files(four)
    assert one.fingerprint == four.fingerprint
    assert one.counts == four.counts


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_engine(tmp_path: Path) -> None:
    from dclm.engine import open_engine

    pool = write_pool(tmp_path / "pool", texts(3))
    local = run(FULL, pool, tmp_path / "local")
    with open_engine("ray", 2) as engine:
        ray = run(FULL, pool, tmp_path / "ray", engine)
        with pytest.raises(DataError, match="no such file"):
            list(engine.map(_missing, [1]))
    assert data_files(local) == data_files(ray)


def _missing(unit: int) -> None:
    raise DataError("x", "no such file")


def test_a_worker_that_dies_is_replaced_and_the_bytes_are_the_same(tmp_path: Path) -> None:
    shards = texts(4)
    shards[2][7] = "kill me"
    pool = write_pool(tmp_path / "pool", shards)
    calm = tmp_path / "calm"
    calm.touch()
    undisturbed = run(bound(KillOnce(marker=str(calm))), pool, tmp_path / "one")
    killed = run(bound(KillOnce(marker=str(tmp_path / "marker"))), pool, tmp_path / "two", LocalEngine(2))
    assert (tmp_path / "marker").exists()
    assert data_files(undisturbed) == data_files(killed)


def test_finished_units_are_reused_after_a_failure(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(5))
    with pytest.raises(ZeroDivisionError) as caught:
        run(bound(Edit(), FirstOfLength(), Fail()), pool, tmp_path / "out")
    assert "in step 2 (fail), rows 0-" in "".join(caught.value.__notes__)
    assert "shard 0" in "".join(caught.value.__notes__)
    assert not (tmp_path / "out" / "record.json").exists()
    first = sorted((tmp_path / "out" / ".work" / "segment-0").glob("*/*.documents.parquet"))
    assert len(first) == 4
    before = [p.stat().st_mtime_ns for p in first]
    with pytest.raises(ZeroDivisionError):
        run(bound(Edit(), FirstOfLength(), Fail()), pool, tmp_path / "out")
    assert [p.stat().st_mtime_ns for p in first] == before


@pytest.mark.parametrize("verify", [False, True])
def test_an_unfinished_run_goes_on_with_more_files_and_with_as_many_again(tmp_path: Path, verify: bool) -> None:
    """The output of units is deleted once a decision is final; if another decision is needed, it is made again."""
    pool = write_pool(tmp_path / "pool", texts(5))
    step = FirstOfLength(verify=verify)
    before = run(bound(Edit(), step), pool, tmp_path / "before")
    more = pool / "shard-9.jsonl"

    def fail() -> None:
        with pytest.raises(ZeroDivisionError):
            run(bound(Edit(), step, Fail()), pool, tmp_path / "out", force=True)

    fail()
    more.write_text(json.dumps({"id": "new", "text": "y" * 50}) + "\n")
    fail()
    after = run(bound(Edit(), step), pool, tmp_path / "after")
    assert data_files(run(bound(Edit(), step), pool, tmp_path / "out")) == data_files(after) != data_files(before)
    fail()
    with pytest.raises(ZeroDivisionError):
        run(bound(Edit(), FirstOfLength(verify=not verify), Fail()), pool, tmp_path / "out")
    fail()
    more.unlink()
    fail()
    assert data_files(run(bound(Edit(), step), pool, tmp_path / "out")) == data_files(before)


def test_a_finished_artifact_is_reused_and_a_changed_one_is_not(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(6))
    first = run(bound(MinLength(characters=4)), pool, tmp_path / "out")
    stamp = (tmp_path / "out" / "record.json").stat().st_mtime_ns
    assert run(bound(MinLength(characters=4)), pool, tmp_path / "out") == first
    assert (tmp_path / "out" / "record.json").stat().st_mtime_ns == stamp
    changed = run(bound(MinLength(characters=9)), pool, tmp_path / "out", force=True)
    assert changed.fingerprint != first.fingerprint
    assert changed.counts["kept"] != first.counts["kept"]
    (pool / "shard-1.jsonl").write_text(json.dumps({"id": "new", "text": "y" * 50}) + "\n")
    more = run(bound(MinLength(characters=9)), pool, tmp_path / "out", force=True)
    assert more.counts["read"] != first.counts["read"]


def test_what_a_run_killed_after_its_record_left_behind_goes_with_the_next(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(1))
    first = run(bound(MinLength(characters=4)), pool, tmp_path / "out")
    (tmp_path / "out" / ".work" / "segment-0" / "0123456789abcdef").mkdir(parents=True)
    assert run(bound(MinLength(characters=4)), pool, tmp_path / "out") == first
    assert not (tmp_path / "out" / ".work").exists()


def test_a_pool_renamed_or_moved_gives_the_same_bytes(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(7))
    moved = write_pool(tmp_path / "elsewhere" / "else", texts(7))
    assert data_files(run(FULL, pool, tmp_path / "a")) == data_files(run(FULL, moved, tmp_path / "b"))


def test_the_limit_is_the_number_of_records_read(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(8, shards=4, rows=10))
    assert run(FULL, pool, tmp_path / "out", limit=7).counts["read"] == 7


def test_too_many_rejects_are_an_error_that_leaves_no_artifact(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["broken", "broken", "fine"]])
    with pytest.raises(DataError, match="2 of 3 records were rejected") as caught:
        run(bound(Edit()), pool, tmp_path / "out", max_reject_fraction=0.5)
    assert "is broken" in str(caught.value)
    assert len(str(caught.value).splitlines()) <= 3
    assert not (tmp_path / "out" / "record.json").exists()


def test_an_empty_pool_is_an_error(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [[]])
    with pytest.raises(DataError, match="no records"):
        run(bound(Edit()), pool, tmp_path / "out")


def test_an_empty_shard_has_the_same_schema_as_the_others(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["fine and good"], []])
    run(FULL, pool, tmp_path / "out")
    schemas = {str(pq.read_schema(p)) for p in (tmp_path / "out" / "documents").iterdir()}
    assert len(schemas) == 1


def test_counts_of_each_step_add_up(tmp_path: Path) -> None:
    record = run(FULL, write_pool(tmp_path / "pool", texts(9)), tmp_path / "out")
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    assert [s["step"] for s in steps] == [
        "read",
        "edit",
        "min_length",
        "first_of_length",
        "edit",
        "seen_before",
        "min_length",
    ]
    for before, after in itertools.pairwise(steps):
        assert before["documents_in"] - before["dropped"] - before["rejected"] == after["documents_in"]
        assert before["bytes_out"] == after["bytes_in"]
    assert steps[1]["edits"] > 0


def test_units_of_a_failed_run_are_not_reused_when_the_next_step_has_changed(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", texts(10))
    clean = run(bound(Edit(), SeenBefore(partitions=2)), pool, tmp_path / "clean")
    with pytest.raises(ZeroDivisionError):
        run(bound(Edit(), FirstOfLength(), Fail()), pool, tmp_path / "out")
    assert data_files(run(bound(Edit(), SeenBefore(partitions=2)), pool, tmp_path / "out")) == data_files(clean)
    shorter = run(bound(Edit()), pool, tmp_path / "shorter")
    with pytest.raises(ZeroDivisionError):
        run(bound(Edit(), FirstOfLength(), Fail()), pool, tmp_path / "again")
    assert data_files(run(bound(Edit()), pool, tmp_path / "again")) == data_files(shorter)


def test_the_same_step_twice_keeps_its_two_places(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["fine fine", "bad", "fine fine fine", "baad bad"]])
    record = run(bound(Edit(), FirstOfLength(), Edit()), pool, tmp_path / "out")
    steps = record.counts["steps"]
    assert isinstance(steps, list)
    assert [s["index"] for s in steps] == [-1, 0, 1, 2]


def test_an_artifact_with_an_empty_shard_can_be_curated_again(tmp_path: Path) -> None:
    pool = write_pool(tmp_path / "pool", [["fine and good"], ["no"]])
    run(bound(MinLength(characters=5)), pool, tmp_path / "first")
    record = run(bound(Edit()), tmp_path / "first", tmp_path / "second")
    assert record.missing == ()
    assert record.counts["read"] == 1
    assert run(bound(Edit()), tmp_path / "first", tmp_path / "third", limit=1).counts["read"] == 1
