"""Workers: two compared with one from WARC to filtered documents, and the peak memory of a worker on hostile shards.

`python -m tests.bench.bench_scaling` prints two Markdown tables. With `--copies 60`, the first is about minutes of
work, in which starting does not matter, and the second is left out. Every row is a separate `dclm curate` with compiled
kernels; the memory is the largest of the command and its workers, as counted by the kernel (VmHWM).
"""

from __future__ import annotations

import argparse
import gzip
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

from tests.bench.bench_filters import ROOT, SHARED
from tests.bench.rows import report

_POLL_SECONDS = 0.05
COPIES = 6
_PIPELINE = ROOT / "pipelines" / "dclm_refinedweb_open.yaml"
_NO_LIMITS = """
name: memory
steps:
  - extract: {with: resiliparse}
  - url_removal: {tlds: iana-tlds-2026}
  - repetition: {max_line_fraction: null, max_line_char_fraction: null, max_paragraph_fraction: null,
      max_paragraph_char_fraction: null, top_ngrams: {"2": 10}, repeated_ngrams: {"10": 1}}
  - uppercase_lines
  - within_page_dedup
  - pii_masking
"""
"""Steps that need much memory, and keep everything."""


class Cost(NamedTuple):
    """Cost of one run."""

    seconds: float
    peak_bytes: int
    """Peak memory of the largest process."""


def curate(pipeline: Path, pools: Sequence[list[Path]], workers: int) -> Cost:
    """Run `dclm curate` on each pool, all at the same time, and watch them and their workers."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        processes = [_start(pipeline, pool, workers, Path(folder) / f"{n}") for n, pool in enumerate(pools)]
        peak = 0
        while any(process.poll() is None for process in processes):
            peak = max([peak, *(_peak_bytes(pid) for process in processes for pid in _family(process.pid))])
            time.sleep(_POLL_SECONDS)
        assert all(process.returncode == 0 for process in processes), f"dclm curate {pipeline} failed"
        return Cost(time.perf_counter() - started, peak)


def _start(pipeline: Path, pool: list[Path], workers: int, out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "dclm.cli.main", "curate", str(pipeline), "--out", str(out)]
    command += ["--workers", str(workers), "--max-reject-fraction", "1", "--pool", *map(str, pool)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _family(pid: int) -> Iterator[int]:
    yield pid
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split()
    except (FileNotFoundError, ProcessLookupError):
        return
    for child in children:
        yield from _family(int(child))


def _peak_bytes(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:")), 0)


def scaling(copies: int, runs: int) -> Iterator[str]:
    """One worker, two, and two commands with one worker and half of the pool each, in turns; the minimum of each
    counts. The crawl is repeated: with only 5 s of work, the 3 s that each worker takes to start would dominate.

    The two commands share nothing but the machine, but their halves of the pool may take unequal time.
    """
    files = sorted((SHARED / "web").glob("crawl-*.warc.gz"))
    curate(_PIPELINE, [files[:1]], 1)
    costs: dict[str, list[Cost]] = {"1": [], "2": [], "1 each, two commands": []}
    with tempfile.TemporaryDirectory() as folder:
        pool = [Path(shutil.copy(file, f"{folder}/{copy}-{file.name}")) for copy in range(copies) for file in files]
        for _ in range(runs):
            costs["1"].append(curate(_PIPELINE, [pool], 1))
            costs["2"].append(curate(_PIPELINE, [pool], 2))
            costs["1 each, two commands"].append(curate(_PIPELINE, [pool[::2], pool[1::2]], 1))
    best = {workers: min(found) for workers, found in costs.items()}
    one, two, apart = ([cost.seconds for cost in found] for found in costs.values())
    half = {"limit": min(one) / 2, "limit_name": "half of one worker's"}
    report("two workers", "s", two, beside="one worker", theirs=one, **half)
    report("two commands that share nothing", "s", apart, beside="one worker", theirs=one, **half)
    yield "| workers | seconds | times one | peak of a process |\n|---|---|---|---|"
    for workers, cost in best.items():
        ratio = best["1"].seconds / cost.seconds
        yield f"| {workers} | {cost.seconds:.1f} | {ratio:.2f} | {cost.peak_bytes / 2**20:,.0f} MiB |"
    yield f"\n{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; start and end of the command are part of the time"


def _a_line(size: int, text: bytes) -> Iterator[bytes]:
    """A document of about `size` bytes, `text` over and over."""
    times = size // len(text)
    yield b'{"text": "'
    for _ in range(times // 10_000):
        yield text * 10_000
    yield text * (times % 10_000) + b'"}\n'


def hostile() -> Iterator[tuple[str, Iterator[bytes]]]:
    """Name → the bytes of a JSONL shard."""
    yield "a line of 32 MB, one-letter words", _a_line(32_000_000, b"a ")
    yield "a line of 32 MB, one-character lines", _a_line(32_000_000, b"a\\n")
    yield "a line of 100 MB", _a_line(100_000_000, b"a ")
    yield "a page of 1 GB", _a_line(1_000_000_000, b"some words ")
    yield "a million lines of one character", (b"a\n" * 10_000 for _ in range(100))
    yield "20,000 pages of 50 kB", (line for _ in range(20_000) for line in _a_line(50_000, b"some words "))


def memory() -> Iterator[str]:
    """Peak memory of one worker for each shard."""
    yield "| shard | peak of a process | seconds |\n|---|---|---|"
    folder = Path(tempfile.mkdtemp())
    (folder / "memory.yaml").write_text(_NO_LIMITS, encoding="utf-8")
    for name, pieces in hostile():
        path = folder / "shard.jsonl.gz"
        with gzip.open(path, "wb", compresslevel=1) as file:
            _write(file, pieces)
        cost = curate(folder / "memory.yaml", [[path]], 1)
        yield f"| {name} | {cost.peak_bytes / 2**20:,.0f} MiB | {cost.seconds:.1f} |"
    shutil.rmtree(folder)


def _write(file: IO[bytes], pieces: Iterator[bytes]) -> None:
    for piece in pieces:
        file.write(piece)


def main(copies: int) -> None:
    """Print the tables."""
    few = copies <= COPIES
    for line in (*scaling(copies, 2 if few else 1), "", *(memory() if few else ())):
        print(line, flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--copies", type=int, default=COPIES)
    main(parser.parse_args().copies)
