"""The pages of the sample crawl: their kinds, the number of each, and their true properties."""

from __future__ import annotations

import dataclasses
import random
import re
from collections.abc import Callable

from dclm.pool.sample.html import wrap
from dclm.pool.sample.junk import BOILERPLATE, SPAM, SPAM_SITES
from dclm.pool.sample.text import LANGUAGES, TextBlock, article, chatter, foreign_page, plain_text


@dataclasses.dataclass(frozen=True, kw_only=True)
class Page:
    """One page of the crawl: its bytes and its true properties."""

    url: str
    body: bytes
    main_text: str
    language: str
    quality: str
    """high, low, spam, boilerplate or broken."""
    cluster: int | None = None
    """Number shared by the pages of one duplicate cluster."""
    relation: str | None = None
    """original, exact or near: the page's part in its cluster."""
    encoding: str = "utf-8"
    fault: str | None = None
    """How the record is broken (see `sample_warc`)."""


SHARES = {
    "low": 0.18, "exact": 0.05, "near": 0.09, "spam": 0.08, "boilerplate": 0.09, "foreign": 0.12, "legacy": 0.025,
    "broken": 0.015,
}  # fmt: skip
"""Kind of page → fraction of the crawl; the rest are high-quality pages."""
RECORD_FAULTS = ("no_http_header", "short_body", "bad_gzip", "bad_chunks", "no_uri")
"""Ways to break a record that leave its neighbors readable for every reader."""
FILE_FAULTS = ("short_length", "long_length", "truncated")
"""Ways that make a simple reader lose its place; one record of each kind ends the last file, with an intact page
between them."""
_FIRST = (
    "quiet", "amber", "northern", "little", "copper", "granite", "willow", "silver", "paper", "harbour", "meadow",
    "lantern", "maple", "river", "cedar", "open",
)  # fmt: skip
_SECOND = (
    "field", "notes", "post", "journal", "garden", "review", "press", "kitchen", "works", "letters", "atlas", "bench",
    "archive", "trail", "studio", "lab",
)  # fmt: skip
_ENDINGS = ["com", "com", "com", "org", "net", "co.uk", "info", "edu"]
_LEGACY = {
    "es": "windows-1252", "de": "windows-1252", "fr": "windows-1252", "it": "iso-8859-1", "ru": "windows-1251",
}  # fmt: skip
"""Language → the charset that an old page in it would use."""
_NATIONAL = {"es": "es", "de": "de", "fr": "fr", "ru": "ru", "zh": "cn", "it": "it"}


def make_pages(rng: random.Random, documents: int) -> list[Page]:
    """`documents` pages in the order of the crawl."""
    counts = {kind: round(share * documents) for kind, share in SHARES.items()}
    pages: list[Page] = []
    for _ in range(documents - sum(counts.values())):
        pages.append(_english(rng, article(rng), "high"))
    for _ in range(counts["low"]):
        pages.append(_english(rng, chatter(rng), "low"))
    pages += _duplicates(rng, counts["exact"], counts["near"])
    pages += [_spam(rng) for _ in range(counts["spam"])]
    pages += [_boilerplate(rng) for _ in range(counts["boilerplate"])]
    pages += [_foreign(rng, LANGUAGES[i % len(LANGUAGES)], "utf-8") for i in range(counts["foreign"])]
    legacy = sorted(_LEGACY)
    pages += [_foreign(rng, code, _LEGACY[code]) for code in (legacy[i % len(legacy)] for i in range(counts["legacy"]))]
    whole = counts["broken"] - len(FILE_FAULTS)
    pages += [_broken(rng, RECORD_FAULTS[i % len(RECORD_FAULTS)]) for i in range(whole)]
    rng.shuffle(pages)
    for pages_after, fault in zip((2, 1, 0), FILE_FAULTS[: counts["broken"]], strict=False):
        pages.insert(len(pages) - pages_after, _broken(rng, fault))
    return _unique_urls(pages)


def _english(rng: random.Random, blocks: list[TextBlock], quality: str) -> Page:
    site, url = _address(rng, blocks, "en")
    body = wrap(rng, blocks, site).encode()
    return Page(url=url, body=body, main_text=plain_text(blocks), language="en", quality=quality)


