"""Corpora at the extremes through the engine: `python -m tests.bench.bench_dedup_extremes [MEMBERS] [MEGABYTES]`.

One cluster of a million different near-duplicates, a million copies of one document, a third of a million documents
without any duplicate, and a single document of 500 MB. Each run is a separate process with one worker; the peak is that
of the process, including text and Parquet buffers. Seconds are CPU seconds.
"""

from __future__ import annotations

import multiprocessing
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from dclm.curate.step import Step
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.substring.step import Substring
from tests.bench.bench_dedup_scale import Cost, run

WORDS = 40
SHARD = 100_000
MINHASH = MinHash(bands=14, rows=8)
VERIFIED = MinHash(bands=14, rows=8, verify=0.7)


def near(i: int) -> str:
    """One document with another word somewhere: Jaccard index 31/41 with the first."""
    words = [f"word{k}" for k in range(WORDS)]
    if i:
        words[5 + i % (WORDS - 10)] = f"only{i}"
    return " ".join(words)


def same(i: int) -> str:
    """One document."""
    return near(0)


def unique(i: int) -> str:
    """A document that shares no shingle with others."""
    return " ".join(f"w{i}x{k}" for k in range(WORDS))


def write_documents(root: Path, count: int, text: Callable[[int], str]) -> str:
    """Parquet shards."""
    root.mkdir()
    for start in range(0, count, SHARD):
        rows = range(start, min(start + SHARD, count))
        table = pa.table({"id": [str(i) for i in rows], "text": [text(i) for i in rows]})
        pq.write_table(table, root / f"{start // SHARD:05d}.parquet", row_group_size=1024)
    return str(root)


def write_giant(root: Path, megabytes: int) -> str:
    """One document of paragraphs of random words."""
    root.mkdir()
    draw = np.random.default_rng(0)
    vocabulary = np.array([f"w{i}" for i in range(50_000)])
    lines = [" ".join(vocabulary[draw.integers(0, 50_000, 150)]) for _ in range(megabytes * 1_000_000 // 990)]
    pq.write_table(pa.table({"id": ["giant"], "text": ["\n".join(lines)]}), root / "0.parquet")
    return str(root)


def measure(label: str, step: Step, pool: str, few: str, documents: int) -> None:
    """Run one step over one pool in a new process, and print the line."""
    with multiprocessing.get_context("spawn").Pool(1) as worker:
        cost: Cost = worker.apply(run, ((step,), pool, few))
    rate = f"{cost.seconds:,.1f} | {documents / cost.seconds:,.0f} | {cost.peak_bytes / 1e9:.1f} GB"
    print(f"| {label} | {step.name} | {documents:,} | {rate} | {cost.kept:,} |", flush=True)


def main(members: int = 1_000_000, megabytes: int = 500) -> None:
    """Print the table."""
    print("| corpus | step | documents | CPU s | documents/s | peak | kept |\n|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        few = write_documents(root / "few", 50, near)
        giant = write_giant(root / "giant", megabytes)
        for step in (Exact(), MINHASH, Bloom(mode="old-both"), Bloom(mode="exact"), Substring()):
            measure(f"one of {megabytes} MB", step, giant, few, 1)
        pool = write_documents(root / "near", members, near)
        for step in (MINHASH, VERIFIED):
            measure(f"one cluster, verify {step.verify}", step, pool, few, members)
        pool = write_documents(root / "same", members, same)
        for step in (Exact(), VERIFIED):
            measure("all the same", step, pool, few, members)
        pool = write_documents(root / "unique", members // 3, unique)
        measure("no duplicates", VERIFIED, pool, few, members // 3)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
