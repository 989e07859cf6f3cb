"""Training on two simulated nodes that share no disk: `nodes_run.py JOB` starts the nodes and, in processes of their
own, the drivers of three runs. JOB is a pickle in hexadecimal digits."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from dclm.core.errors import ConfigError
from dclm.core.stages import stopping
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stopping import Stopped
from dclm.engine.cluster import ENVIRONMENT
from dclm.train.distributed.launch_ray import launch_ray
from dclm.train.options import TrainOptions
from dclm.train.scale import Scale

STOP_AT, LOSE_AT = 200, 700


@dataclasses.dataclass(frozen=True, kw_only=True)
class Job:
    """What all runs have in common."""

    tokens: str
    out: str
    scale: Scale
    options: TrainOptions
    work: Path
    """Folder of the nodes' scratch folders, `a` to `c`."""


class Reported(NullProgress):
    """Prints how far the run is; `stops`: asks it to stop soon."""

    def __init__(self, stops: bool) -> None:
        self._stops, self._step = stops, 0

    def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
        self._step += units
        print(self._step, flush=True)
        if self._stops and self._step >= STOP_AT:
            stopping.request(15)


def drive(job: Job, address: str, kind: str) -> None:
    """One run. The last line printed is what it ended with."""
    import ray

    ray.init(address=address, log_to_driver=False)
    options = dataclasses.replace(job.options, resume=kind == "lose")
    try:
        launch_ray(
            job.tokens,
            job.out,
            scale=job.scale,
            seed=1,
            options=options,
            num_ranks=2,
            make_progress=lambda: Reported(kind == "stop"),
        )
        print(json.dumps("finished"))
    except (Stopped, ConfigError) as error:
        print(json.dumps(str(error)))


def start(job: str, address: str, kind: str) -> subprocess.Popen[str]:
    command = [sys.executable, __file__, job, address, kind]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def simulate(given: str) -> dict[str, Any]:
    """Run with two nodes: stop it, try it without `resume`, and continue; then one node is lost with its disk."""
    from ray.cluster_utils import Cluster

    job: Job = pickle.loads(bytes.fromhex(given))
    os.environ.update(ENVIRONMENT)

    def own_disk(name: str) -> dict[str, Any]:
        return {"num_cpus": 1, "env_vars": {"DCLM_SCRATCH": str(job.work / name)}}

    cluster = Cluster(initialize_head=True, head_node_args={"include_dashboard": False, **own_disk("a")})
    other = cluster.add_node(**own_disk("b"))
    found: dict[str, Any] = {}
    for kind in ("stop", "refuse", "lose"):
        process = start(given, cluster.address, kind)
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if kind == "lose" and line.strip().isdigit() and int(line) >= LOSE_AT and other is not None:
                cluster.remove_node(other, allow_graceful=False)
                shutil.rmtree(job.work / "b")
                cluster.add_node(**own_disk("c"))
                other = None
        process.wait()
        found[kind] = json.loads(lines[-1])
        found[f"{kind}_reached"] = int(lines[-2]) if len(lines) > 1 else 0
    found["left"] = {name: [p.name for p in (job.work / name / "train").iterdir()] for name in "ac"}
    cluster.shutdown()
    return found


if __name__ == "__main__":
    if len(sys.argv) > 2:
        drive(pickle.loads(bytes.fromhex(sys.argv[1])), *sys.argv[2:])
    else:
        print(json.dumps(simulate(sys.argv[1])))