def _duplicates(rng: random.Random, exact: int, near: int) -> list[Page]:
    """Clusters of two to five pages: an original, and copies whose total numbers are `exact` and `near`."""
    pages: list[Page] = []
    cluster = 0
    for relation, left in (("exact", exact), ("near", near)):
        while left > 0:
            blocks, quality = (article(rng), "high") if rng.random() < 0.7 else (chatter(rng), "low")
            original = dataclasses.replace(_english(rng, blocks, quality), cluster=cluster, relation="original")
            copies = min(left - 1, rng.randint(1, 4)) if left > 1 else 0
            pages.append(original if copies else dataclasses.replace(original, cluster=None, relation=None))
            for _ in range(copies):
                if relation == "exact":
                    copy = dataclasses.replace(original, url=_address(rng, blocks, "en")[1])
                else:
                    copy = _english(rng, _edited(rng, blocks), quality)
                pages.append(dataclasses.replace(copy, cluster=cluster, relation=relation))
            left -= copies + 1
            cluster += 1
    return pages


def _edited(rng: random.Random, blocks: list[TextBlock]) -> list[TextBlock]:
    """The page as a mirror would have it: the last sentence of a paragraph removed, two words changed, a line added at
    the top."""
    out = list(blocks)
    long = [i for i, block in enumerate(out) if block.kind == "p" and block.text.count(". ") >= 2]
    if long:
        i = rng.choice(long)
        out[i] = TextBlock("p", out[i].text.rsplit(". ", 1)[0] + ".")
    for _ in range(2):
        i = rng.choice([i for i, block in enumerate(out) if block.kind == "p"])
        words = out[i].text.split(" ")
        words[rng.randrange(len(words))] = rng.choice(("indeed", "certain", "another", "perhaps"))
        out[i] = TextBlock("p", " ".join(words))
    day = f"{rng.randint(1, 28)} {rng.choice(('March', 'June', 'October'))}"
    stamp = f"Updated on {day} by {rng.choice(_FIRST)} {rng.choice(_SECOND)}."
    return [out[0], TextBlock("p", stamp), *out[1:]]


def _spam(rng: random.Random) -> Page:
    blocks = _pick(rng, SPAM)(rng)
    if rng.random() < 0.5:
        site = rng.choice(SPAM_SITES)
        url = f"http://{site}/{_slug(blocks[0].text)}-{rng.randrange(10**5)}.html"
    else:
        site, url = _address(rng, blocks, "en")
    body = wrap(rng, blocks, site).encode()
    return Page(url=url, body=body, main_text=plain_text(blocks), language="en", quality="spam")


def _boilerplate(rng: random.Random) -> Page:
    return _english(rng, _pick(rng, BOILERPLATE)(rng), "boilerplate")


def _foreign(rng: random.Random, language: str, encoding: str) -> Page:
    blocks = foreign_page(rng, language)
    site, url = _address(rng, blocks, language)
    body = wrap(rng, blocks, site, language, encoding).encode(encoding, "xmlcharrefreplace")
    text = plain_text(blocks)
    return Page(url=url, body=body, main_text=text, language=language, quality="high", encoding=encoding)


def _broken(rng: random.Random, fault: str) -> Page:
    return dataclasses.replace(_english(rng, article(rng), "broken"), fault=fault)


def _pick(
    rng: random.Random, makers: tuple[Callable[[random.Random], list[TextBlock]], ...]
) -> Callable[[random.Random], list[TextBlock]]:
    return makers[rng.randrange(len(makers))]


def _address(rng: random.Random, blocks: list[TextBlock], language: str) -> tuple[str, str]:
    """The name of a site and a URL on it."""
    ending = _NATIONAL.get(language, rng.choice(_ENDINGS))
    site = f"{rng.choice(_FIRST)}{rng.choice(_SECOND)}.{ending}"
    slug = _slug(blocks[0].text) or f"page-{rng.randrange(10**6)}"
    path = rng.choice(
        (
            f"{rng.randint(2009, 2023)}/{rng.randint(1, 12):02}/{slug}.html",
            f"articles/{slug}",
            f"blog/{slug}/",
            f"read.php?id={rng.randrange(10**6)}",
            f"{slug}-{rng.randrange(10**4)}",
        )
    )
    return site, f"{rng.choice(('https', 'https', 'http'))}://{rng.choice(('www.', '', 'blog.'))}{site}/{path}"


def _slug(title: str) -> str:
    return "-".join(re.findall(r"[a-z]+", title.lower())[:6])


def _unique_urls(pages: list[Page]) -> list[Page]:
    seen: set[str] = set()
    out = []
    for page in pages:
        url = page.url
        while url in seen:
            url += f"{'&' if '?' in url else '?'}v={len(seen)}"
        seen.add(url)
        out.append(dataclasses.replace(page, url=url))
    return out
