"""Files on an HTTP server, read with range requests that are retried when the network or the server fails.

All access to web servers goes through here: reading, sizes and hashes are retried alike. A server's Retry-After is
obeyed; without it, the waiting time doubles up to two minutes, with random jitter so that workers do not all return at
once. A run waits for up to half an hour in this way before it fails.
"""

from __future__ import annotations

import email.utils
import http.client
import random
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from typing import cast

from dclm.core.errors import DataError
from dclm.text.hosts import canonical_host

_ATTEMPTS = 5  # if nothing suggests that the server will come back
_FIRST_WAIT_SECONDS = 1.0  # doubled after every failure
_LONGEST_WAIT_SECONDS = 120.0
_LONGEST_ASKED_SECONDS = 600.0  # for a Retry-After
_PATIENCE_SECONDS = 1800.0
_TIMEOUT_SECONDS = 60.0
_BUSY = frozenset([408, 425, 429, 500, 502, 503, 504])
_AGAIN = _BUSY | {403}  # Common Crawl's answer to clients that request too fast
_INTERVAL_SECONDS = {"data.commoncrawl.org": 0.1}
"""Host → minimum number of seconds between two requests of one process."""
_MD5 = re.compile(r"[0-9a-f]{32}(-\d+)?$")
_next_request: dict[str, float] = {}
_answered: set[str] = set()
_SKIP_BYTES = 1 << 20


class HttpFile:
    """A remote file as a seekable stream. One request serves consecutive reads; seeking begins another.

    A broken connection is resumed at the byte where it broke. Servers without range requests work too: the bytes before
    the position are read and discarded. Raises: DataError if the server refuses, or still fails after the last retry.
    """

    def __init__(self, url: str, offset: int = 0, length: int | None = None) -> None:
        """`length`: request at most this many bytes from `offset` on; positions stay those of the whole file."""
        self._url = url
        self._host = canonical_host(urllib.parse.urlsplit(url).netloc)
        self._position = offset
        self._end = None if length is None else offset + length
        self._response: http.client.HTTPResponse | None = None
        self._total: int | None = None
        self._version: str | None = None
        self.closed = False

    def read(self, size: int = -1) -> bytes:
        """Up to `size` bytes, or all remaining bytes if negative; empty at the end."""
        if size < 0:
            parts = []
            while data := self.read(_SKIP_BYTES):
                parts.append(data)
            return b"".join(parts)
        if size == 0 or (self._end is not None and self._position >= self._end):
            return b""
        failures, waited = 0, 0.0
        while True:
            try:
                if self._response is None:
                    self._response = self._open()
                if self._response is None:
                    return b""
                data = self._response.read(size)
                if not data and (self._response.length or 0) > 0:
                    raise http.client.IncompleteRead(data, self._response.length)
                self._position += len(data)
                return data
            except (OSError, http.client.HTTPException) as error:
                self._drop()
                failures += 1
                wait = _wait_after(error, failures, self._host in _answered)
                if wait is None or waited >= _PATIENCE_SECONDS:
                    raise self._failure(error, waited) from error
                waited += wait
                time.sleep(wait)

    def seek(self, offset: int, whence: int = 0) -> int:
        """As for any file; seeking from the end (2) asks the server for the size."""
        position = offset + (0, self._position, self.size() if whence == 2 else 0)[whence]
        if position != self._position:
            self._drop()
            self._position = position
        return position

    def size(self) -> int:
        """The size of the whole file. Raises: DataError if the server does not report it."""
        if self._total is None:
            self.read(1)
        if self._total is None:
            raise DataError(self._url, "the server does not report the file's size")
        return self._total

    def identity(self) -> list[object]:
        """Size and version of the file, without its address: its ETag if that is an MD5, else its modification time."""
        return [self.size(), self._version]

    def tell(self) -> int:
        """The position in the whole file."""
        return self._position

    def close(self) -> None:
        """Close the open request."""
        self._drop()
        self.closed = True

    def _open(self) -> http.client.HTTPResponse | None:
        """The response from the position on; None at the end of the file."""
        last = "" if self._end is None else str(self._end - 1)
        headers = {"Range": f"bytes={self._position}-{last}", "Accept-Encoding": "identity", "User-Agent": "dclm"}
        _keep_pace(self._host)
        try:
            request = urllib.request.Request(self._url, headers=headers)
            response = cast(http.client.HTTPResponse, urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS))
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # nothing remains from this position on
                return None
            raise
        _answered.add(self._host)
        tag = (response.headers.get("ETag") or "").removeprefix("W/").strip('"')
        self._version = tag if _MD5.match(tag) else response.headers.get("Last-Modified") or tag or None
        total = (response.headers.get("Content-Range") or "").rpartition("/")[2]
        total = total or (response.headers.get("Content-Length") or "")
        self._total = int(total) if total.isdigit() else None
        if response.status != 206:
            left = self._position
            while left > 0 and (data := response.read(min(left, _SKIP_BYTES))):
                left -= len(data)
        return response

    def _drop(self) -> None:
        if self._response is not None:
            self._response.close()
            self._response = None

    def _failure(self, error: Exception, waited: float) -> DataError:
        since = f" after {waited:,.0f} seconds of waiting" if waited else ""
        if isinstance(error, urllib.error.HTTPError):
            what = f"the server answered {error.code} {error.reason}{since}"
            hint = "check the address" if error.code not in _AGAIN else "try again later, with fewer workers"
        else:
            what = f"cannot be downloaded: {getattr(error, 'reason', None) or error or type(error).__name__}{since}"
            hint = "check the network"
        return DataError(f"{self._url} at byte {self._position}", what, hint)


def _wait_after(error: Exception, failures: int, answered: bool) -> float | None:
    """Seconds until the next attempt; None: do not retry. `answered`: the host has answered this process before."""
    wait = min(_FIRST_WAIT_SECONDS * 2 ** min(failures - 1, 20), _LONGEST_WAIT_SECONDS) * (0.5 + random.random())
    if not isinstance(error, urllib.error.HTTPError):
        return wait if answered or failures < _ATTEMPTS else None
    if error.code not in _AGAIN:
        return None
    asked = _retry_after(error.headers.get("Retry-After"))
    if asked is not None:
        return min(asked, _LONGEST_ASKED_SECONDS) + random.random()
    return wait if error.code in _BUSY or failures < _ATTEMPTS else None


def _retry_after(value: str | None) -> float | None:
    """The seconds in a Retry-After header, given as a number or as a date."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def _keep_pace(host: str) -> None:
    interval = _INTERVAL_SECONDS.get(host)
    if interval is not None:
        now = time.monotonic()
        start = max(now, _next_request.get(host, now))
        _next_request[host] = start + interval
        if start > now:
            time.sleep(start - now)


def fetch(url: str, offset: int = 0, length: int | None = None) -> bytes:
    """The bytes of a remote file, or of a part of it. Raises: DataError, see `HttpFile`."""
    file = HttpFile(url, offset, length)
    try:
        return file.read() if length is None else read_exactly(file, length)
    finally:
        file.close()


def read_exactly(file: HttpFile, length: int) -> bytes:
    """`length` bytes from the position on, fewer only at the end of the file."""
    parts: list[bytes] = []
    while length > 0 and (data := file.read(min(length, _SKIP_BYTES))):
        parts.append(data)
        length -= len(data)
    return b"".join(parts)
