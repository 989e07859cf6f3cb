"""Documents exported as WARC: readable by independent readers, reproducible, and faithful to the artifact."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from fastwarc.warc import ArchiveIterator as FastIterator
from warcio.archiveiterator import ArchiveIterator

from dclm.cli.main import main
from dclm.core.record import read_record
from dclm.pool.check import check_archive
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample

PIPELINE = "name: p\nsteps:\n  - extract: {with: resiliparse}\n  - page_length: {of: char, min: 200}\n"


def curated(folder: Path, pool: Path, *more: str) -> Path:
    pipeline = folder / "p.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    main(["curate", str(pipeline), "--pool", str(pool), "--out", str(folder / "docs"), *more])
    return folder / "docs"


def published(artifact: Path, to: Path, *more: str) -> list[Path]:
    main(["publish", "documents", str(artifact), "--as", "warc", "--to", str(to), *more])
    return sorted((to / "warc").iterdir())


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("publish")
    crawl = make_sample(folder / "crawl", documents=120, files=2)
    return curated(folder, crawl, "--allow-incomplete")


def test_the_kept_pages_come_back_as_conversion_records(artifact: Path, tmp_path: Path) -> None:
    files = published(artifact, tmp_path / "out", "--allow-incomplete")
    kept = read_record(artifact).counts["kept"]
    seen = {}
    for path in files:
        with path.open("rb") as stream:
            records = list(FastIterator(stream))
            assert records[0].headers["WARC-Type"] == "warcinfo"
            assert all(record.headers["WARC-Type"] == "conversion" for record in records[1:])
        with path.open("rb") as stream:
            for record in ArchiveIterator(stream, check_digests="raise"):
                if record.rec_type == "conversion":
                    text = record.raw_stream.read().decode()
                    header = record.rec_headers.get_header
                    seen[header("WARC-Refers-To")] = (header("WARC-Target-URI"), header("WARC-Date"), text)
    assert len(seen) == kept
    again = curated(tmp_path, tmp_path / "out")
    rows = [row for path in sorted((artifact / "documents").iterdir()) for row in pq_rows(path)]
    assert seen == {f"<urn:uuid:{r['id']}>": (r["url"], r["date"], r["text"]) for r in rows}
    texts = [row["text"] for path in sorted((again / "documents").iterdir()) for row in pq_rows(path)]
    assert texts == [row["text"] for row in rows]


def pq_rows(path: Path) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = pq.read_table(path).to_pylist()
    return rows


def test_the_same_artifact_gives_the_same_bytes_and_both_readers_agree(artifact: Path, tmp_path: Path) -> None:
    one = published(artifact, tmp_path / "one", "--allow-incomplete")
    other = published(artifact, tmp_path / "other", "--allow-incomplete")
    assert [path.read_bytes() for path in one] == [path.read_bytes() for path in other]
    times = [path.stat().st_mtime_ns for path in one]
    assert [path.stat().st_mtime_ns for path in published(artifact, tmp_path / "one", "--allow-incomplete")] == times
    for file in list_files([str(tmp_path / "one")]):
        found = check_archive(file)
        assert found.problems == ()
        assert found.digests == 2 * found.records - 1  # the warcinfo record has only the block's


def test_documents_of_other_sources_refer_to_no_page_and_break_no_header(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": "x " * 200, "url": "http://a.example/\r\nWARC-Type: response", "date": "2024-05-01T10:00:00+02:00"},
        {"text": "y " * 200, "id": "my-id", "date": "yesterday"},
        {"text": "z ü " * 200, "id": "my-id", "url": "http://bücher.example/ä b"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    (path,) = published(curated(tmp_path, tmp_path / "in.jsonl"), tmp_path / "out")
    assert "3 of them do not refer to a page" in capsys.readouterr().err
    with path.open("rb") as stream:
        found = [r.rec_headers for r in ArchiveIterator(stream) if r.rec_type == "conversion"]
    assert len(found) == 3
    assert len({headers.get_header("WARC-Record-ID") for headers in found}) == 3
    assert [headers.get_header("WARC-Refers-To") for headers in found] == [None] * 3
    assert [headers.get_header("WARC-Target-URI") for headers in found] == [
        "http://a.example/%0D%0AWARC-Type:%20response", None, "http://bücher.example/ä%20b",
    ]  # fmt: skip
    assert [headers.get_header("WARC-Date") for headers in found] == [
        "2024-05-01T08:00:00Z", "1970-01-01T00:00:00Z", "1970-01-01T00:00:00Z",
    ]  # fmt: skip


def test_what_is_no_documents_artifact_or_is_incomplete_is_refused(artifact: Path, tmp_path: Path) -> None:
    for target, source, code in (("a", artifact.parent / "crawl", 2), ("b", artifact, 4)):
        with pytest.raises(SystemExit) as exit:
            main(["publish", "documents", str(source), "--as", "warc", "--to", str(tmp_path / target)])
        assert exit.value.code == code
    assert not (tmp_path / "a").exists()
    assert not (tmp_path / "b").exists()
