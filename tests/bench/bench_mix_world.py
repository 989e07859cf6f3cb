"""A planted world for `dclm mix`: how often the known best mixture is in the stated interval, with trained proxies.

`python -m tests.bench.bench_mix_world --seeds 10` prints a Markdown table, one row per seed, and the same for equal
sources. One seed trains 24 models of letters in about half a minute, twice. See `tests/science/mix_world.py`. With
`--out DIR` the swarms stay there, and a further call only asks `dclm mix best` again.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import torch

from tests.science.mix_world import IMPORTANCE, SOURCES, find_best, is_inside, write_world


def main() -> int:
    """Run all seeds; the exit code is 1 if any answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--out", type=Path, help="Keep the swarms here, and reuse those that are there.")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wrong = 0
    known = ", ".join(f"{source} {share:g}" for source, share in zip(SOURCES, IMPORTANCE, strict=True))
    print(f"| seed | known best: {known} | inside | gain, 95 % | decided | equal sources |", flush=True)
    print("|---|---|---|---|---|---|")
    for seed in range(asked.first, asked.first + asked.seeds):
        with tempfile.TemporaryDirectory() as temporary:
            folders = [(asked.out or Path(temporary)) / f"{seed}{kind}" for kind in ("", "-equal")]
            best, equal = (
                find_best(write_world(folder / "world", seed, equal=folder is folders[1]), folder / "out")
                for folder in folders
            )
        shares = ", ".join(f"{s['best']:.2f} ({s['low']:.2f}–{s['high']:.2f})" for s in best["shares"])
        inside = is_inside(best)
        wrong += not inside or equal["decided"]
        gain = f"{best['gain']:+.4f}, {best['gain_low']:+.4f} to {best['gain_high']:+.4f}"
        said = ["not decided", "decided"]
        row = (seed, shares, "yes" if inside else "no", gain, said[best["decided"]], said[equal["decided"]])
        print(f"| {' | '.join(map(str, row))} |", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
