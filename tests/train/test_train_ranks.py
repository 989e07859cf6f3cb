"""Several ranks train the same model as one, continue from each other's checkpoints, and fail together."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import rank_faults
import torch
from safetensors.torch import load_file
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter

from dclm.core.errors import ConfigError, DataError
from dclm.core.storage import is_disk_full
from dclm.model.load import load_model
from dclm.model.shards import load_shards, read_shards, write_shards
from dclm.train.distributed.faults import LostRankError, faults_explained
from dclm.train.distributed.launch import _explain, launch
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)
LAST = "checkpoints/step-000020/model.safetensors"


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def assert_same_run(found: Path, expected: Path) -> None:
    """The same updates up to rounding, and a model with the same weights up to AdamW's effect on rounding."""
    for mine, theirs in zip(metrics(found), metrics(expected), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    weights = load_file(expected / LAST)
    for name, tensor in load_file(found / LAST).items():
        np.testing.assert_allclose(tensor.numpy(), weights[name].numpy(), atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_two_ranks_go_on_where_one_stopped(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    """FSDP over gloo, from the checkpoint of one process at update 10."""
    tokens, held_out = make_tokens(), make_tokens("held-out", 30, seed=1)
    options = dataclasses.replace(PLAIN, validation=held_out)
    one = train(tokens, tmp_path / "one", scale=small_scale, seed=1, options=options)
    started = tmp_path / "started"
    (started / "checkpoints").mkdir(parents=True)
    shutil.copytree(tmp_path / "one/checkpoints/step-000010", started / "checkpoints/step-000010")
    (started / "metrics.jsonl").write_bytes((tmp_path / "one" / "metrics.jsonl").read_bytes())
    resume = dataclasses.replace(options, resume=True)
    two = launch(tokens, started, scale=small_scale, seed=1, options=resume, num_ranks=2)
    assert_same_run(started, tmp_path / "one")
    assert two.counts["validation_loss"] == pytest.approx(one.counts["validation_loss"], rel=1e-4)
    assert two.provenance["world_size"] == 2
    last = started / "checkpoints/step-000020"
    gathered = load_file(last / "model.safetensors")
    for name, tensor in read_shards(last).items():
        assert torch.equal(tensor, gathered[name]), name


@pytest.mark.slow
def test_four_ranks_in_two_copies_with_unequal_shares_train_the_model_of_one(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """HSDP over gloo, a batch that four ranks cannot divide evenly, and activations computed twice."""
    scale = dataclasses.replace(small_scale, batch_sequences=6, tokens=20 * 6 * 16, micro_batch_sequences=1)
    tokens = make_tokens()
    train(tokens, tmp_path / "one", scale=scale, seed=1, options=PLAIN)
    options = dataclasses.replace(PLAIN, shard_over=2, checkpoint_activations=True)
    record = launch(tokens, tmp_path / "four", scale=scale, seed=1, options=options, num_ranks=4)
    assert record.provenance["world_size"] == 4
    assert_same_run(tmp_path / "four", tmp_path / "one")


@pytest.mark.slow
def test_a_rank_killed_in_mid_write_costs_the_updates_since_the_last_checkpoint(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """SIGKILL before the sharded checkpoint after update 15 is committed; one process continues from the previous
    one."""
    tokens, out = make_tokens(), tmp_path / "killed"
    options = dataclasses.replace(PLAIN, checkpoint_every=5)
    with pytest.raises(LostRankError, match="rank 1\nwas killed by SIGKILL"):
        launch(
            tokens, out, scale=small_scale, seed=1, options=options, num_ranks=2,
            make_progress=rank_faults.dies_in_mid_write,
        )  # fmt: skip
    found = sorted(p.name for p in (out / "checkpoints").iterdir() if not p.name.startswith("."))
    assert found == ["step-000005", "step-000010"]
    assert not (out / "checkpoints/step-000010/model.safetensors").exists()
    assert load_model(out).config == small_scale.model
    train(tokens, out, scale=small_scale, seed=1, options=dataclasses.replace(options, resume=True))
    train(tokens, tmp_path / "whole", scale=small_scale, seed=1, options=options)
    assert_same_run(out, tmp_path / "whole")
    assert not list(out.rglob(".tmp-*"))


@pytest.mark.slow
def test_a_rank_that_stalls_ends_the_run(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    options = dataclasses.replace(PLAIN, timeout_seconds=10)
    with pytest.raises(LostRankError, match="has not answered for 10 s"):
        launch(
            make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options, num_ranks=2,
            make_progress=rank_faults.stalls,
        )  # fmt: skip
    assert [p.name for p in (tmp_path / "run" / "checkpoints").iterdir()] == ["step-000010"]


def test_a_ranks_own_error_is_told_before_what_others_saw_of_it(tmp_path: Path) -> None:
    def explain(*errors: DataError, killed: bool = False) -> DataError | None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for number, error in enumerate(errors):
            (folder / f"{number}.pickle").write_bytes(pickle.dumps(error))
        failure = SimpleNamespace(exitcode=-signal.SIGKILL if killed else 1)
        return cast("DataError | None", _explain(cast(Any, SimpleNamespace(failures={1: failure})), folder))

    lost, own = LostRankError("ranks", "one rank ended"), DataError("tokens", "corrupt")
    assert str(explain(lost, own, killed=True)) == str(own)
    assert "rank 1\nwas killed by SIGKILL" in str(explain(lost, killed=True))
    assert str(explain(lost)) == str(lost)
    assert explain() is None


@pytest.mark.parametrize(
    ("said", "kind", "told"),
    [
        ("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried", DataError, "out of memory"),
        ("[gloo/transport/tcp/pair.cc] Connection closed by peer [::1]:5", LostRankError, "one rank ended"),
        ("[gloo] Timed out waiting 900000ms for recv operation", LostRankError, "has not answered for 7 s"),
        ("mat1 and mat2 shapes cannot be multiplied", RuntimeError, "mat1"),
    ],
)
def test_what_torch_says_of_memory_and_ranks_is_explained(said: str, kind: type[Exception], told: str) -> None:
    with pytest.raises(kind, match=told), faults_explained("small", Path("out"), 7):
        raise RuntimeError(said)


@pytest.mark.parametrize("given", [{"shard_over": 2}, {"shard_over": 3}])
def test_parameters_are_not_sharded_over_more_ranks_than_there_are(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, given: dict[str, int]
) -> None:
    with pytest.raises(ConfigError, match="found 1 ranks, allowed: a divisor"):
        train(
            make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=dataclasses.replace(PLAIN, **given)
        )  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_shards_that_are_corrupt_or_cannot_be_written_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tensors = {"model.a": torch.arange(6.0).reshape(2, 3), "exp_avg.a": torch.zeros(2, 3)}
    write_shards(tmp_path, tensors)
    assert {name: t.tolist() for name, t in read_shards(tmp_path).items()} == {"a": [[0, 1, 2], [3, 4, 5]]}
    with pytest.raises(DataError, match="cannot be read"):
        load_shards(tmp_path, {"model.b": torch.zeros(1)})
    with pytest.raises(DataError, match="cannot be read"):
        load_shards(tmp_path, {"model.a": torch.zeros(3, 3)})
    (file,) = (tmp_path / "shards").glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(DataError, match="cannot be read"):
        read_shards(tmp_path)
    file.unlink()
    with pytest.raises(DataError, match="cannot be read: ValueError: no safetensors files"):
        read_shards(tmp_path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(HuggingFaceStorageWriter, "write_data", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_shards(tmp_path / "full", tensors)
    assert is_disk_full(caught.value)
