"""A stream that fails in the middle is an error, never damage of the file, so no existing data is given up."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dclm.core.errors import DataError
from dclm.pool import streams
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file

PAGES = 400


def warc() -> bytes:
    """Records that hardly compress."""
    records = []
    for i in range(PAGES):
        body = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<p>" + bytes(range(64, 123)) * 20
        kind = f"WARC/1.0\r\nWARC-Type: response\r\nWARC-Target-URI: http://a.example/{i}\r\n"
        records.append(f"{kind}Content-Length: {len(body)}\r\n\r\n".encode() + body + b"\r\n\r\n")
    return b"".join(gzip.compress(record, mtime=0) for record in records)


def plain_warc() -> bytes:
    return gzip.decompress(warc())


def lines() -> bytes:
    return b"".join(json.dumps({"text": f"{i} " * 500}).encode() + b"\n" for i in range(PAGES))


def parquet() -> bytes:
    sink = pa.BufferOutputStream()
    table = pa.table({"text": [f"{i} " * 500 for i in range(PAGES)]})
    pq.write_table(table, sink, row_group_size=20, compression="none", use_dictionary=False)
    return bytes(sink.getvalue())


class Failing:
    """A stream whose reads fail after the first few, like a connection."""

    def __init__(self, stream: streams.Stream, left: list[int]) -> None:
        self._stream, self._left = stream, left

    def read(self, size: int = -1) -> bytes:
        if self._left[0] == 0:
            raise ConnectionResetError("connection reset")
        self._left[0] -= 1
        return self._stream.read(size)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("a.warc.gz", warc, id="warc.gz"),
        pytest.param("a.warc", plain_warc, id="warc"),
        pytest.param("a.jsonl", lines, id="jsonl"),
        pytest.param("a.jsonl.gz", lambda: gzip.compress(lines(), 1, mtime=0), id="jsonl.gz"),
        pytest.param("a.jsonl.zst", lambda: zstandard.compress(lines(), 1), id="jsonl.zst"),
        pytest.param("a.parquet", parquet, id="parquet"),
    ],
)
def test_a_read_that_fails_anywhere_is_raised(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: Callable[[], bytes]
) -> None:
    (tmp_path / name).write_bytes(content())
    (file,) = list_files([str(tmp_path / name)])
    left = [-1]
    opened = streams.open_input
    monkeypatch.setattr(streams, "open_input", lambda path: Failing(opened(path), left))
    assert sum(batch.num_rows for batch in read_file(file, Tally())) == PAGES
    reads = -1 - left[0]
    assert reads > 1
    for fails_at in {0, 1, reads // 2, reads - 1}:
        left[0] = fails_at
        tally = Tally()
        with pytest.raises(DataError, match="reading failed: connection reset"):
            for _ in read_file(file, tally):
                pass
        assert not tally.damage
