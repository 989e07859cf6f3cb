"""Random kills and flipped bits over all stages of a run: `python -m tests.attack.kills --kills 100 [--on s3]`.

A small recipe runs from pool to result.json. It is killed with SIGKILL at random moments of every stage (its driver, a
worker, or the whole process group), and before half of the restarts one bit of a random file of the run is flipped.
The run must end with the bytes of an undisturbed run, or refuse in three lines that name the problem; if it ends
although a file that it no longer reads was flipped, `dclm verify` must name that file. Prints the counts by stage.

Nodes of a Ray cluster are killed by `python -m tests.bench.bench_kills`.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from tests.attack.kills_places import Disk, Place, s3_place
from tests.attack.kills_process import Child, preload

BYTES = Path(__file__).resolve().parent.parent.parent / "recipes" / "experiments" / "bytes.json"
"""A small tokenizer makes small models, so that most of the time is spent in work that can be killed."""
RECIPE = """
name: kills
seed: 3
data:
  - name: sample
    pool: {sample: {seed: 3, documents: 60, files: 3}}
    pipeline: p.yaml
classifiers:
  hq:
    positives: [{path: "pool:sample/quality_positive.jsonl.gz"}]
    negatives: [{path: "pool:sample/quality_negative.jsonl.gz"}]
    dim: 4
    bucket: 1000
validation: "pool:sample/validation.jsonl.gz"
tokenizer: BYTES
scale: bytes-74k
tokens: 20480
tasks: [copa]
limit: 20
contamination: true
allow_incomplete: true
"""
PIPELINE = """
name: p
steps:
  - extract: {with: resiliparse}
  - page_length: {of: word, min: 5}
  - exact: {of: text}
  - fasttext_score: {model: hq, column: quality}
  - minhash: {ngram: 5, bands: 9, rows: 5, seed: 1}
