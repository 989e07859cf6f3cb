"""Random kills of workers, nodes and drivers of Ray runs on three simulated nodes: `python -m tests.bench.bench_kills`.

With `--on s3`, what the runs make is on an S3 server of this machine.

Each run is killed up to eight times at random points, and continues; then its bytes are compared with those of an
undisturbed run in one process. Ends after `--kills` kills in total (50), which takes about a quarter of an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.pool.files import list_files
from dclm.pool.sample.crawl import make_sample
from tests.attack.kills_places import Disk, Place, s3_place
from tests.curate.engine_kills import Run, run_with_kills, three_nodes, write_pipeline

KILLS_A_RUN = 8
STRIDE = 20  # maximum units of work between two kills; a run has about two hundred


def main(kills: int, seed: int, on: str) -> None:
    """Print a line for each run, and what was killed."""
    draw = random.Random(seed)
    victims: Counter[str] = Counter()
    with contextlib.ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        place: Place = stack.enter_context(s3_place(work) if on == "s3" else Disk.at(work / "runs"))
        nodes = stack.enter_context(three_nodes())  # after the server, whose address the nodes must know
        pipeline = write_pipeline(work)
        pool = make_sample(work / "pool", seed=3, documents=120, files=5)
        calm = Run(pipeline=pipeline, pool=pool, out=work / "calm")
        curate(
            bind(load_pipeline(pipeline)),
            list_files([str(pool)]),
            calm.out,
            CurateOptions(seed=7, unit_bytes=0, shard_bytes=0),
            SerialEngine(),
        )
        print("| run | seconds | killed (units that stood) | same bytes |\n|---|---|---|---|", flush=True)
        number = 0
        while victims.total() < kills:
            number += 1
            run = Run(pipeline=pipeline, pool=pool, out=place.address(f"run-{number}"), log=work / f"run-{number}.log")
            started = time.time()
            killed = run_with_kills(run, nodes, draw, min(KILLS_A_RUN, kills - victims.total()), STRIDE)
            victims.update(victim for victim, _ in killed)
            same = run.files() == calm.files()
            what = ", ".join(f"{victim} ({units})" for victim, units in killed)
            print(f"| {number} | {time.time() - started:.0f} | {what} | {same} |", flush=True)
            if not same:
                raise SystemExit("a killed run gave other bytes")
            place.remove(str(run.out))
    print(f"\n{victims.total()} kills ({dict(victims)}): identical bytes every time")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on", choices=["disk", "s3"], default="disk")
    arguments = parser.parse_args()
    main(arguments.kills, arguments.seed, arguments.on)
