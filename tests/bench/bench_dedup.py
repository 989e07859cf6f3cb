"""Deduplication compared with datasketch and rensa, on one core and the same documents:
`python -m tests.bench.bench_dedup`.

Seconds are CPU seconds of this process: medians of three runs after one that compiles; a single run for the other two.
Growing corpora: bench_dedup_scale. Comparison with datatrove and dolma: bench_peers.
"""

from __future__ import annotations

import gzip
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from datasketch import MinHash as DatasketchMinHash
from rensa import RMinHash

from dclm.curate.global_step import Global
from dclm.curate.step import Ordered
from dclm.dedup.bloom.step import Bloom, Mode
from dclm.dedup.exact import Exact
from dclm.dedup.minhash.alphabet import alphabet
from dclm.dedup.minhash.signatures import Bits, permutations, signatures
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide, run_ordered
from dclm.text.buffers import utf8
from tests.bench.rows import report

FILES = ("newsgroups20", "instruct_small", "reddit_questions")
Shards = list[list[pa.RecordBatch]]


class Row(NamedTuple):
    """One measurement."""

    what: str
    documents: int
    megabytes: float
    seconds: tuple[float, ...]

    @property
    def documents_per_second(self) -> float:
        return self.documents / statistics.median(self.seconds)

    @property
    def megabytes_per_second(self) -> float:
        return self.megabytes / statistics.median(self.seconds)

    @property
    def rates(self) -> list[float]:
        """Documents per second of each run."""
        return [self.documents / seconds for seconds in self.seconds]


def load_texts(shared: Path, limit: int | None = None) -> list[str]:
    """The documents of `FILES`, every n-th so that about `limit` are left."""
    texts = []
    for name in FILES:
        with gzip.open(shared / "text" / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            texts += [json.loads(line)["text"] for line in lines]
    return texts if limit is None else texts[:: max(1, len(texts) // limit)]


def make_shards(texts: Sequence[str], rows: int = 1024) -> Shards:
    """One shard of batches."""
    batches = []
    for start in range(0, len(texts), rows):
        part = texts[start : start + rows]
        place = pa.array(range(start, start + len(part)), pa.int64())
        batches.append(pa.RecordBatch.from_pydict({"text": pa.array(part, pa.string()), "_row": place}))
    return [batches]


def timed(
    what: str, texts: Sequence[str], function: Callable[[], object], warm: Callable[[], object], runs: int = 3
) -> Row:
    warm()
    seconds = []
    for _ in range(runs):
        start = time.process_time()
        function()
        seconds.append(time.process_time() - start)
    return Row(what, len(texts), sum(len(text.encode()) for text in texts) / 1e6, tuple(seconds))


def grams(text: str) -> set[str]:
    words = text.lower().split()
    return {" ".join(words[i : i + 5]) for i in range(max(1, len(words) - 4))}


def ours(texts: Sequence[str], count: int, bits: Bits) -> Row:
    column, table, draw = pa.array(texts, pa.string()), alphabet("lower"), permutations(count, 1, bits)

    def run(rows: int) -> None:
        for start in range(0, rows, 1024):
            signatures(utf8(column[start : start + 1024]), table, True, 5, draw)

    return timed(f"signature, {count} permutations: dclm, {bits} bits", texts, lambda: run(len(texts)), lambda: run(8))


def datasketch(texts: Sequence[str], count: int) -> Row:
    def run(part: Sequence[str]) -> None:
        start = DatasketchMinHash(num_perm=count)
        for text in part:
            sketch = start.copy()
            sketch.update_batch([gram.encode() for gram in grams(text)])

    name = f"signature, {count} permutations: datasketch"
    return timed(name, texts, lambda: run(texts), lambda: run(texts[:8]), runs=1)


def rensa(texts: Sequence[str], count: int) -> Row:
    def run(part: Sequence[str]) -> None:
        for text in part:
            sketch = RMinHash(num_perm=count, seed=1)
            sketch.update(list(grams(text)))
            sketch.digest()

    name = f"signature, {count} permutations: Python shingles + rensa"
    return timed(name, texts, lambda: run(texts), lambda: run(texts[:8]), runs=1)


def timed_step(what: str, step: Global | Ordered, texts: Sequence[str]) -> Row:
    """A step from batches to its decision (or to the remaining documents), in one process."""
    shards, few = make_shards(texts), make_shards(texts[:8])
    run = partial(decide, step) if isinstance(step, Global) else partial(run_ordered, step)
    return timed(what, texts, partial(run, shards), partial(run, few))


def whole_steps(texts: Sequence[str]) -> list[Row]:
    """The steps that ship."""
    found = [timed_step("whole step: exact", Exact(), texts)]
    for step in (MinHash(), MinHash(bits=32), MinHash(verify=0.8), MinHash(bands=14, rows=8)):
        name = f"whole step: minhash {step.bands}×{step.rows}, {step.bits} bits, verify {step.verify}"
        found.append(timed_step(name, step, texts))
    modes: tuple[Mode, ...] = ("old-both", "both", "exact")
    return found + [timed_step(f"whole step: bloom {m}, 13-grams, count and pass", Bloom(mode=m), texts) for m in modes]


def peers(row: Row, found: Sequence[Row]) -> list[Row]:
    """The rows of other tools for as many permutations, if `row` is ours with 64 bits."""
    what, _, tool = row.what.partition(": ")
    return [
        other for other in found if tool == "dclm, 64 bits" and other.what.startswith(what) and "dclm" not in other.what
    ]


def rows(shared: Path, limit: int | None = None) -> list[Row]:
    """All measurements."""
    texts = load_texts(shared, limit)
    found = []
    for count in (128, 1395):
        found += [ours(texts, count, 64), ours(texts, count, 32), rensa(texts, count), datasketch(texts, count)]
    return found + whole_steps(texts)


def main() -> None:
    """Print the table; an argument bounds the number of documents."""
    shared = Path(os.environ.get("DCLM_SHARED", "../shared"))
    found = rows(shared, int(sys.argv[1]) if len(sys.argv) > 1 else None)
    for row in found:
        others = peers(row, found)
        for other in others:
            name = other.what.partition(": ")[2]
            report(f"{row.what}, beside {name}", "documents/s", row.rates, beside=name, theirs=other.rates)
        if (not others and "dclm" in row.what) or row.what.startswith("whole"):
            report(row.what, "documents/s", row.rates)


if __name__ == "__main__":
    main()
