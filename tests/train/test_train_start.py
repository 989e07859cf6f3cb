"""Runs that start from the weights of a model, and scales that a file declares, as needed for open_lm's runs."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import Record
from dclm.model.load import load_model
from dclm.model.transformer import Transformer
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale, find_scale
from dclm.train.scale_file import open_scale
from dclm.train.start import StartWeights

MakeTokens = Callable[..., Path]


def run(tokens: Path, out: Path, scale: Scale, **options: object) -> Record:
    return train(tokens, out, scale=scale, seed=0, options=TrainOptions(precision="fp32", **options))  # type: ignore[arg-type]


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_starts_from_a_model_and_says_so(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens = make_tokens()
    plain = run(tokens, tmp_path / "first", small_scale)
    still = dataclasses.replace(small_scale, learning_rate=1e-12, final_learning_rate=1e-12, weight_decay=0.0)
    again = run(tokens, tmp_path / "again", still, init=tmp_path / "first")
    assert losses(tmp_path / "again")[0] < losses(tmp_path / "first")[0] - 0.5
    ends, starts = (load_model(tmp_path / name).model for name in ("first", "again"))
    assert isinstance(ends, Transformer)
    assert isinstance(starts, Transformer)
    for name, value in ends.named_parameters():
        torch.testing.assert_close(starts.get_parameter(name), value, atol=1e-8, rtol=1e-6)
    assert again.inputs["init"] == StartWeights(tmp_path / "first", small_scale.model).fingerprint
    assert "init" not in plain.inputs
    assert again.config["standard"] is False
    assert again.fingerprint != run(tokens, tmp_path / "still", still).fingerprint


def test_a_stopped_run_that_started_from_a_model_continues(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    run(tokens, tmp_path / "first", small_scale)
    whole = run(tokens, tmp_path / "whole", small_scale, init=tmp_path / "first")
    run(tokens, tmp_path / "parts", small_scale, init=tmp_path / "first", checkpoint_every=5)
    (tmp_path / "parts" / "record.json").unlink()
    parts = run(tokens, tmp_path / "parts", small_scale, init=tmp_path / "first", resume=True, checkpoint_every=5)
    assert parts.fingerprint == whole.fingerprint
    assert losses(tmp_path / "parts") == losses(tmp_path / "whole")
    (tmp_path / "parts" / "record.json").unlink()
    with pytest.raises(ConfigError, match="another scale, seed or data"):
        run(tokens, tmp_path / "parts", small_scale, resume=True)


def test_weights_of_another_shape_and_no_weights_are_refused(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    run(tokens, tmp_path / "first", small_scale)
    wider = dataclasses.replace(small_scale, model=dataclasses.replace(small_scale.model, hidden_dim=32))
    with pytest.raises(ConfigError, match=r"hidden_dim=16.*allowed.*hidden_dim=32"):
        run(tokens, tmp_path / "wide", wider, init=tmp_path / "first")
    with pytest.raises(DataError):
        run(tokens, tmp_path / "none", small_scale, init=tmp_path / "nothing")
    assert not (tmp_path / "wide").exists()


SCALE = """
name: mine
model: {hidden_dim: 64, num_layers: 3, num_heads: 4, seq_len: 128, vocab_size: 1000}
tokens: 1_000_000
batch_sequences: 32
warmup_steps: 10
learning_rate: 0.002
"""


def test_a_file_declares_a_scale_outside_the_benchmark(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SCALE)
    scale = open_scale(str(path))
    assert (scale.name, scale.model.hidden_dim, scale.learning_rate, scale.standard) == ("mine", 64, 0.002, False)
    assert scale.weight_decay == find_scale("1b_1x").weight_decay
    assert open_scale("5m") == find_scale("5m")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: mine", "name: 7b_1x", "belongs to a scale of the benchmark"),
        ("name: mine", "name: ../x", "allowed: a name"),
        ("num_heads: 4", "num_heads: 5", "5 heads do not divide a width of 64"),
        ("tokens: 1_000_000", "tokens: 100", "less than one update"),
        ("tokens: 1_000_000", "tokenz: 5", "tokenz"),
        ("learning_rate: 0.002", "learning_rate: fast", "learning_rate"),
    ],
)
def test_a_scale_file_that_is_wrong_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(SCALE.replace(old, new))
    with pytest.raises(ConfigError, match=message):
        open_scale(str(path))
