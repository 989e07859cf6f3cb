"""Filters on 2,287 real pages, step by step.

`python -m tests.bench.bench_filters` prints a Markdown table. Times are CPU seconds of this process, the minimum of
three runs after one that compiles.
"""

from __future__ import annotations

import dataclasses
import gzip
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import fasttext
import pyarrow as pa

from dclm.assets import fetch
from dclm.curate.batches import Flow, Opened
from dclm.curate.pipeline import Pipeline, bind, load_pipeline
from dclm.curate.step import Context, Filter, Map, Step
from dclm.filters.language.fasttext import Language
from tests.bench.rows import report

ROOT = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("DCLM_SHARED", ROOT.parent / "shared"))
ROWS = 1024
RUNS = 3


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Where each page ended: the name of the step that dropped it, or its text."""

    dropped: dict[int, str]
    kept: dict[int, str]
    seconds: dict[str, float]
    """CPU seconds by "index name"."""


def pages() -> pa.RecordBatch:
    """The reference's input pages as a batch of documents."""
    with gzip.open(SHARED / "conformance" / "refinedweb_input.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return pa.RecordBatch.from_pydict(
        {
            "id": [row["record_id"] for row in rows],
            "url": [row["url"] for row in rows],
            "source": [row["warc"] for row in rows],
            "text": [row["text"] for row in rows],
            "_row": list(range(len(rows))),
        }
    )


def run(steps: Sequence[Step], documents: pa.RecordBatch) -> Outcome:
    """Apply the local steps among `steps`, as a worker does."""
    local = [step for step in steps if isinstance(step, Map | Filter) and step.name != "extract"]
    opened = Opened.all(local, 0, Context(files=bind(Pipeline(name="bench", steps=tuple(local))).files))
    outcome = Outcome({}, {}, {})
    for start in range(0, documents.num_rows, ROWS):
        batch, flow = documents.slice(start, ROWS), Flow(opened, seed=0)
        for step in opened:
            before, started = batch.column("_row").to_pylist(), time.process_time()
            batch = flow.step(batch, step, flow.count(step.step.name, step.index))
            key = f"{step.index + 1} {step.step.name}"
            outcome.seconds[key] = outcome.seconds.get(key, 0.0) + time.process_time() - started
            gone = set(before) - set(batch.column("_row").to_pylist())
            outcome.dropped.update(dict.fromkeys(gone, step.step.name))
        kept = zip(batch.column("_row").to_pylist(), batch.column("text").to_pylist(), strict=True)
        outcome.kept.update(kept)
    return outcome


def speed(documents: pa.RecordBatch) -> Iterator[str]:
    """Microseconds per page by step, and language identification compared with fastText's own batch predict."""
    steps = load_pipeline(ROOT / "pipelines" / "dclm_refinedweb_open.yaml").steps
    runs = [run(steps, documents).seconds for _ in range(RUNS + 1)][1:]
    best = {key: min(seconds[key] for seconds in runs) for key in runs[0]}
    count = documents.num_rows
    yield "| step | µs a page read |\n|---|---|"
    yield from (f"| {key} | {1e6 * seconds / count:.1f} |" for key, seconds in best.items())
    total = sum(best.values())
    yield f"| all | {1e6 * total / count:.1f} |\n"
    totals = [(sum(run.values()), next(s for key, s in run.items() if key.endswith(" language"))) for run in runs]
    report("filters", "pages/s", [count / total for total, _ in totals])
    report("filters without language id", "pages/s", [count / (total - language) for total, language in totals])
    model = fasttext.load_model(str(fetch("lid.176.ftz")))
    lines = [text.replace("\n", "") for text in documents.column("text").to_pylist()]
    ours = Language().open(Context(files={"lid.176.ftz": str(fetch("lid.176.ftz"))}))
    ours(documents.slice(0, 1))
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(RUNS):
        for name, work in (("ours", lambda: ours(documents)), ("theirs", lambda: model.predict(lines))):
            started = time.process_time()
            work()
            times[name].append(count / (time.process_time() - started))
    report("language id", "pages/s", times["ours"], beside="fastText's batch predict", theirs=times["theirs"])


def main() -> None:
    documents = pages()
    for line in speed(documents):
        sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
