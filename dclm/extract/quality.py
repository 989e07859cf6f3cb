"""How well an extractor finds the main text, compared with human annotations, and how fast it is."""

from __future__ import annotations

import gzip
import html
import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import pyarrow as pa

from dclm.extract.encoding import decode_detected
from dclm.extract.extractors import ExtractFunction
from dclm.extract.guard import cpu_seconds

_TOKEN = re.compile(r"[぀-ヿ㐀-鿿]|[^\W぀-ヿ㐀-鿿]+")  # of kana and Han, every character is a token
_TAG = re.compile(r"<[^<>]{1,200}>")


class GoldPage(NamedTuple):
    """A page and its human annotations."""

    html: str
    text: str
    """The main text."""
    present: tuple[str, ...]
    """Snippets that must be extracted."""
    absent: tuple[str, ...]
    """Snippets of navigation and similar parts that must not be extracted."""


class Agreement(NamedTuple):
    """One text compared with another, counting tokens with their multiplicity. All in [0, 1]."""

    precision: float
    recall: float
    f1: float


class Quality(NamedTuple):
    """One extractor over all pages: means over the pages (snippets: over the pages that have some)."""

    extractor: str
    pages: int
    precision: float
    recall: float
    f1: float
    present_fraction: float | None
    """Fraction of the snippets that must be present and are; None if no page has any."""
    absent_fraction: float | None
    """Fraction of the snippets that must be absent and are; None if no page has any."""
    pages_per_second: float
    """Pages per second of CPU time."""
    megabytes_per_second: float
    """HTML per second of CPU time, in 10⁶ characters."""


def load_gold(path: Path, crawl: Iterable[pa.RecordBatch]) -> list[GoldPage]:
    """The annotated pages of a gzip JSONL file, in its order, with their HTML from batches of PAGE columns.

    Lines have `url`, `warc` (the file that `source` begins with), `text` (which may contain simple tags) and optionally
    `with` and `without`. If one file has several captures of a URL, the first counts.
    """
    with gzip.open(path, "rt", encoding="utf-8") as file:
        gold = [json.loads(line) for line in file]
    wanted = {(row["warc"], row["url"]) for row in gold}
    pages: dict[tuple[str, str], str] = {}
    for batch in crawl:
        columns = (batch.column(name).to_pylist() for name in ("source", "url", "content_type", "body"))
        for source, url, content_type, body in zip(*columns, strict=True):
            key = (source.rpartition("#")[0], url)
            if key in wanted and key not in pages:
                pages[key] = decode_detected(body, content_type)
    return [
        GoldPage(
            pages[row["warc"], row["url"]],
            html.unescape(_TAG.sub(" ", row["text"])),
            tuple(row.get("with", ())),
            tuple(row.get("without", ())),
        )
        for row in gold
    ]


def measure(name: str, extract: ExtractFunction, pages: Sequence[GoldPage]) -> Quality:
    """Run an extractor over all pages and compare; the time is that of this process and of its guards' children."""
    started = cpu_seconds()
    texts = [extract(page.html) for page in pages]
    seconds = cpu_seconds() - started
    agreements = [agreement(text, page.text) for text, page in zip(texts, pages, strict=True)]
    mean = Agreement(*(fmean(values) for values in zip(*agreements, strict=True)))
    flat = [_flat(text) for text in texts]
    present = [_fraction(page.present, text, True) for page, text in zip(pages, flat, strict=True) if page.present]
    absent = [_fraction(page.absent, text, False) for page, text in zip(pages, flat, strict=True) if page.absent]
    return Quality(
        name,
        len(pages),
        mean.precision,
        mean.recall,
        mean.f1,
        fmean(present) if present else None,
        fmean(absent) if absent else None,
        len(pages) / seconds,
        sum(len(page.html) for page in pages) / 1e6 / seconds,
    )


def agreement(found: str, wanted: str) -> Agreement:
    """Token precision, recall and F1, ignoring letter case. Two empty texts agree."""
    a, b = Counter(_TOKEN.findall(found.lower())), Counter(_TOKEN.findall(wanted.lower()))
    shared = sum((a & b).values())
    if not a or not b:
        return Agreement(*(float(not a and not b),) * 3)
    precision, recall = shared / a.total(), shared / b.total()
    return Agreement(precision, recall, 2 * shared / (a.total() + b.total()))


def _flat(text: str) -> str:
    return " ".join(text.lower().split())


def _fraction(snippets: Iterable[str], text: str, there: bool) -> float:
    return fmean((_flat(snippet) in text) == there for snippet in snippets)
