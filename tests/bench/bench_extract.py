"""Quality and speed of every extractor, side by side, on the marked pages: `python -m tests.bench.bench_extract`."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dclm.extract.extractors import NAMES, load_extractor
from dclm.extract.quality import GoldPage, Quality, load_gold, measure
from dclm.extract.union import union
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file


def rows(folder: Path, pages: int | None = None) -> list[Quality]:
    """One row an extractor, and one for the union of all; `pages`: only every n-th so that about so many are left."""
    crawl = (b for f in list_files([str(folder / "crawl-*.warc.gz")]) for b in read_file(f, Tally()))
    gold: list[GoldPage] = load_gold(folder / "gold.jsonl.gz", crawl)
    if pages is not None:
        gold = gold[:: max(1, len(gold) // pages)]
    extractors = {name: load_extractor(name) for name in NAMES}
    found = [measure(name, extract, gold) for name, extract in extractors.items()]
    both = [extractors["resiliparse"], extractors["trafilatura"], extractors["justext"]]
    found.append(measure("union of the three", lambda html: union([extract(html) for extract in both]), gold))
    return found


def main() -> None:
    """Print the table; an argument bounds the number of pages."""
    folder = Path(os.environ.get("DCLM_SHARED", "../shared")) / "web"
    print("extractor            pages  F1     precision  recall  with   without  pages/s  MB/s")
    for q in rows(folder, int(sys.argv[1]) if len(sys.argv) > 1 else None):
        agreement = f"{q.f1:.3f}  {q.precision:.3f}      {q.recall:.3f}"
        snippets = f"{q.present_fraction:.3f}  {q.absent_fraction:.3f}"
        speed = f"{q.pages_per_second:7.1f}  {q.megabytes_per_second:.1f}"
        print(f"{q.extractor:<20} {q.pages:>5}  {agreement}   {snippets}    {speed}")


if __name__ == "__main__":
    main()
