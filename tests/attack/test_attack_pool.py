"""Pool files that cost far more than their size suggests: endless members, dictionaries, pages that hang."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hostile_models import run_limited

from dclm.curate.step import Context
from dclm.documents.schema import PAGE
from dclm.extract.budget import Budget
from dclm.extract.guard import Guard, KilledError
from dclm.extract.step import Extract
from dclm.pool.archives.gzip import Member
from dclm.pool.archives.http import MAX_MEMBERS, parse_response
from dclm.pool.streams import GuardedStream, unpacked

EMPTY = gzip.compress(b"")


def respond(body: bytes, *headers: str) -> bytes:
    return "\r\n".join(("HTTP/1.1 200 OK", *headers, "", "")).encode() + body


def fed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Collects the lengths of all data passed to zlib, each of which it may have to copy."""
    lengths: list[int] = []
    feed = Member.feed

    def counted(self: Member, data: memoryview, room: int) -> tuple[bytes, int]:
        lengths.append(min(len(data), self._slice))
        return feed(self, data, room)

    monkeypatch.setattr(Member, "feed", counted)
    return lengths


@pytest.mark.parametrize("count", [1_000, 60_000])
def test_empty_gzip_members_are_unpacked_in_linear_time(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = fed(monkeypatch)
    body = EMPTY * count + gzip.compress(b"<p>page")
    assert bytes(parse_response(respond(body, "Content-Encoding: gzip")).body or b"") == b"<p>page"
    assert sum(lengths) < 20 * len(body)
    assert b"".join(unpacked(GuardedStream(io.BytesIO(body), "a"), "a.gz", [])) == b"<p>page"


def test_more_members_than_any_server_sends_are_a_reject() -> None:
    found = parse_response(respond(EMPTY * 300_000, "Content-Encoding: gzip"))
    assert found.reject == f"more than {MAX_MEMBERS} gzip members"


def test_members_within_members_are_bounded_too() -> None:
    """A record of a few kilobytes: gzip of millions of empty members, with a header that names gzip twice."""
    block = respond(gzip.compress(EMPTY * 1_000_000), "Content-Encoding: gzip, gzip")
    assert len(block) < 100_000
    assert parse_response(block).reject == f"more than {MAX_MEMBERS} gzip members"


def test_headers_and_chunks_without_end_are_read_once() -> None:
    """400,000 fields of one name and a million chunks of a byte; checked by the time limit of the test."""
    fields = ["Content-Encoding: identity"] * 400_000
    assert parse_response(respond(b"<p>", *fields)).body == b"<p>"
    chunks = b"1\r\nx\r\n" * 1_000_000 + b"0\r\n\r\n"
    assert parse_response(respond(chunks, "Transfer-Encoding: chunked")).body == b"x" * 1_000_000


READ = """
import resource, sys
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
rows = sum(b.num_rows for b in read_file(list_files([sys.argv[1]])[0], Tally()))
print(rows, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) >> 10)
"""


@pytest.mark.parametrize("encoding", ["dictionary", "delta", "nested"])
def test_a_small_parquet_file_stays_small(encoding: str, tmp_path: Path) -> None:
    """1,000 rows of one text of 2.3 MB: 50 KB on disk, 2.3 GB if all rows are decoded at once."""
    text = "0123456789abcdef" * 144_000
    path = tmp_path / "bomb.parquet"
    options: dict[str, object] = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 24}
    column = pa.DictionaryArray.from_arrays(pa.array([0] * 1000, pa.int32()), pa.array([text]))
    table = pa.table({"text": column})
    if encoding == "delta":
        options |= {"use_dictionary": False, "column_encoding": {"text": "DELTA_BYTE_ARRAY"}}
        table = pa.table({"text": pa.array([text] * 300)})
    if encoding == "nested":
        urls = pa.StructArray.from_arrays([pa.array([text] * 300)], ["url"])
        table = pa.table({"text": ["page"] * 300, "metadata": urls})
    pq.write_table(table, path, **options)
    assert path.stat().st_size < 200_000
    done = run_limited(READ, str(path), memory=6 << 30, seconds=120)
    assert done.returncode == 0, done.stderr[-2000:]
    rows, grown = map(int, done.stdout.split())
    assert rows == table.num_rows
    assert grown < 1000, f"{grown} MiB"


def hanging_pages(urls: list[str], first: int = 0, file: str = "a.warc.gz") -> pa.RecordBatch:
    """Pages too long to be parsed outside the guard."""
    count = len(urls)
    columns = {
        "id": [f"i{n}" for n in range(count)],
        "url": urls,
        "date": [None] * count,
        "content_type": ["text/html"] * count,
        "source": [f"{file}#{n}" for n in range(first, first + count)],
        "body": [b"<p>" + b"x" * 600_000] * count,
        "_row": list(range(first, first + count)),
    }
    schema = pa.schema([*PAGE, pa.field("_row", pa.int64())])
    return pa.record_batch([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def test_pages_that_hang_have_a_budget_per_host_and_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """65 pages that time out: 3 per host and 8 per file are tried, and the next file starts afresh."""
    tried: list[str] = []

    def hang(self: Guard, html: str) -> str:
        tried.append(html)
        raise KilledError("timeout")

    monkeypatch.setattr(Guard, "extract", hang)
    run = Extract().open(Context())
    one_host = run(hanging_pages(["http://a.example/"] * 65)).column("_reject").to_pylist()
    assert one_host[:3] == ["timeout"] * 3
    assert one_host[3] == "not tried: 3 pages of this host in the file could not be parsed in time or memory"
    assert set(one_host[3:]) == {one_host[3]}
    urls = [f"http://{n}.example/" for n in range(65)]
    many = run(hanging_pages(urls, file="b.warc.gz")).column("_reject").to_pylist()
    assert many[:8] == ["timeout"] * 8
    assert set(many[8:]) == {"not tried: 8 pages of the file could not be parsed in time or memory"}
    assert len(tried) == 11
    assert run(hanging_pages(urls, first=65, file="b.warc.gz")).column("_reject").to_pylist()[0] == many[8]
    assert run(hanging_pages(urls, file="b.warc.gz")).column("_reject").to_pylist() == many


def test_the_budget_does_not_depend_on_how_pages_are_batched(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(self: Guard, html: str) -> str:
        raise KilledError("timeout")

    monkeypatch.setattr(Guard, "extract", hang)
    urls = [f"http://{n % 5}.example/" for n in range(30)]
    whole = Extract().open(Context())(hanging_pages(urls)).column("_reject").to_pylist()
    run = Extract().open(Context())
    parts = [run(hanging_pages(urls[n : n + 7], first=n)).column("_reject").to_pylist() for n in range(0, 30, 7)]
    assert [reason for part in parts for reason in part] == whole


def test_odd_urls_share_the_files_budget_alone() -> None:
    budget = Budget(1, 3)
    for row, url in enumerate((None, "http://[bad", "", "no host")):
        budget.enter("f#0", row, url)
        assert (budget.exhausted() is None) == (row < 3)
        budget.charge()
