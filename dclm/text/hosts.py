"""Host names of URLs in one canonical form, so that two spellings of a host compare equal.

The canonical form is what a browser resolves: lower case, internationalized labels as `xn--` (UTS #46,
non-transitional), percent-escapes decoded, IPv6 addresses compressed, without user, port and trailing dots.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import idna
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from dclm.core.arrow import filled, replaced, to_list

_LABELS = r"[a-z0-9_\-]+(?:\.[a-z0-9_\-]+)*"
_CANONICAL = rf"^{_LABELS}$"
_CANONICAL_URL = rf"^[a-z][a-z0-9+.\-]*://{_LABELS}(?:[/?#](?s:.*))?$"
_PLAIN_URL = r"^[a-zA-Z][a-zA-Z0-9+.\-]*://[!-Z\\^-~]+$"  # ASCII without whitespace and brackets: no surprises
_AUTHORITY = r"^[a-zA-Z][a-zA-Z0-9+.\-]*://(?P<netloc>[^/?#]*).*$"
_NO_SCHEME = re.compile(r"^[^\s/?#:@\\.]+(?:\.[^\s/?#:@\\.]+)+\.?(?::[0-9]{0,5})?(?=[/?#]|$)")
_PORT = re.compile(r":[0-9]*$")
_WEB = re.compile(r"(?i:https?|ftp):(?:/(?![/\\])|/{0,4}\\[/\\]{0,4})")
_PATH = re.compile(r"[/\\?#]")
_DOTS = re.compile("[.\u3002\uff0e\uff61]")
_LINE_ENDS = str.maketrans("", "", "\t\r\n")
_DEFAULT_PORTS = {"http": "80", "https": "443", "ftp": "21"}


class Authorities(NamedTuple):
    """The authority of each URL of a column."""

    names: pa.StringArray
    """`urlsplit(url).netloc`; "" for null."""
    broken: pa.BooleanArray
    """Whether the URL cannot be parsed, like `http://[`."""


def canonical_host(authority: str) -> str:
    """The canonical form of a host name, or of the host in an authority with user and port; "" if none exists.

    A name that is not valid in UTS #46 is only converted to lower case.
    """
    host = authority.partition("\\")[0].rpartition("@")[2].strip()  # to browsers a backslash is a slash
    if host.startswith("["):
        return _canonical_address(host[1:].partition("]")[0])
    host = _PORT.sub("", host)
    host = (unquote(host) if "%" in host else host).lower()
    if not host.isascii():
        try:
            host = idna.uts46_remap(host, std3_rules=False, transitional=False)
        except idna.IDNAError:  # a character that no host may contain
            return _DOTS.sub(".", host).rstrip(".")
        host = ".".join(_ascii_label(label) for label in host.split("."))
    return host.rstrip(".")


def without_www(host: str) -> str:
    """The host without one leading `www.`, unless only a top-level domain would be left."""
    rest = host.removeprefix("www.")
    return rest if "." in rest else host


def canonical_url(url: str) -> str:
    """The URL with its scheme in lower case and its host canonical, without the default port; otherwise unchanged."""
    plain = url.translate(_LINE_ENDS)  # as in urlsplit and browsers
    try:
        parts = urlsplit(plain)
    except ValueError:
        return url
    host = canonical_host(parts.netloc)
    if not host:
        return url
    user, at, place = parts.netloc.rpartition("@")
    found = _PORT.search(place)
    port = "" if found is None or found[0][1:] in ("", _DEFAULT_PORTS.get(parts.scheme)) else found[0]
    rest = plain[plain.index("//") + 2 + len(parts.netloc) :]
    scheme = f"{parts.scheme}:" if parts.scheme else ""
    return f"{scheme}//{user}{at}{f'[{host}]' if ':' in host else host}{port}{rest}"


def authorities(urls: pa.StringArray) -> Authorities:
    """The output of `urllib.parse.urlsplit` for a column of URLs."""
    urls = filled(urls, "")
    plain = pc.match_substring_regex(urls, _PLAIN_URL)
    names = pc.replace_substring_regex(urls, _AUTHORITY, r"\1")
    odd = [_authority(url) for url in to_list(urls.filter(pc.invert(plain)))]
    names = pc.replace_with_mask(names, pc.invert(plain), pa.array([n or "" for n in odd], pa.string()))
    broken = np.zeros(len(urls), np.bool_)
    broken[~plain.to_numpy(zero_copy_only=False)] = [n is None for n in odd]
    return Authorities(names, pa.array(broken))


def hosts(urls: pa.StringArray, names: pa.StringArray | None = None) -> pa.StringArray:
    """The canonical host of each URL, without one leading `www.`; null if none exists.

    A URL that begins with a host (`example.org/page`) is treated like one with a scheme. `names`: its `authorities`.
    """
    urls = filled(urls, "")
    names = authorities(urls).names if names is None else names
    without = pc.and_(pc.equal(names, pa.scalar("")), pc.not_equal(urls, pa.scalar("")))
    if pc.any(without, min_count=0).as_py():
        found = [_leading_host(url) for url in to_list(urls.filter(without))]
        names = pc.replace_with_mask(names, without, pa.array(found, pa.string()))
    canonical = _map_others(names, _CANONICAL, canonical_host)
    canonical = pc.replace_substring_regex(canonical, r"^www\.(.*\..*)$", r"\1")
    hosts: pa.StringArray = pc.if_else(pc.equal(canonical, pa.scalar("")), pa.scalar(None, pa.string()), canonical)
    return hosts


def canonical_urls(urls: pa.StringArray) -> pa.StringArray:
    """Every URL as returned by `canonical_url`."""
    return _map_others(urls, _CANONICAL_URL, canonical_url)


def _map_others(values: pa.StringArray, canonical: str, function: Callable[[str], str]) -> pa.StringArray:
    """The values, with `function` applied to those that the expression does not already recognize as canonical."""
    others = filled(pc.invert(pc.match_substring_regex(values, canonical)), False)
    if not pc.any(others, min_count=0).as_py():
        return values
    changed = pa.array([function(value) for value in to_list(values.filter(others))], pa.string())
    return replaced(values, others, changed)


def _authority(url: str) -> str | None:
    try:
        return urlsplit(url).netloc
    except ValueError:
        return None


def _leading_host(url: str) -> str:
    """The authority of a URL without a scheme, or with one slash or with backslashes, as browsers see it."""
    url = url.translate(_LINE_ENDS).strip()
    web = _WEB.match(url)
    if web is not None:
        return _PATH.split(url[web.end() :], maxsplit=1)[0]
    found = _NO_SCHEME.match(url)
    return found[0] if found else ""


def _ascii_label(label: str) -> str:
    return label if label.isascii() else "xn--" + label.encode("punycode").decode("ascii")


def _canonical_address(text: str) -> str:
    try:
        return ipaddress.IPv6Address(text.partition("%")[0]).compressed
    except ValueError:
        return text.lower()
