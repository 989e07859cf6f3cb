"""Indexes in an object store and on Ray: the bytes of a disk, after kills too; and indexes that were damaged."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from test_engine_index import against, index, planted, run, write
from test_engine_text_dedup import Stopped, StopsAfter

from dclm.cli.main import main
from dclm.core.errors import DataError, DclmError
from dclm.core.stages.engine import Engine, SerialEngine
from dclm.core.stores.store import open_store, put
from dclm.curate.indexes.index import build_index
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind
from dclm.curate.stage import curate
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.index.indexed import Indexed
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from dclm.engine import open_engine
from dclm.pool.files import list_files
from dclm.recipe.verify.run import verify

NEAR = MinHash(bands=30, rows=4, verify=0.7)
STEPS: list[Indexed] = [Exact(), NEAR, Substring(min_tokens=8), Bloom(mode="document", fp_rate=1e-3)]


def run_at(step: Indexed, pool: str, out: str, engine: Engine | None = None) -> dict[str, str]:
    """Path → hash of each file of the documents that are left, at any address."""
    options = CurateOptions(max_reject_fraction=1.0)
    bound = bind(Pipeline(name="test", steps=(step,)))
    record = curate(bound, list_files([pool]), out, options, engine or SerialEngine())
    return {file.path: file.sha256 for file in record.files}


def uploaded(pool: Path, address: str) -> str:
    for path in sorted(pool.iterdir()):
        put(f"{address}/{path.name}", path.read_bytes())
    return address


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_an_index_in_a_store_is_that_on_a_disk(step: Indexed, s3: str, tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", planted(1, 24), 2), write(tmp_path / "b", planted(1, 12) + planted(2, 12), 2)
    room = 5000 if isinstance(step, Bloom) else None
    here = build_index(step, list_files([str(a)]), str(tmp_path / "index"), SerialEngine(), room=room)
    remote_a, remote_b = uploaded(a, f"{s3}/a"), uploaded(b, f"{s3}/b")
    with pytest.raises(Stopped):
        build_index(step, list_files([remote_a]), f"{s3}/index", StopsAfter(0), room=room)
    there = build_index(step, list_files([remote_a]), f"{s3}/index", SerialEngine(), room=room)
    assert there.files == here.files
    stored = set(open_store(f"{s3}/index").list())
    assert stored == {"record.json", *(file.path for file in there.files)}  # no work, no lease
    expected = run_at(against(step, tmp_path / "index"), str(b), str(tmp_path / "out"))
    known = against(step, f"{s3}/index")  # type: ignore[arg-type]
    assert run_at(known, remote_b, f"{s3}/out") == expected
    both = build_index(step, list_files([str(b)]), str(tmp_path / "both"), SerialEngine(), include=[f"{s3}/index"])
    added = build_index(step, list_files([remote_b]), f"{s3}/both", SerialEngine(), include=[str(tmp_path / "index")])
    assert added.files == both.files


def test_an_index_that_is_stopped_anywhere_in_a_store_continues(s3: str, tmp_path: Path) -> None:
    pool = write(tmp_path / "a", planted(1, 24), 3)
    calm = build_index(NEAR, list_files([str(pool)]), str(tmp_path / "calm"), SerialEngine())
    stops = 0
    while True:
        try:
            found = build_index(NEAR, list_files([str(pool)]), f"{s3}/index", StopsAfter(5))
            break
        except Stopped:
            stops += 1
    assert stops >= 2
    assert found.files == calm.files


@pytest.mark.slow
def test_ray_makes_and_reads_the_same_index(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a", planted(1, 24), 3), write(tmp_path / "b", planted(1, 12) + planted(2, 12), 2)
    here = index(NEAR, a, tmp_path / "one")
    expected = run_at(against(NEAR, tmp_path / "one"), str(b), str(tmp_path / "out-one"))
    with open_engine("ray", 2) as engine:
        assert index(NEAR, a, tmp_path / "ray", engine).files == here.files
        assert run_at(against(NEAR, tmp_path / "ray"), str(b), str(tmp_path / "out-ray"), engine) == expected


def result_or_error(step: Indexed, pool: str, out: str) -> dict[str, str] | str:
    """What `run_at` gives, or what its error says."""
    try:
        return run_at(step, pool, out)
    except DclmError as error:
        return str(error)


def flipped(path: Path, draw: random.Random) -> None:
    data = bytearray(path.read_bytes())
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    path.unlink()  # it may share its bytes with another file
    path.write_bytes(data)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_flipped_bit_is_refused_by_name_or_changes_nothing(step: Indexed, tmp_path: Path) -> None:
    """Whichever bit it is. A bit that no search reads, such as one of padding, changes nothing."""
    b = write(tmp_path / "b", planted(1, 12) + planted(2, 8))
    index(step, write(tmp_path / "a", planted(1, 24)), tmp_path / "index")
    expected = run_at(against(step, tmp_path / "index"), str(b), str(tmp_path / "calm"))
    draw = random.Random(step.name)
    refused = 0
    for number in range(10):
        shutil.rmtree(tmp_path / "hurt", ignore_errors=True)
        shutil.copytree(tmp_path / "index", tmp_path / "hurt")
        files = sorted(path for path in (tmp_path / "hurt").rglob("*") if path.suffix in (".arrow", ".bin"))
        victim = draw.choices(files, [path.stat().st_size for path in files])[0]
        flipped(victim, draw)
        found = result_or_error(against(step, tmp_path / "hurt"), str(b), str(tmp_path / f"out-{number}"))
        if isinstance(found, str):
            refused += 1
            assert victim.name.removesuffix(".arrow").removesuffix(".blocks") in found
        else:
            assert found == expected
    assert refused >= 2


def test_no_flipped_bit_of_a_key_is_missed(tmp_path: Path) -> None:
    """Every bit of the keys of a partition, in a lookup of every key."""
    from dclm.dedup.index.relation import Relation

    index(Exact(), write(tmp_path / "a", [f"text {n}" for n in range(40)]), tmp_path / "index")
    path = tmp_path / "index" / "keys" / "0000" / "values" / "0003.arrow"
    whole = path.read_bytes()
    (table,) = [t.table for t in Relation([str(tmp_path / "index")], "values")._tables_at(str(path))]
    keys = table.column("key").to_numpy().copy()
    checks = table.column("check").to_numpy().copy()
    assert len(keys) > 1
    for values in (keys, checks):
        start = whole.index(values.tobytes())
        for bit in range(0, 8 * values.nbytes, 5):
            hurt = bytearray(whole)
            hurt[start + bit // 8] ^= 1 << bit % 8
            path.unlink()
            path.write_bytes(hurt)
            with pytest.raises(DataError, match=r"0003\.arrow"):
                Relation([str(tmp_path / "index")], "values").holds(keys, checks)
    path.write_bytes(whole)
    assert Relation([str(tmp_path / "index")], "values").holds(keys, checks).all()


def test_verify_knows_indexes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    a, b = write(tmp_path / "a", planted(1, 12)), write(tmp_path / "b", planted(2, 12))
    index(NEAR, a, tmp_path / "all" / "one")
    index(NEAR, b, tmp_path / "all" / "both", include=(tmp_path / "all" / "one",))
    assert not verify(str(tmp_path / "all")).findings
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(tmp_path / "all")])
    assert ended.value.code == 0
    assert "everything is unchanged" in capsys.readouterr().out
    (a / "00.jsonl").write_text("", encoding="utf-8")
    assert [(kind, what[:5]) for kind, _, what in verify(str(tmp_path / "all")).findings] == [("differs", "found")]
    victim = tmp_path / "all" / "both" / "keys" / "0001" / "bands" / "0003.arrow"
    flipped(victim, random.Random(1))
    assert "both/keys/0001/bands/0003.arrow" in [where for _, where, _ in verify(str(tmp_path / "all")).findings]


def test_documents_that_differ_from_their_record_are_not_indexed(tmp_path: Path) -> None:
    run(Exact(), [write(tmp_path / "pool", ["one", "two"])], tmp_path / "documents")
    (file,) = (tmp_path / "documents" / "documents").iterdir()
    pq.write_table(pq.read_table(file).slice(1), file)
    with pytest.raises(DataError, match="which differs from record"):
        index(Exact(), tmp_path / "documents", tmp_path / "index")
