"""Masks e-mail addresses, phone numbers and public IP addresses."""

from __future__ import annotations

import dataclasses
import ipaddress
import re
from collections.abc import Sequence
from typing import ClassVar, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from dclm.curate.step import Context, Map, MapFunction
from dclm.filters.lines.page_edits import edit_pages
from dclm.filters.personal import Span, find_emails, find_ipv4, find_ipv6, find_phones
from dclm.filters.url.places import is_boundary
from dclm.text.kernels import lean
from dclm.text.unicode import class_table

_LOCAL = np.zeros(256, np.bool_)
_LOCAL[[*range(48, 58), *range(65, 91), *range(97, 123), *b"!#$%&'*+/=?^_`{|}~-"]] = True
_AT = 64
_DOT = 46
_DOMAIN = re.compile(
    rb"(?:(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?\.)+[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
    rb"|\[(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}"
    rb"(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?|[A-Za-z0-9-]*[A-Za-z0-9]:)\])"
)
_ADDRESS = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)\.){3}(?:25[0-5]|2[0-4][0-9]|[01]?[0-9][0-9]?)")
_ADDRESS_MARK = r"[0-9]\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]"
_MARK = rf"{_ADDRESS_MARK}|[0-9A-Fa-f]:[0-9A-Fa-f:]|(?:[0-9][^0-9\n]{{0,4}}){{5}}[0-9]"
"""Pattern of every page with an address or a phone number: six digits near each other, or colons between hex digits."""


@lean
def _local_part(
    data: NDArray[np.uint8], start: int, at: int, local: NDArray[np.bool_], classes: NDArray[np.uint16]
) -> int:
    """Start of the longest local part that ends before the @ at `at` and begins at a word boundary, or -1."""
    found = -1
    place = at - 1
    while place >= start:
        if data[place] == _DOT:
            if place + 1 == at or place == start or not local[data[place - 1]] or not local[data[place + 1]]:
                break
        elif not local[data[place]]:
            break
        elif is_boundary(data, 0, at, place, classes):
            found = place
        place -= 1
    return found


@dataclasses.dataclass(frozen=True, kw_only=True)
class PiiMasking(Map):
    """Replaces e-mail addresses, phone numbers and public IP addresses, cycling through replacements within each page.

    Addresses may be internationalized (`jürgen@bücher.example`) and IPv4 or IPv6. Version numbers, and numbers such as
    999.1.1.1 that only end like an address, are left unchanged, as are dates, prices, ISBNs and card numbers.

    Source: `PIIFormatter` of datatrove, as FineWeb used it, is `rules: fineweb`: ASCII e-mail addresses, and IPv4
    wherever four numbers are in a row. Differences: its cycle continues from page to page, so a page's text depends on
    the pages before it; ours restarts with each page. Its expression for addresses is quadratic in the length of a
    word; this scan is linear.
    """

    name: ClassVar[str] = "pii_masking"
    version: ClassVar[int] = 2

    rules: Literal["all", "fineweb"] = "all"
    """What to mask: everything below, or only what FineWeb masked (no phone numbers, IPv6 or international mail)."""
    emails: bool = True
    """Replace e-mail addresses."""
    ips: bool = True
    """Replace IP addresses."""
    phones: bool = True
    """Replace phone numbers. Not with `rules: fineweb`."""
    public_ips_only: bool = True
    """Keep private, loopback and other reserved addresses."""
    email_replacements: tuple[str, ...] = ("email@example.com", "firstname.lastname@example.org")
    """Replacements for e-mail addresses."""
    ip_replacements: tuple[str, ...] = (
        "22.214.171.124", "126.96.36.199", "188.8.131.52", "184.108.40.206", "220.127.116.11", "18.104.22.168",
    )  # fmt: skip
    """Replacements for IPv4 addresses."""
    ipv6_replacements: tuple[str, ...] = ("2001:db8::1", "2001:db8::2", "2001:db8::3")
    """Replacements for IPv6 addresses; the default ones are reserved for documentation."""
    phone_replacements: tuple[str, ...] = ("+1 202-555-0100", "+1 202-555-0142", "+1 202-555-0199")
    """Replacements for phone numbers; the default ones are reserved for fiction."""

    def __post_init__(self) -> None:
        for name in ("email", "ip", "ipv6", "phone"):
            if not getattr(self, f"{name}_replacements"):
                raise ValueError(f"`{name}_replacements` needs an entry")

    def open(self, context: Context) -> MapFunction:
        mask, pattern = (self._mask, _MARK) if self.rules == "all" else (self._mask_as_fineweb, _ADDRESS_MARK)

        def edit(batch: pa.RecordBatch) -> pa.RecordBatch:
            text = batch["text"]
            wanted = pc.or_(pc.match_substring(text, "@"), pc.match_substring_regex(text, pattern))
            return edit_pages(batch, wanted, mask, drop_empty=False)

        return edit

    def _mask(self, page: str) -> tuple[str, int]:
        edits = 0
        for wanted, find, replacements in (
            (self.emails, find_emails, self.email_replacements),
            (self.ips, lambda text: find_ipv6(text, self.public_ips_only), self.ipv6_replacements),
            (self.ips, lambda text: find_ipv4(text, self.public_ips_only), self.ip_replacements),
            (self.phones, find_phones, self.phone_replacements),
        ):
            if wanted:
                page, count = _replace(page, list(find(page)), replacements)
                edits += count
        return page, edits

    def _mask_as_fineweb(self, page: str) -> tuple[str, int]:
        masked = edits = 0
        if self.emails and "@" in page:
            page, masked = _mask_emails(page, self.email_replacements, _LOCAL, class_table())
        if self.ips:
            page, edits = self._mask_addresses(page)
        return page, masked + edits

    def _mask_addresses(self, page: str) -> tuple[str, int]:
        count = 0

        def replace(match: re.Match[str]) -> str:
            nonlocal count
            if not _is_address(match.group(), self.public_ips_only):
                return match.group()
            count += 1
            return self.ip_replacements[(count - 1) % len(self.ip_replacements)]

        return _ADDRESS.sub(replace, page), count


def _replace(page: str, spans: Sequence[Span], replacements: tuple[str, ...]) -> tuple[str, int]:
    pieces, copied = [], 0
    for number, span in enumerate(spans):
        pieces += [page[copied : span.start], replacements[number % len(replacements)]]
        copied = span.end
    return "".join([*pieces, page[copied:]]), len(spans)


def _mask_emails(
    page: str, replacements: tuple[str, ...], local: NDArray[np.bool_], classes: NDArray[np.uint16]
) -> tuple[str, int]:
    raw = page.encode()
    data = np.frombuffer(raw, np.uint8)
    pieces: list[bytes] = []
    copied = count = 0
    at = raw.find(b"@")
    while at >= 0:
        start = _local_part(data, copied, at, local, classes)
        domain = _DOMAIN.match(raw, at + 1) if start >= 0 else None
        if domain is not None:
            pieces += [raw[copied:start], replacements[count % len(replacements)].encode()]
            copied = domain.end()
            count += 1
        at = raw.find(b"@", max(at + 1, copied))
    return b"".join([*pieces, raw[copied:]]).decode(), count


def _is_address(text: str, public_only: bool) -> bool:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:  # such as 010.0.0.1, which the expression also matches
        return False
    return address.is_global or not public_only
