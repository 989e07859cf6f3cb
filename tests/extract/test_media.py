"""The media types of pages: declared, sniffed, and conflicting."""

from __future__ import annotations

import pyarrow as pa
import pytest

from dclm.curate.step import Context
from dclm.extract.media import MediaType, media_type

HTML = b"<!DOCTYPE html><html><p>x"


@pytest.mark.parametrize(
    ("start", "declared", "expected"),
    [
        (HTML, "text/html; charset=utf-8", "text/html"),
        (HTML, None, "text/html"),
        (HTML, "image/png", "text/html"),
        (b"\n <!-- a --> <HTML lang=en>", "application/octet-stream", "text/html"),
        (b'<?xml version="1.0"?>\n<html xmlns="x">', "text/xml", "application/xhtml+xml"),
        (b"plain words, nothing else", "text/plain", "text/plain"),
        (b"plain words, nothing else", None, "text/plain"),
        (b"words without a tag", "text/html", "text/html"),
        (b"\x89PNG\r\n\x1a\n\0\0", "text/html", "image/png"),
        (b"\xff\xd8\xff\xe0", "text/plain", "image/jpeg"),
        (b"wOF2\0\1", "text/html", "font/woff2"),
        (b"%PDF-1.7", "text/html", "application/pdf"),
        (b"BMW builds cars", "text/html", "text/html"),
        (b"BM\0\0\0\0", "text/html", "image/bmp"),
        (b"body { color: red }", "text/css", "text/css"),
        (b"var a = 1;", "Application/JavaScript; charset=utf-8", "application/javascript"),
        (b"\0\1\2\3\4", "text/plain", "application/octet-stream"),
        ("<p>ü".encode("utf-16-le"), "text/html; charset=utf-16", "text/html"),
        (b"", "text/html", "text/html"),
    ],
)
def test_the_bytes_correct_what_is_declared(start: bytes, declared: str | None, expected: str) -> None:
    assert media_type(start, declared) == expected


def test_the_step_keeps_pages_of_text_and_leaves_rejects_alone() -> None:
    keep = MediaType().open(Context(seed=0, files={}))
    bodies = pa.array([HTML, b"\x89PNG\r\n\x1a\n", b"a { }", None, b"words"], pa.binary())
    types = pa.array(["text/html", "text/html", "text/css", "image/png", None], pa.string())
    batch = pa.record_batch({"body": bodies, "content_type": types})
    assert keep(batch).to_pylist() == [True, False, False, True, True]
    assert keep(pa.record_batch({"text": ["a", "b"]})).to_pylist() == [True, True]
    only = MediaType(keep=("text/css",)).open(Context(seed=0, files={}))
    assert only(batch).to_pylist() == [False, False, True, True, False]
