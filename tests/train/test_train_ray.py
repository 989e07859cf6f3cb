"""Ray Train's workers train the model that one process trains."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dclm.core.counts import CheckpointCounts
from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.train.distributed.launch_ray import launch_ray, lost_ranks
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

    from dclm.train.distributed.ranks import Device

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1)
ON_RAY = """
import json, pickle, sys
import ray
from dclm.core.errors import ConfigError, DataError
from dclm.train.distributed.launch_ray import launch_ray

job = pickle.loads(bytes.fromhex(sys.argv[1]))
ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
rest = {"scale": job["scale"], "seed": 1, "options": job["options"], "num_ranks": 2}
record = launch_ray(job["tokens"], job["out"], min_ranks=1, **rest)
try:
    launch_ray(job["tokens"], job["few_out"], **rest | {"num_ranks": 5})
except ConfigError as error:
    no_room = str(error)
try:
    launch_ray(job["few"], job["few_out"], max_failures=0, **rest)
except DataError as error:
    refused = str(error)
ray.shutdown()
print(json.dumps([record.fingerprint, record.counts["final_loss"], record.provenance["world_size"], refused, no_room]))
"""


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_ray_workers_train_the_model_of_one_process_and_tell_what_they_refuse(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """An elastic run of one or two workers. In a separate process, because Ray leaves processes and warnings behind."""
    import pickle

    tokens, out = make_tokens(), tmp_path / "run"
    one = train(tokens, tmp_path / "one", scale=small_scale, seed=1, options=PLAIN)
    job = {
        "tokens": tokens, "out": out, "scale": small_scale, "options": PLAIN,
        "few": make_tokens("few", num_sequences=10), "few_out": tmp_path / "few-run",
    }  # fmt: skip
    command = [sys.executable, "-c", ON_RAY, pickle.dumps(job).hex()]
    environment = {**os.environ, "DCLM_RAY_WAIT_SECONDS": "0"}  # no node joins: reported at once
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=400, env=environment)
    fingerprint, loss, world_size, refused, no_room = json.loads(done.stdout.splitlines()[-1])
    assert fingerprint == one.fingerprint
    assert loss == pytest.approx(one.counts["final_loss"], rel=1e-4)
    assert losses(out) == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    assert world_size == 2
    assert "found 4 CPUs in the cluster, needed: 5" in no_room
    assert "needs 2,560 tokens" in refused
    assert not list(tmp_path.glob(".tmp-*"))


def test_an_unfinished_run_is_refused_before_ray_is_asked(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    (tmp_path / "run" / "checkpoints" / "step-000010").mkdir(parents=True)
    with pytest.raises(ConfigError, match="unfinished run"):
        launch_ray(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN, num_ranks=2)


RECIPE = """
name: small
data: [{pool: {sample: {seed: 3, documents: 16}}, pipeline: p.yaml}]
scale: tiny
tasks: [copa]
track: [tensorboard]
"""


@pytest.mark.parametrize(
    ("on_ray", "num_ranks", "device", "gpus", "expected"),
    [
        (True, 2, "auto", False, "ray"), (True, 1, "auto", False, "here"), (True, 1, "auto", True, "ray"),
        (False, 2, "auto", True, "here"), (True, 1, "cuda", False, "ray"), (True, 1, "cpu", True, "here"),
    ],
)  # fmt: skip
def test_a_recipe_is_trained_on_ray_where_several_workers_are_asked_for(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_ray: bool,
    num_ranks: int,
    device: Device,
    gpus: bool,
    expected: str,
) -> None:
    from dclm.core.stages.engine import SerialEngine
    from dclm.recipe import run as stages
    from dclm.recipe.recipe import load_recipe

    called: list[tuple[str, dict[str, Any]]] = []

    def fake(name: str) -> Any:
        def launch(*_: Path, **rest: Any) -> Record:
            called.append((name, rest))
            counts = CheckpointCounts(
                params=1, published_params=1, steps=1, tokens=1, available_tokens=1, flops=6, flops_with_attention=6,
                final_loss=1.0, unigram_entropy=3.0, validation_loss=None, validation_bits_per_byte=None,
            )  # fmt: skip
            return Record(kind="checkpoint", name="tiny", fingerprint="f", config={}, counts=counts.plain())

        return launch

    monkeypatch.setattr(stages, "launch_ray", fake("ray"))
    monkeypatch.setattr(stages, "launch", fake("here"))
    monkeypatch.setattr(stages, "cluster_has_gpus", lambda: gpus)
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - page_length: {of: word, min: 5}\n")
    options = stages.RunOptions(on_ray=on_ray, num_ranks=num_ranks, min_ranks=1, device=device)
    stages.Run(load_recipe(tmp_path / "r.yaml"), tmp_path / "out", SerialEngine(), options).train()
    ((name, rest),) = called
    assert (name, rest["num_ranks"], rest.get("min_ranks")) == (expected, num_ranks, 1 if expected == "ray" else None)
    assert rest["options"].resume
    assert rest["options"].device == device
    assert rest["options"].track == ("tensorboard",)


def test_a_cluster_that_has_no_room_again_ends_the_run_with_what_to_do(tmp_path: Path) -> None:
    """The error of Ray Train when it has given up; without a limit, it would retry forever."""
    from ray.train import ControllerError, WorkerGroupError

    waited = ControllerError(TimeoutError("startup timed out waiting for 2 workers\nand more"))
    told = lost_ranks(waited, 2, str(tmp_path / "run"))
    assert "no room for all of them again: startup timed out waiting for 2 workers\n" in str(told)
    assert "--min-nproc" in str(told)
    assert lost_ranks(WorkerGroupError("worker 0", {0: ValueError("x")}), 2, str(tmp_path / "run")) is None


SCALE = """
name: small
model: {{hidden_dim: 16, num_layers: 2, num_heads: 2, seq_len: {seq_len}, vocab_size: {vocab_size}}}
tokens: {tokens}
batch_sequences: 8
warmup_steps: 4
learning_rate: 0.01
final_learning_rate: 0.001
micro_batch_sequences: 4
"""


@pytest.mark.slow
def test_a_signal_to_the_driver_leaves_a_checkpoint_of_the_ranks(make_tokens: MakeTokens, tmp_path: Path) -> None:
    """The ranks are notified, save, and end cleanly; the command says how to continue, and its exit code is the
    signal's."""
    tokens, out, scale = make_tokens(num_sequences=400), tmp_path / "out", tmp_path / "small.yaml"
    updates = 3000
    scale.write_text(SCALE.format(seq_len=16, vocab_size=97, tokens=updates * 8 * 16))
    command = [sys.executable, "-m", "dclm.cli.main", "train", str(tokens), "--scale", str(scale), "--out", str(out)]
    command += ["--on", "ray", "--nproc", "2", "--device", "cpu", "--precision", "fp32", "--threads", "1"]
    process = subprocess.Popen([*command, "--epochs", "99"], stderr=subprocess.PIPE, text=True)
    while process.poll() is None and not (out / "metrics.jsonl").exists():
        time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=120)
    assert process.returncode == 128 + signal.SIGTERM, said
    assert f"of {updates:,} updates is saved in {out}" in said
    (checkpoint,) = (out / "checkpoints").iterdir()
    assert 0 < int(checkpoint.name.removeprefix("step-")) < updates
    assert not (out / "record.json").exists()
    assert not list(tmp_path.glob(".tmp-*"))
