"""Compares all extractors on pages whose main text is known."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from dclm.assets import fetch
from dclm.core.errors import DataError
from dclm.core.storage import open_input
from dclm.extract.encoding import decode_detected
from dclm.extract.extractors import NAMES, load_extractor
from dclm.extract.guard import Guard
from dclm.extract.quality import GoldPage, Quality, load_gold, measure
from dclm.extract.union import union
from dclm.extract.wheels import EarlierVersion, unpack, wheel_asset
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.sample.crawl import make_sample

UNION = "union of all"
_TIMEOUT_SECONDS = 60.0


def compare_extractors(
    pages: Sequence[GoldPage],
    each: Callable[[str], None] = lambda name: None,
    versions: Sequence[EarlierVersion] = (),
) -> list[Quality]:
    """One row per extractor and one for the union of all; `each` is called with the name of each extractor as it
    begins.

    Runs in this process, one after the other, without the guards of the `extract` step; earlier `versions` of
    Resiliparse run in a child process, as in that step. Raises: ConfigError if no wheel of an earlier version fits this
    machine.
    """
    extractors = {name: load_extractor(name) for name in NAMES}
    found = []
    for name, extract in extractors.items():
        each(name)
        found.append(measure(name, extract, pages))
    for version in versions:
        title = f"resiliparse {version}"
        each(title)
        guard = Guard("resiliparse", _TIMEOUT_SECONDS, 1 << 30, unpack(fetch(wheel_asset(version))))
        guard.extract(b"")  # the child's start and imports do not count as extraction time
        found.append(measure(title, partial(_in_child, guard), pages))
        guard.close()
    each(UNION)
    found.append(measure(UNION, lambda html: union([extract(html) for extract in extractors.values()]), pages))
    return found


def _in_child(guard: Guard, html: str) -> str:
    return guard.extract(html.encode("utf-8", "replace"))


def thinned(pages: Sequence[GoldPage], count: int | None) -> list[GoldPage]:
    """About `count` of the pages, evenly spread (None: all)."""
    return list(pages if count is None else pages[:: max(1, len(pages) // count)])


def marked_pages(gold: Path) -> list[GoldPage]:
    """The pages of a gzip JSONL file (see `load_gold`), with their HTML from the WARC files it names, which are next to
    it.

    Raises: DataError if a line is not an annotated page, or a crawl file or a page is missing.
    """
    names: dict[str, None] = {}
    try:
        with open_input(gold) as raw, gzip.open(raw, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                row = json.loads(line)
                if not isinstance(row, dict) or not {"url", "warc", "text"} <= row.keys():
                    raise DataError(f"{gold}:{number}", "allowed: an object with `url`, `warc` and `text`")
                names.setdefault(row["warc"])
    except (OSError, EOFError, ValueError) as error:
        raise DataError(str(gold), f"not gzip JSONL: {error}") from None
    try:
        return load_gold(gold, _batches([str(gold.parent / name) for name in names]))
    except KeyError as missing:
        raise DataError(str(gold), f"no page {missing.args[0]} in the files next to it") from None


def generated_pages(documents: int, seed: int = 0) -> list[GoldPage]:
    """The intact pages of a generated crawl that have a main text; they have no snippets to search for."""
    with tempfile.TemporaryDirectory(prefix="dclm-bench-") as directory:
        pool = make_sample(Path(directory) / "pool", seed=seed, documents=documents, files=1)
        truth = pq.read_table(pool / "truth.parquet", columns=["id", "main_text", "fault"]).to_pylist()
        texts = {row["id"]: row["main_text"] for row in truth if row["main_text"] and row["fault"] is None}
        pages = []
        for batch in _batches([str(pool / "warc")]):
            columns = (batch.column(name).to_pylist() for name in ("id", "content_type", "body"))
            for identifier, content_type, body in zip(*columns, strict=True):
                if identifier in texts and body is not None:
                    pages.append(GoldPage(decode_detected(body, content_type), texts[identifier], (), ()))
        return pages


def _batches(paths: Sequence[str]) -> Iterator[pa.RecordBatch]:
    for file in list_files(paths):
        yield from read_file(file, Tally())
