"""Writes the pages of the sample crawl as real WARC files, one gzip member per record, some deliberately broken."""

from __future__ import annotations

import datetime
import gzip
import random
import uuid
from pathlib import Path

from dclm.pool.archives.archive import Version, record_bytes
from dclm.pool.sample.pages import Page

_START = datetime.datetime(2024, 3, 1, tzinfo=datetime.UTC)
_AGENT = "dclm-sample/1.0"


class WarcWriter:
    """One WARC file. Every byte follows from the pages and the seeded `rng`: dates and identifiers are invented."""

    def __init__(self, path: Path, rng: random.Random, version: Version) -> None:
        self._handle = path.open("wb")
        self._rng = rng
        self._version = version
        self._seconds = 0
        info = f"software: dclm sample pool\r\nformat: WARC File Format {version}\r\nfilename: {path.name}\r\n"
        headers = {"WARC-Filename": path.name, "Content-Type": "application/warc-fields"}
        self._write("warcinfo", self._new_id(), headers, info.encode())

    def close(self) -> None:
        """End the file."""
        self._handle.close()

    def write_page(self, page: Page) -> str:
        """Write the page's request and response, and sometimes a metadata or revisit record.

        Returns: the UUID in the response's WARC-Record-ID.
        """
        self._seconds += self._rng.randint(1, 9)
        identity, request = self._new_id(), self._new_id()
        host, _, path = page.url.split("://", 1)[1].partition("/")
        asked = f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: {_AGENT}\r\nAccept: text/html\r\n\r\n"
        target = {"WARC-Target-URI": page.url}
        http = {"Content-Type": "application/http; msgtype=request", "WARC-Concurrent-To": f"<urn:uuid:{identity}>"}
        self._write("request", request, target | http, asked.encode(), payload=b"")
        self._write_response(page, identity)
        if self._rng.random() < 0.05:
            note = {"WARC-Refers-To": f"<urn:uuid:{identity}>", "Content-Type": "application/warc-fields"}
            self._write(
                "metadata", self._new_id(), target | note, f"fetchTimeMs: {self._rng.randrange(900)}\r\n".encode()
            )
        if self._rng.random() < 0.02 and page.fault is None:
            self._write_revisit(page, identity)
        return identity

    def _write_response(self, page: Page, identity: str) -> None:
        block = _http_response(self._rng, page)
        headers = {"WARC-Target-URI": page.url, "Content-Type": "application/http; msgtype=response"}
        if page.fault == "no_uri":
            del headers["WARC-Target-URI"]
        shift = {"short_length": -len(block) // 3, "long_length": 5}.get(page.fault or "", 0)
        cut = page.fault == "truncated"
        self._write("response", identity, headers, block, payload=page.body, shift=shift, cut=cut)

    def _write_revisit(self, page: Page, identity: str) -> None:
        headers = {
            "WARC-Target-URI": page.url,
            "WARC-Refers-To": f"<urn:uuid:{identity}>",
            "WARC-Profile": f"http://netpreserve.org/warc/{self._version}/revisit/identical-payload-digest",
            "Content-Type": "application/http; msgtype=response",
        }
        block = b"HTTP/1.1 304 Not Modified\r\n\r\n"
        self._write("revisit", self._new_id(), headers, block, payload=page.body)

    def _write(
        self,
        kind: str,
        identity: str,
        headers: dict[str, str],
        block: bytes,
        *,
        payload: bytes | None = None,
        shift: int = 0,
        cut: bool = False,
    ) -> None:
        date = (_START + datetime.timedelta(seconds=self._seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")
        fields = {"WARC-Type": kind, "WARC-Record-ID": f"<urn:uuid:{identity}>", "WARC-Date": date, **headers}
        member = record_bytes(self._version, fields, block, payload=payload, shift=shift)
        self._handle.write(member[: len(member) // 2] if cut else member)

    def _new_id(self) -> str:
        return str(uuid.UUID(int=self._rng.getrandbits(128), version=4))


def _http_response(rng: random.Random, page: Page) -> bytes:
    """Status line, headers and body as a server sends them: plain, chunked or compressed."""
    body = page.body
    headers = {"Date": "Fri, 01 Mar 2024 00:00:00 GMT", "Server": rng.choice(("nginx", "Apache", "cloudflare"))}
    headers["Content-Type"] = f"text/html; charset={page.encoding}" if rng.random() < 0.8 else "text/html"
    way = {"bad_gzip": 0.0, "bad_chunks": 0.1}.get(page.fault or "", rng.random())
    if way < 0.08:
        headers["Content-Encoding"] = "gzip"
        body = gzip.compress(body, 6, mtime=0)
        body = body[:40] + bytes(64) + body[104:] if page.fault == "bad_gzip" else body
    elif way < 0.16:
        headers["Transfer-Encoding"] = "chunked"
        half = len(body) // 2
        size = "zz" if page.fault == "bad_chunks" else f"{len(body) - half:x}"
        body = b"%x\r\n%b\r\n%b\r\n%b\r\n0\r\n\r\n" % (half, body[:half], size.encode(), body[half:])
    if "Transfer-Encoding" not in headers:
        headers["Content-Length"] = str(len(body))
    if page.fault == "short_body":
        body = body[: len(body) // 2]
    if page.fault == "no_http_header":
        return body
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + body
