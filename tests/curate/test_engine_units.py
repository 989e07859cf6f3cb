"""Units of even size in the engine: small files combined, large ones divided, shards of even size at the end."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_steps import Edit, Fail, FirstOfLength, MinLength, bound

from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.output.places import Places
from dclm.curate.pipeline import BoundPipeline
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.documents.artifact import Artifact
from dclm.documents.duplicates import largest_clusters, members, tables_of
from dclm.documents.why import fates
from dclm.engine.local import LocalEngine
from dclm.extract.step import Extract
from dclm.pool.files import list_files

WORDS = [f"w{i}" for i in range(200)]


def lines(draw: random.Random, name: str, count: int) -> bytes:
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(1, 60))) for _ in range(count)]
    texts[1::9] = [texts[0] + " bad"] * len(texts[1::9])
    return b"".join(json.dumps({"id": f"{name}-{i}", "text": t}).encode() + b"\n" for i, t in enumerate(texts))


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A large file between many small ones, one of which is compressed."""
    root = tmp_path_factory.mktemp("pool")
    draw = random.Random(0)
    for number in range(12):
        (root / f"a{number:02d}.jsonl").write_bytes(lines(draw, f"a{number}", 3))
    (root / "b.jsonl").write_bytes(lines(draw, "b", 400))
    (root / "c.jsonl.gz").write_bytes(gzip.compress(lines(draw, "c", 100), compresslevel=0, mtime=0))
    table = pa.table({"text": [f"text {i} of a table" for i in range(50)]})
    pq.write_table(table, root / "d.parquet", row_group_size=5)
    return root


PIPELINE = bound(Edit(), Exact(), MinHash(ngram=3, bands=20, rows=2, verify=0.4), MinLength(characters=5))


def run(pool: Path, out: Path, pipeline: BoundPipeline = PIPELINE, workers: int = 1, **options: object) -> Record:
    engine = SerialEngine() if workers == 1 else LocalEngine(workers)
    settings = CurateOptions(**options)  # type: ignore[arg-type]
    return curate(pipeline, list_files([str(pool)]), out, settings, engine)


def told(out: Path) -> list[dict[str, object]]:
    """The ledger, with the kept document of each duplicate by name."""
    artifact = Artifact(out)
    rows = [row for path in artifact.files("ledger") for row in pq.read_table(path).to_pylist()]
    for row in rows:
        shard, place = row.pop("kept_shard"), row.pop("kept_row")
        row["kept_id"] = None if shard is None else artifact.record_at(shard, place)[0]
    return rows


def documents(out: Path) -> list[dict[str, object]]:
    return [row for path in Artifact(out).files("documents") for row in pq.read_table(path).to_pylist()]


@pytest.mark.slow
def test_decisions_do_not_depend_on_how_the_pool_is_cut(pool: Path, tmp_path: Path) -> None:
    """Nor do the ledger's entries for each record, or the document that each duplicate names."""
    run(pool, tmp_path / "files", unit_bytes=0, shard_bytes=0)
    expected = told(tmp_path / "files")
    assert len({row["source"] for row in expected}) == len(expected) == 12 * 3 + 400 + 100 + 50
    assert sum(row["kept_id"] is not None for row in expected) > 30
    for units, shards in ((None, None), (3000, 9000), (3000, 0), (40_000, 2000), (500, 1 << 30)):
        out = tmp_path / f"{units}-{shards}"
        run(pool, out, unit_bytes=units, shard_bytes=shards)
        assert told(out) == expected
        assert documents(out) == documents(tmp_path / "files")


def test_clusters_name_their_members_by_place_and_the_pool_has_their_texts(pool: Path, tmp_path: Path) -> None:
    seen = []
    for name, options in (("files", {"unit_bytes": 0, "shard_bytes": 0}), ("even", {"unit_bytes": 3000})):
        run(pool, tmp_path / name, bound(MinHash(ngram=3, bands=20, rows=2, verify=0.4)), **options)
        stem = tables_of(tmp_path / name, None)
        (largest,) = largest_clusters(stem, 1)
        found = members(tmp_path / name, stem, largest.number, 99, list_files([str(pool)]))
        seen.append([(m.id, m.kept, m.jaccard, m.text) for m in found])
        assert all(m.text for m in found)
    assert seen[0] == seen[1]
    assert len(seen[0]) > 30


