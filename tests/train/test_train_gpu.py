"""A CUDA device trains the model that the CPU trains. Run by hand on a machine with one: `pytest -m gpu`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from dclm.train.distributed.launch import launch
from dclm.train.options import Precision, TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.filterwarnings("default"),  # from inductor and NCCL
]
PLAIN = TrainOptions(precision="fp32", threads=1, checkpoint_every=10)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture
def tokens(make_tokens: MakeTokens) -> Path:
    return make_tokens()


@pytest.fixture
def expected(tokens: Path, small_scale: Scale, tmp_path: Path) -> list[float]:
    """Losses on the CPU."""
    options = dataclasses.replace(PLAIN, device="cpu")
    train(tokens, tmp_path / "cpu", scale=small_scale, seed=1, options=options)
    return losses(tmp_path / "cpu")


@pytest.mark.parametrize(
    ("precision", "compiled", "tolerance"), [("fp32", False, 1e-3), ("bf16", False, 0.03), ("bf16", True, 0.03)]
)
def test_one_gpu_has_the_losses_of_the_cpu(
    tokens: Path, small_scale: Scale, tmp_path: Path, expected: list[float], precision: Precision, compiled: bool,
    tolerance: float,
) -> None:  # fmt: skip
    options = dataclasses.replace(PLAIN, device="cuda", precision=precision, compile=compiled)
    record = train(tokens, tmp_path / "gpu", scale=small_scale, seed=1, options=options)
    assert record.provenance["device"] == "cuda"
    assert losses(tmp_path / "gpu") == pytest.approx(expected, rel=tolerance)


def test_all_gpus_of_a_machine_have_the_losses_of_the_cpu(
    tokens: Path, small_scale: Scale, tmp_path: Path, expected: list[float]
) -> None:
    """FSDP over NCCL, with sharded checkpoints."""
    count = min(torch.cuda.device_count(), small_scale.batch_sequences)
    if count < 2:
        pytest.skip("needs two CUDA devices")
    options = dataclasses.replace(PLAIN, device="cuda")
    launch(tokens, tmp_path / "gpus", scale=small_scale, seed=1, options=options, num_ranks=count)
    assert (tmp_path / "gpus" / "checkpoints" / "step-000020" / "shards").is_dir()
    assert losses(tmp_path / "gpus") == pytest.approx(expected, rel=1e-3)
