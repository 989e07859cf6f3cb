"""`dclm pool check`: a second reading of archives by warcio."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
from pathlib import Path

import pytest
import zstandard
from pool_archives import members, put, record, response
from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

from dclm.cli.main import main
from dclm.pool.archives import warc
from dclm.pool.check import check_archive
from dclm.pool.files import list_files


def by_warcio(count: int, packed: bool) -> bytes:
    """An archive written by warcio, with block and payload digests."""
    sink = io.BytesIO()
    writer = WARCWriter(sink, gzip=packed)
    writer.write_record(writer.create_warcinfo_record("a.warc", {"software": "test"}))
    for n in range(count):
        headers = StatusAndHeaders("200 OK", [("Content-Type", "text/html")], protocol="HTTP/1.1")
        payload = io.BytesIO(f"<p>page {n}</p>".encode())
        writer.write_record(
            writer.create_warc_record(f"http://a.example/{n}", "response", payload=payload, http_headers=headers)
        )
    return sink.getvalue()


@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("ending", [".warc", ".warc.gz", ".warc.zst"])
def test_sound_archives_agree_digests_included(tmp_path: Path, ending: str) -> None:
    data = by_warcio(5, packed=ending == ".warc.gz")
    found = check_archive(put(tmp_path / f"a{ending}", zstandard.compress(data) if ending == ".warc.zst" else data))
    assert (found.problems, found.records) == ((), 6)
    assert found.digests >= 10


def with_digest(number: int, name: str, data: bytes) -> bytes:
    digest = base64.b32encode(hashlib.sha1(data).digest())
    return record(number).replace(
        b"WARC-Date", b"WARC-" + name.encode() + b"-Digest: sha1:" + digest + b"\r\nWARC-Date"
    )


@pytest.mark.parametrize("name", ["Block", "Payload"])
def test_a_digest_of_something_else_is_said(tmp_path: Path, name: str) -> None:
    right = response(b"<p>page 1</p>") if name == "Block" else b"<p>page 1</p>"
    sound = check_archive(put(tmp_path / "a.warc.gz", members(record(0), with_digest(1, name, right))))
    assert (sound.problems, sound.digests) == ((), 1)
    (problem,) = check_archive(put(tmp_path / "b.warc.gz", members(record(0), with_digest(1, name, b"x")))).problems
    assert problem == f"warcio's record 2: its WARC-{name}-Digest does not match its content"


@pytest.mark.parametrize(
    "data",
    [
        record(0) + record(1, length=20) + record(2),
        record(0) + record(1, length=100) + record(2),
        b"".join(record(n) for n in range(3)).replace(b"\r\n", b"\n"),
        record(0) + b"junk\r\n" + record(1),
        members(record(0), record(1))[:-20],
    ],
)
def test_what_is_wrong_is_a_problem(tmp_path: Path, data: bytes) -> None:
    name = "a.warc.gz" if data[:2] == b"\x1f\x8b" else "a.warc"
    assert check_archive(put(tmp_path / name, data)).problems


def test_a_difference_between_the_readers_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = put(tmp_path / "a.warc", b"".join(record(n) for n in range(4)))
    read = warc.read_records
    monkeypatch.setattr(warc, "read_records", lambda *a: (r for r in read(*a) if "0003" not in (r.id or "")))
    (problem,) = check_archive(file).problems
    assert problem == "warcio's record 4 (response): not found by the other reader"
    monkeypatch.setattr(warc, "read_records", lambda *a: (r._replace(block=(r.block or b"")[1:]) for r in read(*a)))
    assert check_archive(file).problems[0] == "the record at byte 0: 56 bytes, but 57 according to warcio"


def test_the_command_prints_a_line_a_file_and_fails_where_something_is_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path / "a.warc.gz", gzip.compress(record(0)))
    main(["pool", "check", str(tmp_path)])
    assert "a.warc.gz\t1 records\t0 digests\tagree" in "".join(capsys.readouterr())
    put(tmp_path / "b.warc", record(0) + b"junk")
    with pytest.raises(SystemExit) as exit:
        main(["pool", "check", str(tmp_path)])
    assert exit.value.code == 3
    assert "b.warc" in "".join(capsys.readouterr())


@pytest.mark.shared
def test_the_real_crawl_agrees(shared: Path) -> None:
    found = check_archive(list_files([str(shared / "web/crawl-00005.warc.gz")])[0])
    assert found.problems == ()
    assert found.digests > 200
