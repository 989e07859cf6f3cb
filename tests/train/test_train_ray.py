"""Ray Train's workers train the model that one process trains."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dclm.errors import ConfigError
from dclm.train.launch_ray import launch_ray
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1)
ON_RAY = """
import json, pickle, sys
import ray
from dclm.errors import DataError
from dclm.train.launch_ray import launch_ray

job = pickle.loads(bytes.fromhex(sys.argv[1]))
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
rest = {"scale": job["scale"], "seed": 1, "options": job["options"], "num_ranks": 2}
record = launch_ray(job["tokens"], job["out"], **rest)
try:
    launch_ray(job["few"], job["few_out"], max_failures=0, **rest)
except DataError as error:
    refused = str(error)
ray.shutdown()
print(json.dumps([record.fingerprint, record.counts["train_loss"], record.provenance["world_size"], refused]))
"""


@pytest.mark.slow
def test_ray_workers_train_the_model_of_one_process_and_tell_what_they_refuse(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """In a process of its own, for Ray leaves processes and warnings behind."""
    import pickle

    tokens, out = make_tokens(), tmp_path / "run"
    one = train(tokens, tmp_path / "one", scale=small_scale, seed=1, options=PLAIN)
    job = {
        "tokens": tokens, "out": out, "scale": small_scale, "options": PLAIN,
        "few": make_tokens("few", num_sequences=10), "few_out": tmp_path / "few-run",
    }  # fmt: skip
    command = [sys.executable, "-c", ON_RAY, pickle.dumps(job).hex()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=400)
    fingerprint, loss, world_size, refused = json.loads(done.stdout.splitlines()[-1])
    assert fingerprint == one.fingerprint
    assert loss == pytest.approx(one.counts["train_loss"], rel=1e-4)
    assert world_size == 2
    assert "needs 2,560 tokens" in refused
    assert not list(tmp_path.glob(".tmp-*"))


def test_an_unfinished_run_is_refused_before_ray_is_asked(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    (tmp_path / "run" / "checkpoints" / "step-000010").mkdir(parents=True)
    with pytest.raises(ConfigError, match="unfinished run"):
        launch_ray(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN, num_ranks=2)
