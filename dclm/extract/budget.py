"""The number of pages of a file that may crash or stall the parsing process before its remaining risky pages are
skipped.

A page that times out costs half a minute, and a host may serve thousands of them. The budget counts pages in file
order, not seconds, so that a busy machine rejects the same pages as an idle one.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from dclm.text.hosts import canonical_host


class Budget:
    """The budget of one process for the file that it reads. Pages must arrive in the order of their rows."""

    def __init__(self, per_host: int, per_file: int) -> None:
        self._per_host = per_host
        self._per_file = per_file
        self._file: str | None = None
        self._row = -1
        self._url: str | None = None
        self._spent: dict[str | None, int] = {}

    def enter(self, source: str, row: int, url: str | None) -> None:
        """Set the page that is parsed next. Another file, or this one from its start, gets a new budget."""
        file = source.rpartition("#")[0]
        if file != self._file or row <= self._row:
            self._spent = {}
        self._file, self._row, self._url = file, row, url

    def exhausted(self) -> str | None:
        """The reason not to try the page, or None."""
        if not self._spent:
            return None
        host = _host(self._url)
        if host is not None and self._spent.get(host, 0) >= self._per_host:
            return f"not tried: {self._per_host} pages of this host in the file could not be parsed in time or memory"
        if sum(self._spent.values()) >= self._per_file:
            return f"not tried: {self._per_file} pages of the file could not be parsed in time or memory"
        return None

    def charge(self) -> None:
        """Record that the page has ended the process."""
        host = _host(self._url)
        self._spent[host] = self._spent.get(host, 0) + 1


def _host(url: str | None) -> str | None:
    try:
        return canonical_host(urlsplit(url or "").netloc) or None
    except ValueError:
        return None
