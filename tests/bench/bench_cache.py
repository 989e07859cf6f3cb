"""What trying a threshold costs with `--cache`, and what it costs to count the values that filters compare.

    python -m tests.bench.bench_cache POOL [--pipeline pipelines/dclm_refinedweb_open.yaml]

Runs the pipeline over the pool, then again with other cuts, each with and without a cache; all bytes must be equal.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import Pipeline, bind, load_pipeline
from dclm.curate.quantity import Quantities
from dclm.curate.stage import curate
from dclm.filters.rules.length import PageLength
from dclm.filters.rules.words import WordRemovalRatio
from dclm.pool.files import list_files

ROOT = Path(__file__).resolve().parents[2]


def main(pool: str, pipeline: Path) -> None:
    """Print one line per run."""
    loaded = load_pipeline(pipeline)
    files = list_files([pool])
    with tempfile.TemporaryDirectory() as folder:
        said: list[str] = []

        def run(name: str, steps: Pipeline, cached: bool) -> tuple[Record, float, float]:
            said.clear()
            wall, cpu = time.perf_counter(), time.process_time()
            cache = f"{folder}/cache" if cached else None
            record = curate(
                bind(steps), files, f"{folder}/{name}", CurateOptions(), SerialEngine(), cache=cache, say=said.append
            )
            return record, time.perf_counter() - wall, time.process_time() - cpu

        run("warm", loaded, False)  # compiles the kernels
        counting = _timed()
        print("| run | without a cache | with it | reuses |\n|---|---|---|---|")
        length = next(i for i, step in enumerate(loaded.steps) if isinstance(step, PageLength))
        removed = next(i for i, step in enumerate(loaded.steps) if isinstance(step, WordRemovalRatio))
        shorter, longer = (_edited(loaded, length, min=least) for least in (60, 70))
        runs = (
            ("first", loaded),
            (f"step {length} edited", shorter),
            (f"step {length} edited again", longer),
            (f"step {removed} edited", _edited(longer, removed, max_fraction=0.1)),
            (f"step {removed} edited again", _edited(longer, removed, max_fraction=0.2)),
        )
        for number, (what, steps) in enumerate(runs):
            plain, plain_wall, plain_cpu = run(f"plain-{number}", steps, False)
            found, wall, cpu = run(f"cached-{number}", steps, True)
            assert plain.digest == found.digest
            reused = "; ".join(line.partition(": reused ")[2] for line in said if ": reused " in line)
            print(f"| {what} | {plain_wall:.1f} s | {wall:.1f} s | {reused or 'nothing'} |", flush=True)
            if number == 0:
                print(f"counting: {counting[0] / (plain_cpu + cpu):.2%} of the CPU time of these two", flush=True)
        stored = sum(path.stat().st_size for path in Path(folder, "cache").rglob("*") if path.is_file())
        print(f"\ncache: {stored / 1e6:.1f} MB for a pool of {sum(file.size for file in files) / 1e6:.1f} MB")


def _edited(pipeline: Pipeline, index: int, **fields: float) -> Pipeline:
    """The pipeline with another cut in one of its steps."""
    steps = list(pipeline.steps)
    steps[index] = dataclasses.replace(steps[index], **fields)
    return dataclasses.replace(pipeline, steps=tuple(steps))


def _timed() -> list[float]:
    """The CPU seconds that counting takes from now on."""
    spent, add = [0.0], Quantities.add

    def timed(self: Quantities, *arguments: object) -> None:
        started = time.process_time()
        add(self, *arguments)  # type: ignore[arg-type]
        spent[0] += time.process_time() - started

    Quantities.add = timed  # type: ignore[assignment,method-assign]
    return spent


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool")
    parser.add_argument("--pipeline", type=Path, default=ROOT / "pipelines" / "dclm_refinedweb_open.yaml")
    given = parser.parse_args()
    main(given.pool, given.pipeline)
