"""All benchmarks, one after the other, each in a process of its own: `python -m tests.bench [--out FILE] [NAME…]`.

At the end, their rows are printed as one table, and written as JSON with the machine and the commands.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.bench.rows import VARIABLE, Row, read, table

NOT_HERE = {
    "bench_baseline_fixed", "bench_cache", "bench_components", "bench_dedup_extremes", "bench_gpu", "bench_kills",
    "bench_large_file", "bench_lost_node", "bench_mix_world", "bench_peers", "bench_pool", "bench_predict",
    "bench_profile", "bench_select_check", "bench_tokens_1b",
}  # fmt: skip
"""Benchmarks that need many minutes, memory, disk, a GPU or other environments, or print no rows."""


def machine() -> dict[str, Any]:
    """What the benchmarks ran on, and how busy it was when they began."""
    names = [line.split(":", 1)[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")]
    return {
        "processor": names[0] if names else platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg(),
        "python": platform.python_version(), "system": platform.platform(),
    }  # fmt: skip


def _lines(path: str) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines() if Path(path).exists() else []


def run(names: Sequence[str]) -> tuple[list[tuple[str, Row]], int]:
    """The rows of the benchmarks, each with the benchmark's name, and the worst exit code."""
    found: list[tuple[str, Row]] = []
    worst = 0
    with tempfile.TemporaryDirectory() as folder:
        for name in names:
            print(f"\n## {name}\n", flush=True)
            file = Path(folder) / f"{name}.jsonl"
            environment = {**os.environ, VARIABLE: str(file)}
            command = [sys.executable, "-m", f"tests.bench.{name}"]
            worst = max(worst, abs(subprocess.run(command, check=False, env=environment).returncode))
            found += [(name, row) for row in read(file)]
    return found, worst


def write(path: Path, rows: Sequence[tuple[str, Row]], about: dict[str, Any]) -> None:
    """The rows as JSON, for `tests.bench.compare`."""
    listed = [
        {"bench": name, "command": f"python -m tests.bench.{name}", **dataclasses.asdict(row)} for name, row in rows
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".part")
    temporary.write_text(json.dumps({"machine": about, "rows": listed}, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def main(arguments: Sequence[str]) -> int:
    """Run the benchmarks that are named (all, if none is); gives the worst exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--out", type=Path, default=Path("out") / "bench.json")
    given = parser.parse_args(arguments)
    present = sorted(path.stem for path in Path(__file__).parent.glob("bench_*.py"))
    if unknown := [name for name in given.names if name not in present]:
        print(f"unknown: {', '.join(unknown)}, allowed: {', '.join(present)}", file=sys.stderr)
        return 2
    about = machine()
    rows, worst = run(given.names or [name for name in present if name not in NOT_HERE])
    print(f"\n## Summary\n\n{about['processor']}, {about['cores']} cores, load {about['load'][0]:.1f} at the start\n")
    print(table(rows))
    write(given.out, rows, about)
    print(f"\n{given.out}")
    return worst


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
