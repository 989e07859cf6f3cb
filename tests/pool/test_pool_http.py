"""HTTP payloads: transfer and content codings, false headers, bombs."""

from __future__ import annotations

import gzip
import random
import zlib

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pool_archives import response

from dclm.pool.archives.http import MAX_CODINGS, parse_response

PAGE = b"<html><p>Hello, world</p></html>" * 20


def chunked(body: bytes, size: int = 7, last: bytes = b"0\r\n\r\n") -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x;a=b\r\n%s\r\n" % (len(p), p) for p in parts) + last


def deflate_raw(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


CODINGS = {
    "gzip": gzip.compress,
    "x-gzip": lambda body: gzip.compress(body[:50]) + gzip.compress(body[50:]),
    "deflate": zlib.compress,
    "DEFLATE": deflate_raw,
    "br": brotli.compress,
    "zstd": zstandard.compress,
}


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("transfer", [False, True])
def test_each_coding_is_undone(coding: str, transfer: bool) -> None:
    body = CODINGS[coding](PAGE)
    headers = ["content-type: text/html; charset=utf-8", f"Content-Encoding:{coding}"]
    if transfer:
        body = chunked(body)
        headers.append("Transfer-Encoding: Chunked")
    found = parse_response(response(body, *headers))
    assert (found.content_type, bytes(found.body or b""), found.reject) == ("text/html; charset=utf-8", PAGE, None)


@pytest.mark.parametrize("coding", [*CODINGS, "utf-8", "identity", "none"])
def test_a_header_that_the_body_does_not_bear_out_is_passed_over(coding: str) -> None:
    block = response(PAGE, f"Content-Encoding: {coding}", "Transfer-Encoding: chunked")
    assert bytes(parse_response(block).body or b"") == PAGE


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("left", [0.5, 0.9, 0.99])
def test_of_a_body_that_breaks_off_the_readable_part_is_given_and_marked(coding: str, left: float) -> None:
    page = random.Random(0).randbytes(400_000)  # hardly compresses, so that a part of it can be read
    packed = CODINGS[coding](page)
    found = parse_response(response(packed[: int(len(packed) * left)], f"Content-Encoding: {coding}"))
    assert found.reject is None
    assert found.cut is not None
    assert "truncated" in found.cut
    assert page.startswith(bytes(found.body or b""))
    assert 0 < len(found.body or b"") < len(page)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "br", "zstd"])
def test_a_body_of_which_nothing_can_be_read_is_a_reject(coding: str) -> None:
    found = parse_response(response(CODINGS[coding](PAGE)[:5], f"Content-Encoding: {coding}"))
    assert found.body is None
    assert "truncated" in (found.reject or "")


def test_a_body_of_empty_gzip_members_is_read_in_linear_time() -> None:
    body = gzip.compress(b"", mtime=0) * 200_000 + gzip.compress(PAGE)
    assert parse_response(response(body, "Content-Encoding: gzip")).body == PAGE


def test_codings_are_undone_in_reverse_and_ten_deep_at_most() -> None:
    body = PAGE
    for _ in range(MAX_CODINGS):
        body = gzip.compress(body)
    header = "Content-Encoding: " + ", ".join(["gzip"] * MAX_CODINGS)
    assert bytes(parse_response(response(body, header)).body or b"") == PAGE
    found = parse_response(response(gzip.compress(body), header + ", gzip"))
    assert found.reject == "11 content encodings, allowed: 10"
    mixed = gzip.compress(brotli.compress(PAGE))
    assert bytes(parse_response(response(mixed, "Content-Encoding: br, gzip")).body or b"") == PAGE


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "zstd"])
def test_a_bomb_is_a_reject_before_it_is_unpacked(coding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.pool.archives.http.MAX_PAGE_BYTES", 1000)
    found = parse_response(response(CODINGS[coding](b"a" * 1001), f"Content-Encoding: {coding}"))
    assert found.reject == f"content encoding {coding} unpacks to more than 1000 bytes"
    fits = parse_response(response(CODINGS[coding](b"a" * 1000), f"Content-Encoding: {coding}"))
    assert fits.reject is None


def test_chunks_that_break_off_are_marked_and_a_missing_last_one_is_not() -> None:
    header = "Transfer-Encoding: chunked"
    assert bytes(parse_response(response(chunked(PAGE, last=b""), header)).body or b"") == PAGE
    cut = parse_response(response(chunked(PAGE, size=len(PAGE), last=b"")[:-5], header))
    assert cut.reject is None
    assert "truncated" in (cut.cut or "")
    assert PAGE.startswith(bytes(cut.body or b""))
    assert len(cut.body or b"") > len(PAGE) - 8
    junk = parse_response(response(chunked(PAGE, last=b"zz\r\n"), header))
    assert junk.reject is not None
    assert "broken" in junk.reject


@pytest.mark.parametrize("block", [b"", b"GET / HTTP/1.1\r\n\r\n", b"20080430 example.com", b"\xff\xfe\x00"])
def test_a_block_without_a_response_is_a_reject(block: bytes) -> None:
    assert parse_response(block).reject == "no HTTP response in the record"


@pytest.mark.parametrize("end", [b"\r\n\r\n", b"\n\n", b"\n\r\n"])
def test_headers_end_at_the_first_empty_line(end: bytes) -> None:
    found = parse_response(b"HTTP/1.0 404 Not Found\r\nContent-Type: text/html" + end + b"body\r\n\r\nmore")
    assert (found.content_type, bytes(found.body or b"")) == ("text/html", b"body\r\n\r\nmore")


@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
def test_a_header_field_goes_on_in_the_next_line(end: bytes) -> None:
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: text/html;", b"\tcharset=latin-1", b"Content-Encoding:", b" gzip"]
    found = parse_response(end.join([*lines, b"", gzip.compress(PAGE)]))
    assert (found.content_type, found.body, found.reject) == ("text/html; charset=latin-1", PAGE, None)


def test_transfer_codings_are_undone_behind_the_chunks() -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\nContent-Encoding: br\r\n\r\n"
    assert parse_response(head + chunked(gzip.compress(brotli.compress(PAGE)))).body == PAGE


def test_what_follows_an_interim_response_is_the_response() -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\nX: y\r\n\r\n"
    final = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nHTTP/1.1 100 Continue"
    found = parse_response(interim + final)
    assert (found.content_type, found.body) == ("text/plain", b"HTTP/1.1 100 Continue")
    assert parse_response(b"HTTP/1.1 100 Continue\r\n\r\n").body == b""


def test_the_protocol_may_be_in_lower_case() -> None:
    assert parse_response(b"http/1.1 200 ok\r\n\r\n" + PAGE).body == PAGE


def test_a_response_without_payload_is_an_empty_page() -> None:
    assert parse_response(b"HTTP/1.1 301 Moved\r\nLocation: /x").body == b""
    assert parse_response(b"HTTP/1.1 301 Moved\r\n\r\n").body == b""


@given(
    st.lists(st.sampled_from([*CODINGS, "chunked", "\xff"]), max_size=4),
    st.binary(max_size=200),
    st.booleans(),
)
def test_no_payload_makes_the_parser_raise(names: list[str], body: bytes, transfer: bool) -> None:
    headers = ["Content-Encoding: " + ",".join(names)] + ["Transfer-Encoding: chunked"] * transfer
    found = parse_response("\r\n".join(["HTTP/1.1 200 OK", *headers]).encode("latin-1") + b"\r\n\r\n" + body)
    assert (found.body is None) == (found.reject is not None)
