"""Takes the screenshots of the documentation: `python -m tests.screenshots` writes docs/report.png and docs/board.png.

The pages are made here: the report of a generated crawl, and a board with published results and three made-up ones.
Needs Chromium.
"""

from __future__ import annotations

import base64
import sys
import tempfile
from pathlib import Path

from dclm.api import stages
from dclm.board.entry import Entry, Rescored, own
from dclm.board.pages.page import export_site
from dclm.pool.sample.crawl import make_sample
from dclm.report.build import build_report
from dclm.report.page import render_report
from tests.board.conftest import build_result
from tests.browser import CHROMIUM, Browser, resize
from tests.played import ROOT

WIDTH, HEIGHT = 1100, 720
MOST_BYTES = 150_000
PIPELINE = """
name: crawl
steps:
  - extract
  - page_length: {of: word, min: 50, max: 100000, ignore_punctuation: true}
  - repetition: {}
  - word_count: {column: words}
  - exact: {of: text}
  - quantile: {column: words, keep_top: 0.75}
"""


def main() -> None:
    if CHROMIUM is None:
        sys.exit("needs chromium (apt-get install chromium)")
    with tempfile.TemporaryDirectory(prefix="dclm-screenshots-") as folder:
        pages = {"report": report(Path(folder)), "board": board(Path(folder))}
        browser = Browser(Path(folder) / "profile")
        resize(browser, WIDTH, HEIGHT)
        for name, page in pages.items():
            browser.open(page)
            data = base64.b64decode(browser.call("Page.captureScreenshot", format="png")["data"])
            if len(data) > MOST_BYTES:
                sys.exit(f"{name}.png has {len(data):,} bytes, allowed: {MOST_BYTES:,}")
            (ROOT / "docs" / f"{name}.png").write_bytes(data)
            print(f"docs/{name}.png: {len(data):,} bytes")
        browser.close()


def report(folder: Path) -> Path:
    """The report of a generated crawl."""
    pool = make_sample(folder / "pool", seed=3, documents=400, files=2)
    pipeline = folder / "pipeline.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    stages.curate(pipeline, str(pool), folder / "documents", max_reject_fraction=1.0, allow_incomplete=True)
    page = folder / "report.html"
    page.write_text(render_report(build_report(folder / "documents", None)), encoding="utf-8")
    return page


def board(folder: Path) -> Path:
    """A board with results of each group."""
    mark = Rescored(items=1, tasks=53, answers_checked=53, sha256="0" * 64)
    ranked = [
        Entry(result=build_result(name=name, accuracy=accuracy, scale=scale), rescored=mark)
        for name, accuracy, scale in (("books and wiki", 0.44, "411m_1x"), ("crawl, cleaned", 0.41, "411m_1x"))
    ]
    return export_site(
        [*ranked, *own([build_result(name="first try", accuracy=0.4)])], folder / "board", published=True
    )


if __name__ == "__main__":
    main()
