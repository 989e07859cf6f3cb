"""Each stage requests the resources in `cluster/resources.yaml` from Ray."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dclm.core.errors import ConfigError
from dclm.core.stages.engine import SerialEngine
from dclm.engine import resources
from dclm.engine.local import LocalEngine
from dclm.engine.resources import STAGES, Needs, needs_of


@pytest.mark.parametrize("kind", STAGES)
def test_every_kind_of_artifact_has_a_stage_in_the_file(kind: str) -> None:
    assert STAGES[kind] in resources._read(resources.resources_file())
    assert needs_of(kind, on_gpu=True).gpus >= 1


def test_needs_come_from_the_file() -> None:
    assert needs_of("documents", on_gpu=False) == Needs(1, 2_000_000_000, 0)
    assert needs_of("scores", on_gpu=True) == Needs(4, 16_000_000_000, 1)
    assert needs_of("scores", on_gpu=False) == Needs()


def test_a_node_fits_if_it_has_everything() -> None:
    needs = Needs(4, 16_000_000_000, 1)
    assert str(needs) == "4 CPUs, 16 GB of memory, 1 GPU"
    assert str(Needs()) == "1 CPU"
    node = {"CPU": 4.0, "memory": 16e9, "GPU": 1.0}
    assert needs.fit(node)
    for name in node:
        assert not needs.fit({**node, name: node[name] - 1})
        assert not needs.fit({other: value for other, value in node.items() if other != name})


@pytest.mark.parametrize("text", ["stages: 3", "stages: {curate: {cpus: 1}}", "nothing: {}"])
def test_a_file_of_another_form_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    path = tmp_path / "resources.yaml"
    path.write_text(text)
    monkeypatch.setattr(resources, "resources_file", lambda: path)
    with pytest.raises(ConfigError):
        needs_of("documents", on_gpu=False)


def test_without_the_file_a_unit_takes_a_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "resources_file", lambda: tmp_path / "gone.yaml")
    assert needs_of("documents", on_gpu=False) == Needs()


def test_engines_of_this_machine_have_no_use_for_it() -> None:
    for engine in (SerialEngine(), LocalEngine(1)):
        assert engine.for_stage("documents") is engine


_ASKS = """
import time
import ray
from dclm.engine.ray import RayEngine

ray.init(address="local", num_cpus=2, _memory=5_000_000_000, include_dashboard=False, log_to_driver=False)
engine = RayEngine()

def left(unit):
    time.sleep(1)
    return ray.available_resources().get("memory", 0)

two = list(engine.for_stage("documents").map(left, range(2)))
assert all(memory <= 3e9 for _, memory in two), two  # 2 GB of 5 are taken by each unit that runs
free = list(engine.map(left, [0]))
assert free[0][1] == 5e9, free
engine.close()
assert ray.is_initialized()  # what it did not start goes on
ray.shutdown()
"""


@pytest.mark.slow
def test_a_unit_on_a_cluster_asks_for_its_memory() -> None:
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled"}
    done = subprocess.run([sys.executable, "-c", _ASKS], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
