"""What a page and its HTTP header say about text and data mining, about robots, and about its license.

Read are: the TDM Reservation Protocol (W3C community report, HTTP header and `meta`), robots directives (`X-Robots-Tag`
and `meta name=robots`), and Creative Commons licenses (`rel=license` in the header and on `link` and `a`, `license` in
JSON-LD, `dc.rights` and the like in `meta`). Each tag is read by itself, at most 4,000 characters of it, so that no
page takes more time than its length allows.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from typing import NamedTuple

from dclm.core.names import is_name

_HINTS = re.compile(rb"(?i)tdm-reservation|robots|licen[sc]e|\bdc(?:terms)?[.:]rights|creativecommons")
_TAG = re.compile(r"<(meta|link|a)\s([^<>]{1,4000})>", re.IGNORECASE)
_ATTRIBUTE = re.compile(r"""([\w:.-]{1,60})\s{0,20}=\s{0,20}(?:"([^"]{0,2000})"|'([^']{0,2000})'|([^\s"'>]{1,2000}))""")
_BLOCKS = (("<!--", "-->"), ("<script", "</script"), ("<style", "</style"), ("<textarea", "</textarea"))
_JSON_LD = re.compile(r"""type\s{0,20}=\s{0,20}["']?application/ld\+json""", re.IGNORECASE)
_LICENSE_NAMES = frozenset(
    [f"{kind}{mark}{name}" for kind in ("dc", "dcterms") for mark in ".:" for name in ("rights", "license")]
    + ["dc.rights.license"]
)
_MAX_JSON = 1 << 20
_MAX_DEPTH = 40
_LINK = re.compile(r"<([^<>]{1,2000})>([^,<]{0,2000})")
_REL = re.compile(r"""\brel\s{0,20}=\s{0,20}(?:"([^"]*)"|'([^']*)'|([^\s;"',]+))""", re.IGNORECASE)
_DEED = re.compile(
    r"creativecommons\.org/(?:licen[sc]es/(by(?:-nc)?(?:-nd|-sa)?)|publicdomain/(zero|mark))/(\d\.\d)", re.IGNORECASE
)
_NAMED = re.compile(r"\bCC[ -]?(BY(?:-NC)?(?:-ND|-SA)?|0)(?:[ -](\d\.\d))?(?![\w-])", re.IGNORECASE)
_ROBOTS = frozenset([
    "noai", "noimageai", "noindex", "nofollow", "noarchive", "nocache", "nosnippet", "noimageindex", "notranslate",
    "indexifembedded", "none",
])  # fmt: skip
_WITH_VALUE = frozenset(["max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"])


class Statements(NamedTuple):
    """What a page states; None where it states nothing."""

    tdm: str | None
    """`reserved` or `not reserved`: text and data mining."""
    robots: str | None
    """The directives for all robots that restrict something, sorted, separated by commas."""
    license: str | None
    """Creative Commons licenses such as `CC BY-SA 4.0`, sorted, separated by semicolons."""


def read_statements(header: str | None, body: bytes | memoryview | None) -> Statements:
    """The statements in the lines of a header (`name: value`) and in a page.

    The page may be in any encoding that contains ASCII: only ASCII is looked for. If header and page contradict each
    other, what restricts more counts.
    """
    tdm: list[str] = []
    robots: list[str] = []
    licenses: list[str] = []
    for line in (header or "").splitlines():
        name, _, value = line.partition(":")
        name = name.strip().lower()
        if name == "tdm-reservation":
            tdm.append(value)
        elif name == "x-robots-tag":
            robots.append(value)
        elif name == "link":
            licenses += [target for target, more in _LINK.findall(value) if _is_license(_rel_of(more))]
    data = bytes(body or b"")
    if _HINTS.search(data):
        for kind, value in _in_page(data.decode("ascii", "replace")):
            {"tdm": tdm, "robots": robots, "license": licenses}[kind].append(value)
    return Statements(_tdm(tdm), _robots(robots), _license(licenses))


