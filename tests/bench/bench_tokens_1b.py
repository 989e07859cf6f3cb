"""A billion tokens through tokenize → pack → shuffle: seconds, MB/s, and the peak memory of any process.

    python -m tests.bench.bench_tokens_1b [--tokens 1000000000] [--workers 2] [--work FOLDER]

The texts of DCLM_SHARED are written once as Parquet shards and named many times over (hard links), so that input takes
no space; a tokenizer's cache of words is warmer for it than on a crawl of that size. Needs about 5 GB of disk.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import tempfile
import time
from pathlib import Path

from dclm.engine.local import LocalEngine
from dclm.tokens.dataset import TokenDataset
from dclm.tokens.stage import tokenize
from tests.bench.bench_tokens import SHARDS, megabytes, write_documents

GOAL_GIB = 4.0
TOKENS_PER_BYTE = 0.28
"""Tokens of these texts with the GPT-NeoX-20B tokenizer, slightly less than measured: determines the repetitions."""


def repeat(folder: Path, out: Path, times: int) -> Path:
    """`folder`'s files under `times` as many names."""
    out.mkdir()
    for number in range(times):
        for file in sorted(folder.iterdir()):
            os.link(file, out / f"{number:04d}-{file.name}")
    return out


def peak_gib(who: int) -> float:
    """Largest resident set of this process, or of any one of its ended children."""
    return resource.getrusage(who).ru_maxrss / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tokens", type=int, default=10**9)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--work", help="Folder for everything, removed at the end. Default: one in the system's.")
    arguments = parser.parse_args()
    shared = Path(os.environ.get("DCLM_SHARED", Path(__file__).resolve().parents[3] / "shared"))
    work = Path(tempfile.mkdtemp(prefix="bench-tokens-1b-", dir=arguments.work))
    try:
        texts = write_documents(shared, work / "texts", 1)
        size = megabytes(texts)
        times = -(-arguments.tokens // int(size * 1e6 * TOKENS_PER_BYTE))
        print(f"{times} × {size:,.0f} MB of text in {times * SHARDS} shards, {arguments.workers} workers", flush=True)
        before = peak_gib(resource.RUSAGE_SELF)
        started = time.perf_counter()
        record = tokenize([repeat(texts, work / "in", times)], work / "out", engine=LocalEngine(arguments.workers))
        seconds = time.perf_counter() - started
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = children.ru_utime + children.ru_stime + time.process_time()
        own, worker = peak_gib(resource.RUSAGE_SELF), peak_gib(resource.RUSAGE_CHILDREN)
        total = own + arguments.workers * worker if arguments.workers > 1 else own
        tokens = TokenDataset(work / "out").num_sequences * 2049
        print(f"{tokens:,} tokens of {record.counts['text_bytes']:,} bytes, encoder {record.provenance['encoder']}")
        print(f"{times * size / cpu:.1f} MB per CPU second; {seconds:,.0f} s by the clock")
        print(f"peak: {own:.2f} GiB in the main process ({before:.2f} before the work), {worker:.2f} GiB in a worker")
        verdict = "met" if total <= GOAL_GIB and tokens >= arguments.tokens else "MISSED"
        print(f"all together at most {total:.2f} GiB for {tokens / 1e9:.2f} B tokens; goal {GOAL_GIB:g} GiB: {verdict}")
    finally:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
