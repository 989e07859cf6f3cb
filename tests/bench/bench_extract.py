"""Quality and speed of every extractor on the marked pages: `dclm bench extract` with the real data."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from dclm.cli.bench import print_qualities
from dclm.report.extraction import compare_extractors, marked_pages, thinned
from tests.bench.rows import report


def main() -> None:
    """Print the table; an argument bounds the number of pages."""
    gold = marked_pages(Path(os.environ.get("DCLM_SHARED", "../shared")) / "web" / "gold.jsonl.gz")
    found = compare_extractors(thinned(gold, int(sys.argv[1]) if len(sys.argv) > 1 else None))
    print_qualities(found)
    for quality in found:
        report(f"extract with {quality.extractor}", "pages/s", quality.pages_per_second)
        report(f"token F1 of {quality.extractor}", "of 1", quality.f1)


if __name__ == "__main__":
    main()
