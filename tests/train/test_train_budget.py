"""Estimates and refusals of `dclm plan` for a training run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from dclm.core.errors import ConfigError, DataError
from dclm.model import loss
from dclm.model.config import ModelConfig
from dclm.model.init import initialize
from dclm.model.transformer import Transformer
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import LoadedRecipe, load_recipe
from dclm.train import budget
from dclm.train.budget import Hardware, check_hardware, estimate_memory, estimate_speed, gpu_hours
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import SCALES, Scale
from dclm.train.throughput import PEAK_FLOPS, peak_of

if TYPE_CHECKING:
    from conftest import MakeTokens


@pytest.mark.parametrize(("name", "hours"), [("411m_1x", 26), ("1b_1x", 240)])
def test_dclms_own_runs_take_the_gpu_hours_it_reports(name: str, hours: float) -> None:
    speed = estimate_speed(SCALES[name], Hardware())
    assert speed is not None
    assert gpu_hours(SCALES[name], Hardware(), speed) == pytest.approx(hours, rel=0.006)


def test_more_gpus_take_as_many_gpu_hours_and_a_higher_share_fewer() -> None:
    scale = SCALES["411m_1x"]

    def hours(**given: float) -> float:
        hardware = Hardware(**given)  # type: ignore[arg-type]
        speed = estimate_speed(scale, hardware)
        assert speed is not None
        return gpu_hours(scale, hardware, speed)

    assert hours(num_gpus=8) == pytest.approx(hours())
    assert hours(utilization=0.44) == pytest.approx(hours() / 2)
    assert estimate_speed(SCALES["5m"], Hardware()) is None


@pytest.mark.parametrize("checkpointed", [False, True])
def test_activations_are_estimated_near_what_autograd_keeps(checkpointed: bool) -> None:
    """In bfloat16, with blocks so wide that memory independent of the width is small by comparison."""
    config = ModelConfig(hidden_dim=256, num_layers=6, num_heads=2, seq_len=64, vocab_size=16)
    model = initialize(Transformer(config), seed=0).train()
    model.compute_dtype = torch.bfloat16
    model.checkpoint_activations = checkpointed
    weights = {shape for p in model.parameters() for shape in (tuple(p.shape), tuple(p.shape)[::-1])}
    kept: dict[int, torch.UntypedStorage] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tuple(tensor.shape) not in weights:  # no activation has their shape: 3 × 64 tokens
            kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.forward_hidden(torch.zeros(3, 64, dtype=torch.long))
    found = sum(storage.nbytes() for storage in kept.values())
    scale = dataclasses.replace(SCALES["tiny"], model=config, batch_sequences=3, micro_batch_sequences=3)
    estimated = estimate_memory(scale, Hardware(checkpoint_activations=checkpointed)).activations
    if checkpointed:
        estimated -= estimate_memory(scale, Hardware()).activations // config.num_layers  # that of the backward pass
    assert estimated == pytest.approx(found, rel=0.1)


def test_state_is_cut_by_the_gpus_that_share_it() -> None:
    scale = SCALES["7b_1x"]
    whole = 16 * scale.model.num_parameters
    assert estimate_memory(scale, Hardware()).state == whole
    assert estimate_memory(scale, Hardware(num_gpus=16, shard_over=8)).state == whole // 8
    assert budget.CHUNK_LOGITS == loss.CHUNK_ELEMENTS_GPU


def test_what_cannot_run_is_refused() -> None:
    check_hardware(SCALES["7b_1x"], Hardware(num_gpus=8))
    with pytest.raises(ConfigError, match=r"need 110 GB on each H100 of 80\nhint: use more GPUs"):
        check_hardware(SCALES["7b_1x"], Hardware())
    with pytest.raises(ConfigError, match="found 257 ranks, allowed: at most one per sequence of a batch, 256"):
        check_hardware(SCALES["1b_1x"], Hardware(num_gpus=257))
    with pytest.raises(ConfigError, match="--shard-over 3\nfound 8 ranks, allowed: a divisor"):
        Hardware(num_gpus=8, shard_over=3)
    with pytest.raises(ConfigError, match="allowed: A100, H100"):
        Hardware(gpu="H1000")


def write_recipe(folder: Path) -> LoadedRecipe:
    (folder / "p.yaml").write_text("name: p\nsteps:\n  - page_length: {of: word, min: 5}\n")
    (folder / "r.yaml").write_text(
        "name: r\ndata: [{pool: {sample: {seed: 3, documents: 16}}, pipeline: p.yaml}]\nscale: 411m_1x\ntasks: [copa]\n"
    )
    return load_recipe(folder / "r.yaml")


def test_the_plan_states_tokens_updates_memory_hours_and_cost(tmp_path: Path) -> None:
    lines = "\n".join(plan_lines(write_recipe(tmp_path), None, Hardware(num_gpus=8, price=2.5)))
    assert "8,231,321,600 tokens in 7,850 updates of 512 × 2,048, 2.03e+19 FLOPs" in lines
    assert "on each of 8 × H100 (state 0.8," in lines
    assert "= 25.87 GPU-hours" in lines
    assert "cost 64.67 at 2.5 per GPU-hour" in lines


def test_the_plan_takes_the_speed_of_an_earlier_run_and_refuses_too_few_tokens(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    options = TrainOptions(device="cpu", precision="fp32", threads=1)
    train(make_tokens("out/tokens"), out / "train", scale=small_scale, seed=1, options=options)
    timings = [{"step": 1, "tokens_per_second": speed} for speed in (5.0, 256.0, 900.0)]
    (out / "train" / "timings.jsonl").write_text("".join(json.dumps(t) + "\n" for t in timings))
    monkeypatch.setattr("dclm.recipe.plan.find_scale", lambda _: small_scale)
    lines = "\n".join(plan_lines(write_recipe(tmp_path), out))
    assert "2,560 needed, 2,560 available" in lines
    assert "256 tokens/s measured in" in lines
    monkeypatch.setattr("dclm.recipe.plan.find_scale", lambda _: dataclasses.replace(small_scale, tokens=5120))
    with pytest.raises(DataError, match="needs 5,120 tokens, found 2,560"):
        list(plan_lines(write_recipe(tmp_path), out))
    (out / "train" / "timings.jsonl").write_text("{}\n")
    with pytest.raises(DataError, match=r"timings\.jsonl"):
        estimate_speed(small_scale, Hardware(), out / "train")


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H100 80GB HBM3", 989e12), ("NVIDIA H100 PCIe", 756e12), ("NVIDIA H200", 989e12),
        ("NVIDIA A100-SXM4-80GB", 312e12), ("Tesla V100-SXM2-16GB", None),
    ],
)  # fmt: skip
def test_a_devices_peak_follows_from_its_name(name: str, peak: float | None) -> None:
    assert peak_of(name) == peak


def test_every_gpu_of_known_peak_has_a_memory() -> None:
    assert budget.GIGABYTES.keys() == PEAK_FLOPS.keys()
