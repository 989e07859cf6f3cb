"""Nodes that join a Ray cluster late are used at once, and the run waits for them if necessary."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dclm.eval.run.plan import choose_settings

LATE = """
import functools, json, os, sys, time
from pathlib import Path
from ray.cluster_utils import Cluster
import ray

from dclm.engine.cluster import ENVIRONMENT
os.environ.update(ENVIRONMENT)
from dclm.engine.ray import RayEngine

folder = Path(sys.argv[1])
said = []


def together(number, unit):
    # ends when `number` units have begun, which is only possible if that many run at once
    (folder / f"{number}-{unit}").touch()
    for _ in range(600):
        if len(list(folder.glob(f"{number}-*"))) >= number:
            return ray.get_gpu_ids() if number == 1 else unit
        time.sleep(0.1)
    raise TimeoutError(f"fewer than {number} units at once")


def main():
    head = {"num_cpus": 0, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=head)

    def say(line):
        said.append(line)
        if "GPU" not in line:
            for _ in range(2):
                cluster.add_node(num_cpus=4)
        else:
            cluster.add_node(num_cpus=1, num_gpus=1)

    engine = RayEngine(cluster.address, say=say)
    before = engine.gpus
    eight = sorted(unit for _, unit in engine.map(functools.partial(together, 8), range(16)))
    (_, gpu), = engine.map(functools.partial(together, 1), [0], one_gpu_each=True)
    from dclm.train.distributed.launch_ray import await_room
    await_room("GPU", 2, say)
    print(json.dumps([before, eight, gpu, said, engine.gpus]))
    engine.close()
    cluster.shutdown()


main()
"""


@pytest.mark.slow
def test_late_nodes_are_used_and_waited_for(tmp_path: Path) -> None:
    """A head without CPUs gets work; two nodes of four CPUs, then two with a GPU, join when they are waited for."""
    command = [sys.executable, "-c", LATE, str(tmp_path)]
    environment = {**os.environ, "RAY_DEDUP_LOGS": "0"}
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=300, env=environment)
    before, eight, gpu, said, gpus = json.loads(done.stdout.splitlines()[-1])
    assert before == 0
    assert eight == list(range(16))
    assert len(gpu) == 1
    assert gpus == 2
    cpu, gpu_line, two = said
    assert cpu.startswith("waiting for a node with ")
    assert "CPU" in cpu
    assert "GPU" in gpu_line
    assert two.startswith("waiting for 2 GPUs, of which the cluster has 1 (at most ")


@pytest.mark.parametrize(
    ("asked", "gpus", "expected"), [("auto", 1, "cuda"), ("auto", 0, "cpu"), ("cpu", 1, "cpu"), ("cuda:1", 0, "cuda:1")]
)
def test_the_device_is_that_of_the_nodes_that_do_the_work(asked: str, gpus: int, expected: str) -> None:
    settings = choose_settings(asked, "float32", None, gpus)
    assert settings.device == expected
    assert settings.batch_tokens == (512 if expected == "cpu" else 32_768)