"""
STAGES = ("pool", "classifier", "documents", "tokens", "validation", "train", "scores", "result")
KILLS_A_RUN = 4
LONGEST = 120.0
"""Seconds after which an attempt counts as hanging."""
Victim = str


class Kill(NamedTuple):
    """One kill."""

    stage: str
    victim: Victim


class Tally:
    """Actions by stage, and their outcomes."""

    def __init__(self) -> None:
        self.kills: Counter[Kill] = Counter()
        self.flips: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.runs = 0

    def table(self) -> str:
        """The counts as Markdown."""
        lines = ["| stage | driver | worker | group | bits flipped before a restart |", "|---|---|---|---|---|"]
        for stage in STAGES:
            counts = [self.kills[Kill(stage, victim)] for victim in ("driver", "worker", "group")]
            lines.append(f"| {stage} | {' | '.join(map(str, counts))} | {self.flips[stage]} |")
        sums = [sum(n for kill, n in self.kills.items() if kill.victim == v) for v in ("driver", "worker", "group")]
        lines.append(f"| all | {' | '.join(map(str, sums))} | {self.flips.total()} |")
        said = ", ".join(f"{count} {what}" for what, count in sorted(self.outcomes.items()))
        return "\n".join(
            [*lines, "", f"{self.kills.total()} kills in {self.runs} runs; flipped bits: {said or 'none'}"]
        )


class Harness:
    """Runs the recipe in one place until it ends, restarting it after every kill."""

    def __init__(self, place: Place, work: Path, draw: random.Random) -> None:
        self.place, self.work, self.draw = place, work, draw
        self.recipe = work / "r.yaml"
        self.recipe.write_text(RECIPE.replace("BYTES", str(BYTES)), encoding="utf-8")
        (work / "p.yaml").write_text(PIPELINE, encoding="utf-8")
        self.tally = Tally()
        self.seconds: dict[str, float] = {}
        self.expected: dict[str, str] = {}

    def calm(self) -> None:
        """Undisturbed runs: their content, and how long each stage takes once kernels are compiled."""
        first = self._start(self.place.address("first"), 1)
        assert first.wait(10 * LONGEST) == 0, first.output()
        out = self.place.address("calm")
        child = self._start(out, 1)
        seen, since = 0, time.monotonic()
        while child.code() is None:
            stage = STAGES.index(self.place.stage(out))
            if stage > seen:
                self.seconds |= dict.fromkeys(STAGES[seen:stage], (time.monotonic() - since) / (stage - seen))
                seen, since = stage, time.monotonic()
            time.sleep(0.02)
        assert child.code() == 0, child.output()
        self.seconds |= dict.fromkeys(STAGES[seen:], max(0.1, time.monotonic() - since))
        self.expected = self.place.content(out)
        assert self.expected

    def _start(self, out: str, workers: int) -> Child:
        return Child(["run", str(self.recipe), "--out", out, "--workers", str(workers)], self.work / "log.txt")

    def one_run(self, most: int) -> None:
        """A run that is killed up to `most` times and still ends."""
        self.tally.runs += 1
        out = self.place.address(f"run-{self.tally.runs}")
        target = 0
        for _ in range(most):
            target = self._least_killed(target)
            child = self._start(out, self.draw.choice((1, 1, 2)))
            if not self._kill(child, out, target):
                self._judge(child, out, None)
                break
            if self.draw.random() < 0.3:
                self._flip(out)
                break
            target = STAGES.index(self.place.stage(out))
        self._judge(self._start(out, 1), out, None)
        assert not self._differing(out), f"{out} has other content than the calm run: {self._differing(out)}"
        self._verify(out, 0)
        if self.draw.random() < 0.5:
            self._flip_finished(out)
        self.place.remove(out)

    def _least_killed(self, first: int) -> int:
        """The stage with the fewest kills, among this one and later ones."""
        kills = {stage: sum(n for kill, n in self.tally.kills.items() if kill.stage == stage) for stage in STAGES}
        there = [i for i in range(first, len(STAGES)) if STAGES[i] in (*self.place.records, "result")]
        fewest = min(kills[STAGES[i]] for i in there)
        return self.draw.choice([i for i in there if kills[STAGES[i]] == fewest])

    def _kill(self, child: Child, out: str, target: int) -> bool:
        """Kill a part of the run in its stage `target` or later; False if it ended first."""
        delay = self.draw.uniform(0, self.seconds[STAGES[target]])
        while child.code() is None and STAGES.index(self.place.stage(out)) < target:
            child.check(LONGEST)
            time.sleep(0.02)
        time.sleep(delay)
        stage = self.place.stage(out)
        victim = self.draw.choice(("driver", "worker", "group"))
        killed = child.kill(victim)
        if killed is None:
            return False
        self.tally.kills[Kill(stage, killed)] += 1
        if killed == "worker":  # the driver continues without it
            self._judge(child, out, None)
            return False
        return True

    def _flip(self, out: str) -> None:
        """Flip a bit of some file and start the run once: it must succeed, or refuse until the bit is restored."""
        stage = self.place.stage(out)
        flipped = self.place.flip(out, self.draw)
        if flipped is None:
            return
        self.tally.flips[stage] += 1
        self._judge(self._start(out, 1), out, flipped)

    def _flip_finished(self, out: str) -> None:
        flipped = self.place.flip(out, self.draw)
        assert flipped is not None
        self.tally.flips["result"] += 1
        self._judge(self._start(out, 1), out, flipped)

    def _judge(self, child: Child, out: str, flipped: str | None) -> None:
        """Wait for the end of an attempt, and check that its output and effects are allowed."""
        code = child.wait(LONGEST)
        differing = self._differing(out) if code == 0 else []
        if code == 0 and not differing and self._verify(out, None) == 0:
            if flipped:
                self.tally.outcomes["made again or without effect"] += 1
            return
        said = "\n".join([f"flipped: {flipped}", child.output(), *(f"differs: {key}" for key in differing)])
        assert flipped is not None, f"ended with {code} though nothing was flipped: {said}"
        if code == 0:
            assert self._verify(out, None) == 3, f"nothing noticed the flipped bit: {said}"
            self.tally.outcomes["not read any more, named by `dclm verify`"] += 1
        else:
            assert code in (2, 3, 4), f"{flipped}: exit code {code}: {said}"
            assert "Traceback" not in said, said
            assert "error: " in said, said
            self.tally.outcomes["refused"] += 1
        self.place.restore(out)

    def _differing(self, out: str) -> list[str]:
        """The files whose content is not that of the calm run."""
        found = self.place.content(out)
        return sorted(key for key in found.keys() | self.expected if found.get(key) != self.expected.get(key))

    def _verify(self, out: str, expected: int | None) -> int:
        child = Child(["verify", out], self.work / "verify.txt")
        code = child.wait(LONGEST)
        assert expected is None or code == expected, f"dclm verify {out}: {code}: {child.output()}"
        return code


def main(kills: int, seed: int, on: str) -> Tally:
    """Perform this many kills. Raises: AssertionError if a run ends in a way that is not allowed."""
    os.environ["OMP_NUM_THREADS"] = "1"
    preload()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as directory:
        work = Path(directory)
        with s3_place(work) if on == "s3" else Disk.at(work / "runs") as place:
            harness = Harness(place, work, random.Random(seed))
            harness.calm()
            print(f"calm run: {sum(harness.seconds.values()):.1f} s", file=sys.stderr)
            while harness.tally.kills.total() < kills:
                harness.one_run(min(KILLS_A_RUN, kills - harness.tally.kills.total()))
                print(f"{harness.tally.kills.total()} kills, {time.monotonic() - started:.0f} s", file=sys.stderr)
        shutil.rmtree(work / "runs", ignore_errors=True)
    return harness.tally


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--on", choices=["disk", "s3"], default="disk")
    arguments = parser.parse_args()
    print(main(arguments.kills, arguments.seed, arguments.on).table())
