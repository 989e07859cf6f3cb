"""Deduplication through the engine as the corpus grows: `python -m tests.bench.bench_dedup_scale [DOCUMENTS …]`.

Generated documents of 60 words in shards of 5,000; every third is a near-copy of an earlier one, anywhere. Each run is
a separate process with one worker, so that its peak memory is that of emit, reduce, decide and drop together. Seconds
are CPU seconds, without a first run that compiles. This measures the cost per document, so it begins where a run's
fixed cost is small: about 0.1 s for 60 units of work that are committed (fsync, unit.json, a file opened for each shard
and partition) whatever they contain. For 5,000 documents, that would be a third. `50000 500000 5000000` takes half an
hour and 30 GB of disk. The memory of a worker does not grow; the deciding one needs up to 100 bytes more for each
document with a candidate.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import BoundPipeline, Pipeline
from dclm.curate.stage import curate
from dclm.curate.step import Step
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.filters.rules.length import PageLength
from dclm.pool.files import list_files
from tests.bench.rows import report

WORDS = 60
SHARD = 5_000
STEPS: dict[str, tuple[Step, ...]] = {
    "read and write": (PageLength(of="word", min=1),),
    "exact": (Exact(),),
    "minhash 14×8": (MinHash(bands=14, rows=8),),
    "minhash 14×8, verified": (MinHash(bands=14, rows=8, verify=0.8),),
    "minhash 93×15": (MinHash(),),
    "bloom": (Bloom(mode="paragraph"),),
}


class Cost(NamedTuple):
    """Cost of a run."""

    seconds: float
    peak_bytes: int
    kept: object


def write_pool(root: Path, documents: int) -> Path:
    """JSONL shards; the first shards of a larger pool are those of a smaller one."""
    root.mkdir()
    draw = np.random.default_rng(1)
    vocabulary = np.array([f"w{i}" for i in range(20_000)])
    chosen = np.empty((documents, WORDS), np.int32)
    for start in range(0, documents, SHARD):
        size = min(SHARD, documents - start)
        chosen[start : start + size] = draw.integers(0, len(vocabulary), (size, WORDS))
        near = np.arange(start + 2, start + size, 3)
        chosen[near] = chosen[(draw.random(len(near)) * near).astype(np.int64)]
        chosen[near, draw.integers(0, WORDS, len(near))] = draw.integers(0, len(vocabulary), len(near))
        with (root / f"{start // SHARD:05d}.jsonl").open("w", encoding="utf-8") as lines:
            for i in range(start, start + size):
                lines.write(json.dumps({"id": str(i), "text": " ".join(vocabulary[chosen[i]])}) + "\n")
    return root


def peak_bytes() -> int:
    """Peak memory of this process; `ru_maxrss` would include its parent's memory at the start."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def run(steps: tuple[Step, ...], pool: str, few: str) -> Cost:
    """One run in this process."""
    pipeline = Pipeline(name="scale", steps=steps)
    bound = BoundPipeline(pipeline=pipeline, files={}, hashes={})
    with tempfile.TemporaryDirectory() as out:
        curate(bound, list_files([few]), Path(out) / "few", CurateOptions(), SerialEngine())
        started = time.process_time()
        record = curate(bound, list_files([pool]), Path(out) / "all", CurateOptions(), SerialEngine())
        seconds = time.process_time() - started
    return Cost(seconds, peak_bytes(), record.counts["kept"])


def main(sizes: Sequence[int], chosen: Sequence[str]) -> None:
    """Print the table."""
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as directory:
        few = str(write_pool(Path(directory) / "few", SHARD))
        pools = [str(write_pool(Path(directory) / str(size), size)) for size in sizes]
        for name in chosen:
            rates: list[float] = []
            for pool, size in zip(pools, sizes, strict=True):
                with spawn.Pool(1) as worker:
                    cost = worker.apply(run, (STEPS[name], pool, few))
                rates.append(size / cost.seconds)
                what = f"{name} at {size:,} documents"
                smallest = {} if size == sizes[0] else {"beside": f"{sizes[0]:,} documents", "theirs": rates[0]}
                report(what, "documents/s", rates[-1], **smallest)  # type: ignore[arg-type]
                report(f"{what}, {cost.kept:,} kept, peak", "MiB", cost.peak_bytes / 2**20)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("documents", type=int, nargs="*", default=[50_000, 500_000])
    parser.add_argument("--only", choices=STEPS, action="append")
    arguments = parser.parse_args()
    main(arguments.documents, arguments.only or list(STEPS))
