"""The cost of a pool of many tiny files: CPU per file, files left on disk, and the driver's memory.

`python -m tests.bench.bench_pool --files 100000` also curates a tenth as many files and compares the cost per file.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.engine import open_engine
from dclm.pool.files import list_files, with_fields

PIPELINE = """
name: tiny
steps:
  - page_length: {of: word, min: 3}
  - exact: {of: text}
  - minhash: {ngram: 5, bands: 9, rows: 5}
  - quantile: {column: quality, keep_top: 0.5}
"""
_WORDS = [f"word{number}" for number in range(5000)]


class Cost(NamedTuple):
    """Measurements of one run."""

    files: int
    cpu_seconds: float
    wall_seconds: float
    left: int
    """Files of the artifact."""


def write_pool(root: Path, count: int) -> None:
    """JSON lines files with three documents each."""
    draw = random.Random(0)
    root.mkdir()
    for number in range(count):
        texts = [" ".join(draw.choices(_WORDS, k=40)) for _ in range(3)]
        lines = (f'{{"text": "{text}", "quality": {draw.random():.4f}}}\n' for text in texts)
        (root / f"{number:07d}.jsonl").write_text("".join(lines), encoding="utf-8")


def cpu_seconds() -> float:
    """CPU seconds of this process and its children that have ended."""
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))


def cost_of(work: Path, count: int, on: str, workers: int) -> Cost:
    """Curate a pool of `count` files."""
    pool, out = work / f"pool-{count}", work / f"out-{count}"
    write_pool(pool, count)
    pipeline = work / "tiny.yaml"
    pipeline.write_text(PIPELINE, encoding="utf-8")
    started, before = time.perf_counter(), cpu_seconds()
    files = list_files([str(pool)])
    fields = type(files[0].fields)(keep=(("quality", "number"),))
    with open_engine(on, workers) as engine:
        curate(bind(load_pipeline(pipeline)), with_fields(files, fields), out, CurateOptions(), engine)
    left = sum(len(names) for _, _, names in os.walk(out))
    return Cost(count, cpu_seconds() - before, time.perf_counter() - started, left)


def main(files: int, on: str, workers: int) -> None:
    """Print the cost of `files` files and of a tenth as many."""
    with tempfile.TemporaryDirectory() as directory:
        costs = []
        cost_of(Path(directory), 20, on, workers)  # compiles the kernels
        for count in (files // 10, files):
            cost = cost_of(Path(directory), count, on, workers)
            costs.append(cost)
            print(
                f"files {cost.files}  cpu_ms_per_file {1000 * cost.cpu_seconds / cost.files:.2f}"
                f"  seconds {cost.wall_seconds:.1f}  files_left {cost.left}",
                flush=True,
            )
    few, many = (cost.cpu_seconds / cost.files for cost in costs)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"ratio {many / few:.2f} (cost per file of {files} files to that of {files // 10})  driver_peak_mb {peak:.0f}"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--on", default="local")
    parser.add_argument("--workers", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.files, arguments.on, arguments.workers)
