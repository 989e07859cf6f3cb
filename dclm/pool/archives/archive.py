"""WARC records as bytes, written by warcio: the same record, the same bytes."""

from __future__ import annotations

import base64
import hashlib
import io
import re
from collections.abc import Mapping
from typing import Literal

from warcio.recordloader import ArcWarcRecord
from warcio.statusandheaders import StatusAndHeaders, StatusAndHeadersParser
from warcio.warcwriter import WARCWriter

Version = Literal["1.0", "1.1"]
_CONTROLS = re.compile(r"[\x00-\x20\x7f\x85\u2028\u2029]")


def record_bytes(
    version: Version, headers: Mapping[str, str], block: bytes, *, payload: bytes | None = None, shift: int = 0
) -> bytes:
    """One record as a gzip member.

    headers: WARC-Type, WARC-Record-ID, WARC-Date and so on, in the order in which they are written; Content-Length and
    the digests are added. payload: the content of WARC-Payload-Digest, if it is not the block. shift: error to add to
    Content-Length, for deliberately broken archives.
    """
    fields = {
        name: _CONTROLS.sub(_escaped, value) if name.endswith("URI") else value for name, value in headers.items()
    }
    fields.setdefault("WARC-Block-Digest", digest(block))
    if fields["WARC-Type"] != "warcinfo":
        fields.setdefault("WARC-Payload-Digest", digest(block if payload is None else payload))
    http = None  # in other types the HTTP headers are part of the block and stay unchanged
    if fields["WARC-Type"] == "revisit":  # for these warcio writes the HTTP headers separately
        http, block = StatusAndHeadersParser([], verify=False).parse(io.BytesIO(block)), b""
    record = ArcWarcRecord(
        "warc",
        fields["WARC-Type"],
        StatusAndHeaders("", list(fields.items()), protocol=f"WARC/{version}"),
        io.BytesIO(block),
        http,
        fields.get("Content-Type"),
        len(block) + shift,
    )
    record.payload_length = len(block)
    out = io.BytesIO()
    WARCWriter(out, gzip=True, warc_version=f"WARC/{version}").write_record(record)
    return out.getvalue()


def digest(data: bytes) -> str:
    """The labeled SHA-1 of a block or payload, in base 32."""
    return "sha1:" + base64.b32encode(hashlib.sha1(data, usedforsecurity=False).digest()).decode()


def _escaped(match: re.Match[str]) -> str:
    """A character that would end the header's line, percent-encoded."""
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
