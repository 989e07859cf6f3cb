"""What a process costs before it curates its first page: `python -m tests.bench.bench_start`.

CPU seconds of new processes from their start, all imports included, until 32 small pages have gone through the steps of
`dclm_refinedweb_open`: without compiled kernels, with the compiled kernels of another process, as in a cluster's image,
and again in the same process, which is the work alone.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample
from tests.bench.rows import report

PIPELINE = Path(__file__).resolve().parents[2] / "pipelines" / "dclm_refinedweb_open.yaml"
WARM_STARTS = 5


def work(pool: str, out: str) -> tuple[float, float]:
    """CPU seconds of this process up to the end of a first run, and those of a second run."""
    seconds = []
    for name in ("first", "second"):
        how = CurateOptions(seed=1)
        curate(bind(load_pipeline(PIPELINE)), list_files([pool]), Path(out, name), how, SerialEngine())
        seconds.append(time.process_time())
    return seconds[0], seconds[1] - seconds[0]


def start(pool: Path, cache: Path) -> tuple[float, float]:
    """`work` in a new process that keeps its kernels in `cache`."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    environment.pop("NUMBA_CACHE_DIR", None)
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "tests.bench.bench_start", str(pool), out]
        ran = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=environment)
    first, second = ran.stdout.split()[-2:]
    return float(first), float(second)


def main() -> None:
    """Print the rows."""
    with tempfile.TemporaryDirectory() as folder:
        pool, cache = make_sample(Path(folder) / "pool", seed=3, documents=32, files=1), Path(folder) / "cache"
        cold = start(pool, cache)
        warm = [start(pool, cache) for _ in range(WARM_STARTS)]
    report("start and 32 pages, without compiled kernels", "CPU s", cold[0])
    report("start and 32 pages, with compiled kernels", "CPU s", [first for first, _ in warm])
    report("32 pages", "CPU s", [second for _, second in warm])


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(*work(*sys.argv[1:3]))
    else:
        main()
