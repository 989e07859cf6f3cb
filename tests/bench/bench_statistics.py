"""Statistics filters and their features on 2,287 real pages, one core: `python -m tests.bench.bench_statistics`.

Each filter gets all pages, with the features it reads computed for it alone. CPU seconds of this process, medians of
five runs after one that compiles. What a pipeline's order saves is measured by `bench_filters`.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from dclm.curate.step import Context, Filter, Map
from dclm.filters.rules.gopher import AlphabeticWords, BulletLines, EllipsisLines, StopWords, SymbolRatio
from dclm.filters.rules.gopher_published import GopherQuality, GopherRepetition
from dclm.filters.rules.length import PageLength, WordLength
from dclm.filters.rules.repetition import Repetition
from dclm.filters.rules.words import WordCount
from dclm.text.features import FEATURES
from tests.bench.rows import report

ROOT = Path(__file__).resolve().parents[2]
RUNS = 5
ALL_FEATURES = ("words", "tokens", "symbols", "lines", "line_copies", "paragraph_copies", "ngrams")
STEPS: tuple[Map | Filter, ...] = (
    PageLength(ignore_punctuation=True), WordLength(), SymbolRatio(), BulletLines(), EllipsisLines(), AlphabeticWords(),
    StopWords(), Repetition(), WordCount(), GopherQuality(), GopherRepetition(),
)  # fmt: skip


def median_seconds(work: Callable[[], object]) -> float:
    """Median CPU seconds of a call."""
    seconds = []
    for run in range(RUNS + 1):
        started = time.process_time()
        work()
        if run:
            seconds.append(time.process_time() - started)
    return statistics.median(seconds)


def run_alone(step: Map | Filter, text: pa.StringArray) -> None:
    """One step on all pages."""
    columns = {"text": text, **{f"_{name}": FEATURES[name](text) for name in step.features}}
    step.open(Context())(pa.record_batch(columns))


def main() -> None:
    shared = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))
    if not (shared / "DATA.md").exists():
        sys.exit(f"needs the real data: no {shared} (set DCLM_SHARED)")
    with gzip.open(shared / "conformance" / "refinedweb_input.jsonl.gz", "rt", encoding="utf-8") as lines:
        text = pa.array([json.loads(line)["text"] for line in lines])
    megabytes = sum(len(page.encode()) for page in text.to_pylist()) / 1e6

    def show(name: str, seconds: float) -> None:
        report(f"{name}, alone", "MB/s", megabytes / seconds)

    for step in STEPS:
        show(step.name, median_seconds(lambda step=step: run_alone(step, text)))
    for name in FEATURES:
        show(f"feature {name}", median_seconds(lambda name=name: FEATURES[name](text)))
    show("all features of dclm_refinedweb", median_seconds(lambda: [FEATURES[name](text) for name in ALL_FEATURES]))


if __name__ == "__main__":
    main()
