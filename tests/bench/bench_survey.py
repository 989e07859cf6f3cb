"""What it costs to know a pool's files before they are read: `python -m tests.bench.bench_survey [--megabytes 256]`.

Prints CPU seconds per GB of the hash alone, of hash and line numbers from one reading, and the time for a known file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from dclm.core.stages.engine import SerialEngine
from dclm.core.storage import sha256_file
from dclm.pool.files import list_files
from dclm.pool.survey import SETTLED_NS, survey, survey_all
from dclm.pool.units import cut
from tests.bench.rows import report

PART_BYTES = 16 << 20


def main(megabytes: int) -> None:
    """Print one line for plain and one for compressed JSON lines."""
    chance = random.Random(0)
    words = ["".join(chance.choices("abcdefghij", k=6)) for _ in range(5000)]
    lines = (json.dumps({"text": " ".join(chance.choices(words, k=400))}) for _ in range(2000))
    block = "\n".join(lines).encode() + b"\n"
    with tempfile.TemporaryDirectory() as folder:
        os.environ["DCLM_SCRATCH"] = f"{folder}/scratch"
        plain, packed = Path(folder, "plain.jsonl"), Path(folder, "packed.jsonl.gz")
        plain.write_bytes(block * (megabytes * 10**6 // len(block)))
        packed.write_bytes(gzip.compress(plain.read_bytes(), 4))
        for path in (plain, packed):
            _print(path)


def _print(path: Path) -> None:
    (file,) = list_files([str(path)])
    parts = [unit[0] for unit in cut([file], PART_BYTES)]
    later = time.time_ns() + 2 * SETTLED_NS
    survey_all([parts], SerialEngine(), later)
    per_gb = 1e9 / file.size
    for work, unit, scale, call in (
        ("hash, per GB", "CPU s", per_gb, lambda: sha256_file(path)),
        (f"hash and lines of {len(parts)} parts, per GB", "CPU s", per_gb, lambda: survey(parts)),
        ("the same, once known", "ms", 1000.0, lambda: survey_all([parts], SerialEngine(), later)),
    ):
        report(f"{path.name}: {work}", unit, scale * _cpu_seconds(call))


def _cpu_seconds(work: Callable[[], object]) -> float:
    started = time.process_time()
    work()
    return time.process_time() - started


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=256)
    main(parser.parse_args().megabytes)
