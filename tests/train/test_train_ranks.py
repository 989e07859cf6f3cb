"""Several ranks train the model that one trains, and fail as one does."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.torch import load_file

from dclm.errors import ConfigError
from dclm.train.launch import launch
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)


def metrics(out: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
def test_two_ranks_train_the_model_of_one_and_go_on_where_one_stopped(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """FSDP over gloo; the second run is begun by one rank and resumed by two from the checkpoint at update 10."""
    tokens, held_out = make_tokens(), make_tokens("held-out", 30, seed=1)
    options = dataclasses.replace(PLAIN, validation=held_out)
    one = train(tokens, tmp_path / "one", scale=small_scale, seed=1, options=options)
    started = tmp_path / "started"
    (started / "checkpoints").mkdir(parents=True)
    (tmp_path / "one" / "checkpoints" / "step-000010").rename(started / "checkpoints" / "step-000010")
    (started / "metrics.jsonl").write_bytes((tmp_path / "one" / "metrics.jsonl").read_bytes())
    resume = dataclasses.replace(options, resume=True)
    two = launch(tokens, started, scale=small_scale, seed=1, options=resume, num_ranks=2)
    for mine, theirs in zip(metrics(started), metrics(tmp_path / "one"), strict=True):
        assert mine == pytest.approx(theirs, rel=1e-4)
    assert two.counts["validation_loss"] == pytest.approx(one.counts["validation_loss"], rel=1e-4)
    assert two.provenance["world_size"] == 2
    path = "checkpoints/step-000020/model.safetensors"
    expected = load_file(tmp_path / "one" / path)
    for name, tensor in load_file(started / path).items():
        np.testing.assert_allclose(tensor.numpy(), expected[name].numpy(), atol=1e-3, err_msg=name)


@pytest.mark.slow
def test_what_a_rank_refuses_reaches_the_caller(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="found 3 ranks, allowed: divisors of the batch of 8"):
        launch(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN, num_ranks=3)
