"""A Ray run on three simulated nodes of this machine, and ways to kill parts of it while it runs."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from dclm.core.record import read_record
from dclm.core.stores.store import open_store
from dclm.engine.cluster import ENVIRONMENT
from dclm.engine.ray import START_ATTEMPTS

_PIPELINE = """
name: kills
steps:
  - extract: {{with: resiliparse}}
  - page_length: {{of: word, min: 3}}
  - exact: {{of: text}}
  - minhash: {{ngram: 5, bands: 9, rows: 5, seed: 1, verify: 0.6, links_in_memory: 1}}
  - decontaminate: {{items: ["{items}"], ngram: 3, action: mask}}
  - substring: {{min_tokens: 12}}
  - bloom: {{mode: paragraph, min_ngram: 5, max_ngram: 5, threshold: 0.8, fp_rate: 0.001, partitions: 3}}
  - random_sampling: {{keep_fraction: 0.7}}
"""
_ITEM = {"query": "Top rated!!! Win win win with cheap sunglasses"}
Victim = Literal["worker", "node", "driver"]
VICTIMS: tuple[Victim, ...] = ("worker", "node", "driver")
MOST_RESTARTS = 20
BY_FILE = ["--unit-bytes", "0", "--shard-bytes", "0"]
"""One unit per file of the pool, and one shard per unit."""


def write_pipeline(directory: Path) -> Path:
    """Steps of every kind, for the pages of `dclm.pool.sample.crawl` and the texts of `engine_steps.write_lines`."""
    items, pipeline = directory / "spam.jsonl", directory / "kills.yaml"
    items.write_text(json.dumps(_ITEM) + "\n", encoding="utf-8")
    pipeline.write_text(_PIPELINE.format(items=items), encoding="utf-8")
    return pipeline


class Nodes:
    """A head node and two more, each with one CPU and its own processes."""

    def __init__(self, cluster: Any) -> None:
        self._cluster = cluster
        self._others = [cluster.add_node(num_cpus=1) for _ in range(2)]

    @property
    def address(self) -> str:
        return str(self._cluster.address)

    def replace_one(self, draw: random.Random) -> None:
        """Kill all processes of a node that is not the head; another one takes its place."""
        gone = self._others.pop(draw.randrange(len(self._others)))
        self._cluster.remove_node(gone, allow_graceful=False)
        self._others.append(self._cluster.add_node(num_cpus=1))

    def kill_worker(self, draw: random.Random) -> bool:
        """SIGKILL a process that runs a task of these nodes; False if there is none at the moment."""
        raylets = {n.all_processes["raylet"][0].process.pid for n in [self._cluster.head_node, *self._others]}
        found = sorted(pid for pid in _children(raylets) if b"ray::_call" in _command(pid))
        if not found:
            return False
        try:
            os.kill(draw.choice(found), signal.SIGKILL)
        except ProcessLookupError:
            return False
        return True


@contextmanager
def three_nodes() -> Iterator[Nodes]:
    """Start the nodes, and stop them at the end."""
    os.environ.update(ENVIRONMENT)
    cluster = _started()
    try:
        yield Nodes(cluster)
    finally:
        cluster.shutdown()


def _started() -> Any:
    """A head. Ray allows it 30 seconds to start; on a machine too busy for that, it is retried (see `RayEngine`)."""
    from ray.cluster_utils import Cluster

    for _ in range(START_ATTEMPTS):
        try:
            return Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
    raise TimeoutError(f"Ray did not start in {START_ATTEMPTS} attempts")


def _children(parents: set[int]) -> list[int]:
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) in parents:
            found.append(int(path.parent.name))
    return found


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run:
    """One `dclm curate` command."""

    pipeline: Path
    pool: Path
    out: Path | str
    """A folder, or the address of one on S3."""
    log: Path | None = None
    """Where its output goes; None: next to `out`."""

    @property
    def output(self) -> Path:
        return self.log or Path(self.out).with_suffix(".log")

    def start(self, on: str, workers: int = 3) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "dclm.cli.main", "curate", str(self.pipeline), "--pool", str(self.pool)]
        command += ["--out", str(self.out), "--on", on, "--workers", str(workers), "--seed", "7", "--allow-incomplete"]
        command += BY_FILE
        with self.output.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)

    def committed(self) -> int:
        """Number of units in the journal, some of them perhaps more than once."""
        store = open_store(str(self.out))
        entries = [store.read(key) for key in store.list(".work/journal") if key.endswith(".jsonl")]
        return sum(entry.data.count(b"\n") - 1 for entry in entries if entry is not None)

    def files(self) -> dict[str, str]:
        """Path and hash of every file of the artifact."""
        return {f.path: f.sha256 for f in read_record(self.out).files}


def exit_code(process: subprocess.Popen[bytes], wait: float = 0.05) -> int | None:
    """None if it is still running after `wait` seconds."""
    try:
        return process.wait(timeout=wait)
    except subprocess.TimeoutExpired:
        return None


def run_with_kills(run: Run, nodes: Nodes, draw: random.Random, most: int, stride: int) -> list[tuple[Victim, int]]:
    """Run to the end, killing something whenever up to `stride` more units are finished, at most `most` times. Returns
    what was killed and how many units were finished. A driver that was killed, or went down with its node, is started
    again; one that fails on its own is an error.
    """
    killed: list[tuple[Victim, int]] = []
    process = run.start(f"ray:{nodes.address}")
    restarts, hurt = 0, False
    victim, at = draw.choice(VICTIMS), draw.randint(0, stride)
    while True:
        code = exit_code(process)
        if code == 0:
            return killed
        if code is not None:
            restarts += 1
            assert hurt, f"the run failed with {code}: {run.output.read_text()[-2000:]}"
            assert restarts <= MOST_RESTARTS, "the run does not come to an end"
            process, hurt = run.start(f"ray:{nodes.address}"), False
        if len(killed) >= most or run.committed() < at:
            continue
        if victim == "node":
            nodes.replace_one(draw)
        elif victim == "driver":
            os.killpg(process.pid, signal.SIGKILL)
        elif not nodes.kill_worker(draw):  # none runs a task just now
            if run.committed() > at + stride // 3:
                victim = "driver"  # which always exists
            continue
        hurt = hurt or victim != "worker"
        killed.append((victim, run.committed()))
        victim, at = draw.choice(VICTIMS), killed[-1][1] + draw.randint(1, stride)
