"""Archives built byte by byte, so that tests can break them anywhere."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa

from dclm.pool.files import InputFile, list_files
from dclm.pool.read import Tally, read_file


def record(
    number: int,
    block: bytes | None = None,
    *,
    kind: str = "response",
    name: str | None = "",
    url: str = "",
    length: int | None = None,
    end: bytes = b"\r\n",
    content_type: str = "application/http; msgtype=response",
) -> bytes:
    """One WARC record; `name=""` gives it a unique id, None leaves the header out."""
    block = response(f"<p>page {number}</p>".encode()) if block is None else block
    lines = [b"WARC/1.0", f"WARC-Type: {kind}".encode(), b"WARC-Date: 2024-05-06T07:08:09Z"]
    if name is not None:
        lines.append(f"WARC-Record-ID: <urn:uuid:{name or f'00000000-0000-4000-8000-{number:012d}'}>".encode())
    lines.append(f"WARC-Target-URI: {url or f'http://example.com/{number}'}".encode())
    lines.append(f"Content-Type: {content_type}".encode())
    lines.append(f"Content-Length: {len(block) if length is None else length}".encode())
    return end.join(lines) + end + end + block + end + end


def response(body: bytes, *headers: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    """An HTTP response."""
    lines = [status, *(headers or ("Content-Type: text/html",))]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def members(*records: bytes) -> bytes:
    """The records as a multi-member gzip file, as in crawls."""
    return b"".join(gzip.compress(r, mtime=0) for r in records)


def put(path: Path, data: bytes) -> InputFile:
    """Write a file and return its description."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return list_files([str(path)])[0]


def read_all(file: InputFile, **sizes: int) -> tuple[pa.Table, Tally]:
    """Every row of a file whose batches all have the same columns, checked for the guarantees of all readers."""
    tally = Tally()
    batches = list(read_file(file, tally, **sizes))
    for batch in batches:
        batch.validate(full=True)
        assert not batch.column("id").null_count
        assert not batch.column("source").null_count
        payload = batch.column("body" if "body" in batch.schema.names else "text")
        assert payload.is_null().equals(batch.column("_reject").is_valid())
    table = pa.Table.from_batches(batches) if batches else pa.table({})
    if batches:
        assert table["_row"].to_pylist() == list(range(tally.records))
        assert len(set(table["source"].to_pylist())) == tally.records
    return table, tally
