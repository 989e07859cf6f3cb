"""Ranks on nodes that share no disk: the run's home is on S3, and every node has a scratch folder of its own."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import nodes_run
import pytest
import torch
from nodes_run import Job

from dclm.core.record import read_record
from dclm.core.stores.store import join, local_file, open_store
from dclm.model.load import load_model
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

UPDATES = 1500
OPTIONS = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=50, timeout_seconds=300)


@pytest.mark.slow
def test_nodes_without_a_common_disk_train_the_model_of_one_process(
    make_tokens: MakeTokens, small_scale: Scale, s3: str, tmp_path: Path
) -> None:
    """Stopped by a signal, refused without --resume, continued, and one node lost with its disk and replaced."""
    scale = dataclasses.replace(small_scale, tokens=UPDATES * 8 * 16, learning_rate=1e-3)
    tokens = make_tokens(num_sequences=UPDATES * 8)
    one = train(tokens, tmp_path / "one", scale=scale, seed=1, options=OPTIONS)
    store = open_store(f"{s3}/tokens")
    for path in tokens.rglob("*"):
        if path.is_file():
            store.put(path.relative_to(tokens).as_posix(), path.read_bytes())
    out = f"{s3}/run"
    job = Job(tokens=f"{s3}/tokens", out=out, scale=scale, options=OPTIONS, work=tmp_path / "nodes")
    command = [sys.executable, nodes_run.__file__, pickle.dumps(job).hex()]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, timeout=500)
    found = json.loads(done.stdout.splitlines()[-1])
    assert f"of {UPDATES:,} updates is saved in {out}" in found["stop"]
    assert nodes_run.STOP_AT <= found["stop_reached"] < UPDATES
    assert "contains an unfinished run, at step-" in found["refuse"]
    assert (found["lose"], found["lose_reached"]) == ("finished", UPDATES)
    assert found["left"] == {"a": [], "c": []}

    record = read_record(out)
    assert record.fingerprint == one.fingerprint
    assert record.provenance["world_size"] == 2
    for entry in record.files:
        assert hashlib.sha256(local_file(join(out, entry.path)).read_bytes()).hexdigest() == entry.sha256, entry.path
    assert sorted(open_store(out).list()) == sorted([entry.path for entry in record.files] + ["record.json"])
    shards = [entry.path for entry in record.files if f"step-{UPDATES:06d}/shards/" in entry.path]
    assert len(shards) == 2  # one of each node
    losses = [
        [json.loads(line)["loss"] for line in local_file(join(home, "metrics.jsonl")).read_text().splitlines()]
        for home in (out, str(tmp_path / "one"))
    ]
    assert len(losses[0]) == UPDATES
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
    here, there = (load_model(home, device="cpu").model.state_dict() for home in (tmp_path / "one", out))
    for name, tensor in here.items():
        assert torch.allclose(tensor, there[name], atol=1e-3), name