@pytest.mark.slow
def test_bytes_do_not_depend_on_the_workers(pool: Path, tmp_path: Path) -> None:
    one = run(pool, tmp_path / "one", unit_bytes=3000, shard_bytes=9000)
    three = run(pool, tmp_path / "three", unit_bytes=3000, shard_bytes=9000, workers=3)
    assert one.files == three.files
    assert one.counts == three.counts
    assert one.fingerprint == three.fingerprint


def test_shards_of_the_artifact_are_of_even_size(pool: Path, tmp_path: Path) -> None:
    record = run(pool, tmp_path / "out", bound(Edit()), unit_bytes=2000, shard_bytes=6000)
    sizes = [f.bytes for f in record.files if f.path.startswith("documents/")]
    assert len(sizes) > 3
    assert max(sizes) <= 6000
    small = run(pool, tmp_path / "small", bound(Edit()))
    assert [f.path for f in small.files] == [
        f"{kind}/00000.parquet" for kind in ("documents", "ledger", "quantities", "samples")
    ]


def test_what_a_failed_run_did_of_a_large_file_is_not_done_again(pool: Path, tmp_path: Path) -> None:
    """Its parts are separate units: all but the failed one are finished."""
    pipeline = bound(Edit(), FirstOfLength(), Fail())
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            run(pool / "b.jsonl", tmp_path / "out", pipeline, unit_bytes=2000)
    units = list((tmp_path / "out" / ".work" / "segment-0").glob("*/*.documents.parquet"))
    assert len(units) == (pool / "b.jsonl").stat().st_size // 2000
    assert len({path.stat().st_mtime_ns for path in units}) > 1


def test_an_archive_cut_within_a_page_that_shows_archives_is_read_whole(tmp_path: Path) -> None:
    def record(number: int, body: bytes) -> bytes:
        block = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n" + body
        head = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Record-ID: <urn:uuid:{number}>\r\n"
        head += f"WARC-Target-URI: http://x/{number}\r\nWARC-Date: 2024-01-01T00:00:00Z\r\n"
        return (
            f"{head}Content-Type: application/http\r\nContent-Length: {len(block)}\r\n\r\n".encode()
            + block
            + b"\r\n\r\n"
        )

    def pages(within: bytes) -> bytes:
        shown = b"".join(record(n, b"<p>of another archive</p>" + bytes(20)) for n in range(50, 60))
        return b"".join(record(n, b"<p>page</p><pre>\r\n\r\n" + within + shown + b"</pre>") for n in range(5))

    (tmp_path / "a.warc").write_bytes(pages(b""))
    pipeline = bound(Extract())
    whole = run(tmp_path / "a.warc", tmp_path / "whole", pipeline, unit_bytes=0)
    cut = run(tmp_path / "a.warc", tmp_path / "cut", pipeline, unit_bytes=1000, shard_bytes=1 << 30)
    assert told(tmp_path / "whole") == told(tmp_path / "cut")
    assert whole.missing == cut.missing
    assert [f.rows for f in cut.files] == [f.rows for f in whole.files]


def test_documents_are_found_in_their_new_places() -> None:
    places = Places.of([range(2), range(2, 3)], [3, 4, 5])
    table = pa.table({"shard": pa.array([0, 1, 2, None], pa.int32()), "row": pa.array([2, 0, 1, None], pa.int64())})
    moved = places.of_tables(table)
    assert moved.to_pydict() == {"shard": [0, 0, 1, None], "row": [2, 3, 1, None]}
    assert moved.schema == table.schema
    assert Places().of_tables(table) is table


def test_why_tells_of_merged_shards(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", unit_bytes=3000)
    (fate,) = fates(tmp_path / "out", "c-10")
    assert fate.outcome == "dropped by exact"
    assert fate.kept_id == "c-1"