def _in_page(page: str) -> Iterator[tuple[str, str]]:
    """What it states, each with its kind."""
    markup, scripts = _split(page)
    for tag, inside in _TAG.findall(markup):
        fields = {name.lower(): html.unescape(a or b or c) for name, a, b, c in _ATTRIBUTE.findall(inside)}
        named = (fields.get("name") or fields.get("property") or "").lower()
        if tag.lower() == "meta":
            kind = {"tdm-reservation": "tdm", "robots": "robots"}.get(named)
            kind = "license" if named in _LICENSE_NAMES else kind
            if kind is not None and "content" in fields:
                yield kind, fields["content"]
        elif "href" in fields and _is_license(fields.get("rel", "")):
            yield "license", fields["href"]
    for script in scripts:
        yield from (("license", value) for value in _in_json(script))


def _split(page: str) -> tuple[str, list[str]]:
    """The page without comments, scripts and the like; and its JSON-LD."""
    lower = page.lower()
    kept: list[str] = []
    found: list[str] = []
    at = 0
    following = {opening: lower.find(opening) for opening, _ in _BLOCKS}
    while True:
        following = {
            opening: lower.find(opening, at) if -1 < place < at else place for opening, place in following.items()
        }
        start, opening = min((place if place >= 0 else len(page), opening) for opening, place in following.items())
        kept.append(page[at:start])
        if start == len(page):
            return " ".join(kept), found
        end = lower.find(dict(_BLOCKS)[opening], start)
        end = len(page) if end < 0 else end
        inner = lower.find(">", start, end)
        if opening == "<script" and 0 <= inner - start <= 4000 and _JSON_LD.search(page, start, inner):
            found.append(page[inner + 1 : end])
        at = min(end + 1, len(page))


def _in_json(text: str) -> Iterator[str]:
    """The values of `license` anywhere in JSON-LD; none if it is not JSON."""
    if len(text) > _MAX_JSON:
        return
    try:
        pending = [(json.loads(text), 0)]
    except (ValueError, RecursionError):
        return
    while pending:
        value, depth = pending.pop()
        if depth > _MAX_DEPTH:
            continue
        if isinstance(value, list):
            pending += [(inner, depth + 1) for inner in value]
        elif isinstance(value, dict):
            for name, inner in value.items():
                if name.lower() in ("license", "schema:license"):
                    yield from _texts(inner)
                pending.append((inner, depth + 1))


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (inner for inner in value if isinstance(inner, str))
    elif isinstance(value, dict):
        yield from (inner for name in ("@id", "url") if isinstance(inner := value.get(name), str))


def _rel_of(text: str) -> str:
    found = _REL.search(text)
    return "" if found is None else found[1] or found[2] or found[3] or ""


def _is_license(rel: str) -> bool:
    return "license" in rel.lower().split()


def _tdm(values: list[str]) -> str | None:
    said = {value.strip() for value in values} & {"0", "1"}
    return None if not said else "reserved" if "1" in said else "not reserved"


def _robots(values: list[str]) -> str | None:
    found = set()
    for value in values:
        for part in value.lower().split(","):
            name, colon, rest = (piece.strip() for piece in part.partition(":"))
            if colon and name not in _WITH_VALUE:
                if name not in ("*", "all") and is_name(name.replace(" ", "_")):
                    break  # the rest of the line is for one robot only
                name = rest
            if name in _ROBOTS:
                found.add(name)
    if "none" in found:
        found = (found - {"none"}) | {"noindex", "nofollow"}
    return ",".join(sorted(found)) or None


def _license(values: list[str]) -> str | None:
    found = set()
    for value in values:
        for kind, public, version in _DEED.findall(value):
            name = f"CC {kind.upper()}" if kind else {"zero": "CC0", "mark": "Public Domain Mark"}[public.lower()]
            found.add(f"{name} {version}")
        if "creativecommons.org" not in value.lower():
            for kind, version in _NAMED.findall(value):
                name = "CC0" if kind == "0" else f"CC {kind.upper()}"
                found.add(f"{name} {version}".strip())
    return "; ".join(sorted(found)) or None
