"""All benchmarks, one after another, each in a separate process: `python -m tests.bench [NAME…]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NOT_HERE = {
    "bench_components", "bench_large_file", "bench_pool", "bench_dedup_extremes", "bench_gpu", "bench_kills",
    "bench_lost_node", "bench_peers", "bench_select_check", "bench_tokens_1b",
}  # fmt: skip
"""Benchmarks that need many minutes, memory, disk, a GPU or other environments."""


def main(names: list[str]) -> int:
    """Run the named benchmarks (default: all); returns the worst exit code."""
    found = sorted(p.stem for p in Path(__file__).parent.glob("bench_*.py"))
    worst = 0
    for name in names or [n for n in found if n not in NOT_HERE]:
        print(f"\n## {name}\n", flush=True)
        worst = max(worst, subprocess.run([sys.executable, "-m", f"tests.bench.{name}"], check=False).returncode)
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
