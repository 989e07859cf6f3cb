"""Where the CPU time of curation goes: `python -m tests.bench.bench_profile [--functions 15]`.

One run of dclm_refinedweb_open on real pages in this process, with Python's profiler: milliseconds per page by part of
the package, and the functions that take most. Compiled kernels and libraries count as their caller. The profiler slows
down calls, so that parts with many small calls look larger than they are.
"""

from __future__ import annotations

import argparse
import cProfile
import os
import pstats
import time
from collections import Counter
from pathlib import Path

from dclm.extract.guard import cpu_seconds
from dclm.pool.files import list_files
from tests.bench.bench_pipeline import SHARED, pipeline

PARTS = {
    "dclm/pool/": "read records",
    "dclm/extract/": "extract text",
    "dclm/filters/language/": "language id",
    "dclm/filters/": "other filters",
    "dclm/text/": "words, lines and n-grams, for filters",
    "dclm/curate/": "pass batches on, count, write documents and ledger",
    "dclm/documents/": "pass batches on, count, write documents and ledger",
    "dclm/core/": "hash, publish, journal",
}
"""The part of each path of the package; the first that fits."""
OTHER = "everything else"


def part_of(path: str) -> str | None:
    """The part that a function of this file belongs to; None outside the package."""
    if "/dclm/" not in path:
        return None
    inside = "dclm/" + path.rpartition("/dclm/")[2]
    return next((part for prefix, part in PARTS.items() if inside.startswith(prefix)), OTHER)


def by_part(stats: pstats.Stats) -> tuple[Counter[str], Counter[str]]:
    """Seconds of each part, and of each function of the package with what it calls outside."""
    table = stats.stats  # type: ignore[attr-defined]
    parts: Counter[str] = Counter()
    functions: Counter[str] = Counter()
    share: dict[tuple[object, ...], dict[str, float]] = {}

    def owners(function: tuple[str, int, str], depth: int = 0) -> dict[str, float]:
        """Shares of a function's own time by function of the package that called it, directly or not."""
        path, line, name = function
        if part_of(path) is not None:
            return {f"{path}:{line} {name}": 1.0}
        if function in share or depth > 30:
            return share.get(function, {})
        share[function] = {}  # ends cycles
        callers = table[function][4]
        total = sum(each[2] for each in callers.values()) or 1.0
        found: Counter[str] = Counter()
        for caller, each in callers.items():
            for owner, part in owners(caller, depth + 1).items():
                found[owner] += part * each[2] / total
        share[function] = dict(found)
        return share[function]

    for function, (_, _, own, _, _) in table.items():
        for owner, part in owners(function).items():
            functions[owner] += own * part
            parts[part_of(owner.rpartition(":")[0]) or OTHER] += own * part
    parts[OTHER] += sum(row[2] for row in table.values()) - sum(parts.values())
    return parts, functions


def main(count: int) -> None:
    """Print the tables."""
    files = list_files([str(SHARED / "web" / "crawl-*.warc.gz")])
    pipeline(files[:1])  # compiles
    started, child = time.process_time(), cpu_seconds() - time.process_time()
    profile = cProfile.Profile(time.process_time)
    profile.enable()
    pages = pipeline(files)
    profile.disable()
    own = time.process_time() - started
    child = cpu_seconds() - time.process_time() - child
    parts, functions = by_part(pstats.Stats(profile))
    parts["extract text"] += child
    print(f"| part | ms per page of {(own + child) / pages * 1000:.2f} |\n|---|---|")
    for name, seconds in parts.most_common():
        print(f"| {name} | {seconds / pages * 1000:.3f} |")
    print("\n| function | ms per page |\n|---|---|")
    for name, seconds in functions.most_common(count):
        path, _, rest = name.rpartition(":")
        print(f"| {os.path.relpath(path, Path.cwd())}:{rest} | {seconds / pages * 1000:.3f} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=int, default=15)
    main(parser.parse_args().functions)
