"""URL patterns of the Common Crawl index, and the key ranges that contain their captures."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

from dclm.text.hosts import canonical_host

_WWW = re.compile(r"^www\d*\.")
_PORT = re.compile(r":([0-9]*)$")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class Pattern(NamedTuple):
    """Captures whose SURT key is in [start, end) and begins with one of `prefixes`, and whose URL matches."""

    start: bytes
    end: bytes
    prefixes: tuple[bytes, ...]
    url: str | None
    """The URL to find, as returned by `comparable`; None: every URL under the prefix."""

    def matches(self, key: bytes, url: str) -> bool:
        """Whether the capture of `url` under this SURT key matches."""
        return key.startswith(self.prefixes) and (self.url is None or comparable(url) == self.url)


def parse_pattern(text: str) -> Pattern:
    """A pattern in the syntax of the index server: `*.example.com` · `example.com/*` · `example.com/a*` · one URL.

    Scheme, `www.`, upper case, a trailing dot and the spelling of international names make no difference, as in the
    index's keys. Raises: ValueError without a host.
    """
    subdomains = text.startswith("*.")
    rest = text[2:] if subdomains else text
    wildcard = rest.endswith("*")
    url = rest.rstrip("*") if wildcard else rest
    if "//" not in url:
        url = "http://" + url
    host, path = _host(url), urlsplit(url).path.lower()
    if not host.strip(":.*"):
        raise ValueError(f"found {text!r}, allowed: *.example.com, example.com/*, example.com/path* or a URL")
    reverse = _reverse(host)
    if subdomains:
        first, more = (reverse + ")").encode(), (reverse + ",").encode()
        return Pattern(first, (reverse + "-").encode(), (first, more), None)
    if wildcard:
        prefix = f"{reverse}){path or '/'}".encode()
        return Pattern(prefix, prefix + b"\xff", (prefix,), None)
    prefix = f"{reverse}){path.rstrip('/') or '/'}".encode()
    return Pattern(prefix, prefix + b"\xff", (prefix,), comparable(url))


def comparable(url: str) -> str:
    """Host, path and query in lower case, without scheme, `www.`, default port, fragment and trailing slash."""
    parts = urlsplit(url)
    query = f"?{parts.query}" if parts.query else ""
    return (_host(url) + parts.path.rstrip("/") + query).lower()


def _host(url: str) -> str:
    parts = urlsplit(url)
    host = _WWW.sub("", canonical_host(parts.netloc))
    port = _PORT.search(parts.netloc)
    return host if port is None or port[1] in ("", _DEFAULT_PORTS.get(parts.scheme)) else f"{host}:{port[1]}"


def _reverse(host: str) -> str:
    name, colon, port = host.partition(":")
    return ",".join(reversed(name.split("."))) + colon + port
