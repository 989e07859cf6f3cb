"""Finds mail addresses, phone numbers and IP addresses in a page, in any script, but not version numbers.

Every finder yields the (start, end) of each match, in order and without overlaps, in time linear in the page.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from typing import NamedTuple


class Span(NamedTuple):
    """A part of a page, in characters."""

    start: int
    end: int


_LOCAL = re.compile(r"[\w!#$%&'*+/=?^`{|}~.-]")
_LABEL = r"[^\W_](?:[\w-]{0,61}[^\W_])?"
_DOMAIN = re.compile(rf"(?:{_LABEL}\.)+(?=[^\W\d_]){_LABEL}|\[(?:IPv6:)?[0-9A-Fa-f:.]{{3,45}}\]")

_OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\w|\.\w)")
_VERSION = re.compile(
    r"(?:(?<!\w)(?:v|ver|vers|versions?|release|build|rev|revision|firmware|driver|update|upgrade|kernel|patch|fw|sdk"
    r"|oid|section|chapter|rule)|§|版本|バージョン)[.:=#：]?\s{0,3}(?:is|no|number|nr|num)?[.:=#]?\s{0,3}[(\[]?$|[A-Za-z]/$",
    re.IGNORECASE,
)
_BEFORE = 32  # number of characters before an address that are searched for a word such as "version"
_IPV6 = re.compile(r"(?<![\w:.])(?=[0-9A-Fa-f]*:)[0-9A-Fa-f:]{2,39}(?:\.[0-9.]{5,11})?(?![\w:])")

_SEPARATOR = r"[ \u00a0\u202f./\u2010-\u2015\u2212-]"
_GROUPS = rf"(?:{_SEPARATOR}{{0,2}}(?:\(\d{{1,5}}\)|\d{{1,8}})){{1,8}}"
_PHONE = re.compile(
    rf"(?P<international>(?<![\w+.])(?:\+|00{_SEPARATOR}?)[1-9]{_GROUPS})"
    rf"|(?P<american>(?<![\w.,$€£/-])(?:1{_SEPARATOR})?(?:\([2-9]\d\d\){_SEPARATOR}?|[2-9]\d\d{_SEPARATOR})\d{{3}}"
    rf"{_SEPARATOR}\d{{4}})"
    rf"|(?P<national>(?<![\w.,$€£/-])(?:\(0\d{{1,4}}\)|0\d{{1,4}}){_SEPARATOR}{{1,2}}\d{{2,8}}"
    rf"(?:{_SEPARATOR}?\d{{2,5}}){{0,4}})"
    r"|(?:(?<!\w)(?:telephone|telefono|teléfono|telefon|tél|tel|phone|fax|mobile|mobil|mob|cell|call|ph|whatsapp"
    rf"|hotline|handy|телефон|тел)|电话|電話|โทร)\s?[.:：]{{0,2}}\s{{0,3}}(?:no|number|nr)?[.:：]{{0,2}}\s{{0,3}}"
    rf"(?P<labelled>(?:\+|\()?\d{{1,8}}\)?{_GROUPS})",
    re.IGNORECASE,
)
_DIGITS = {"international": (8, 15), "american": (10, 11), "national": (9, 12), "labelled": (6, 15)}
"""Minimum and maximum number of digits of each kind of number."""
_NUMBERS = re.compile(rf"(?:\w|{_SEPARATOR}\d)*")
_GOES_ON = re.compile(rf"\w|{_SEPARATOR}\d")


def find_emails(page: str) -> Iterator[Span]:
    """Mail addresses, both sides of which may be in any script (RFC 6531)."""
    done, at = 0, page.find("@")
    while at >= 0:
        domain = _DOMAIN.match(page, at + 1)
        start = _local_start(page, done, at) if domain is not None else at
        if domain is not None and start < at:
            yield Span(start, domain.end())
            done = domain.end()
        at = page.find("@", max(at + 1, done))


def _local_start(page: str, first: int, at: int) -> int:
    """Start of the local part before the @, at a word boundary; `at` if there is no local part."""
    start = at
    while start > first and _LOCAL.match(page[start - 1]) and page[start - 1 : start + 1] not in ("..", ".@"):
        start -= 1
    while start < at and not (page[start].isalnum() or page[start] == "_"):
        start += 1
    return start


def find_ipv4(page: str, public_only: bool) -> Iterator[Span]:
    """IPv4 addresses: four numbers up to 255 that are not part of a longer number and not called a version."""
    for match in _IPV4.finditer(page):
        if _VERSION.search(page[max(0, match.start() - _BEFORE) : match.start()]) is None and _is_wanted(
            match[0], public_only
        ):
            yield Span(*match.span())


def find_ipv6(page: str, public_only: bool) -> Iterator[Span]:
    """IPv6 addresses. Public ones are global unicast, 2000::/3, which excludes times of day and C++ names."""
    for match in _IPV6.finditer(page):
        text = match[0] if match[0].endswith("::") else match[0].rstrip(":")
        if text.count(":") >= 2 and any(c.isdigit() for c in text) and _is_wanted(text, public_only):
            yield Span(match.start(), match.start() + len(text))


def _is_wanted(text: str, public_only: bool) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return False
    if not public_only:
        return True
    return address.is_global and (address.version == 4 or (text[0] in "23" and text.find(":") == 4))


def find_phones(page: str) -> Iterator[Span]:
    """Phone numbers: with + or 00, in American groups, with a leading 0 and groups, or after a word such as `tel`.

    A number without such a mark is left alone, as are dates, prices, ISBNs, card numbers and lists of numbers.
    """
    at = 0
    while (match := _PHONE.search(page, at)) is not None:
        kind = match.lastgroup
        assert kind is not None  # each alternative has a group
        start, end = match.span(kind)
        digits = sum(c.isdigit() for c in page[start:end])
        low, high = _DIGITS[kind]
        goes_on = _GOES_ON.match(page, end) is not None
        if low <= digits <= high and not goes_on and page[start:end].count("(") <= 2:
            yield Span(start, end)
            at = end
        elif goes_on:  # part of a longer list of numbers, none of which is a phone number
            at = _rest_of_numbers(page, end)
        else:
            at = match.start() + 1


def _rest_of_numbers(page: str, at: int) -> int:
    run = _NUMBERS.match(page, at)
    return run.end() if run else at
