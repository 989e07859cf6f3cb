"""`dclm train` from the command line: every option reaches the run, and the outcome is reported."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dclm.api import training
from dclm.cli.main import main
from dclm.core.counts import CheckpointCounts
from dclm.core.record import Record, read_record, write_record
from dclm.train.distributed import launch_ray
from dclm.train.options import TrainOptions

if TYPE_CHECKING:
    from conftest import MakeTokens

ONE_UPDATE = ["--scale", "tiny", "--tokens", str(20 * 256)]


def test_an_update_is_trained_and_told(
    make_tokens: MakeTokens, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens, out = make_tokens(num_sequences=16, seq_len=256), tmp_path / "run"
    choices = ["--device", "cpu", "--precision", "fp32", "--threads", "1", "--no-compile", "--checkpoint-activations"]
    main(["train", str(tokens), *ONE_UPDATE, "--out", str(out), *choices, "--track", "tensorboard", "--seed", "4"])
    assert "tiny, 4,096 tokens in 1 steps, training loss 1" in capsys.readouterr().err
    record = read_record(out)
    assert (record.config["seed"], record.config["standard"]) == (4, False)
    assert list((out / "tensorboard").glob("events.*"))


def test_ranks_on_ray_are_launched_there_with_every_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    @contextlib.contextmanager
    def open_engine(on: str, **_: object) -> Iterator[None]:
        asked["on"] = on
        yield

    def launch(tokens: Path, out: Path, **rest: Any) -> Record:
        asked.update(rest)
        counts = CheckpointCounts(
                params=1, published_params=1, steps=1, tokens=1, available_tokens=1, flops=6, flops_with_attention=6,
                final_loss=1.0, unigram_entropy=3.0, validation_loss=2.0, validation_bits_per_byte=None,
            )  # fmt: skip
        record = Record(kind="checkpoint", name="tiny", fingerprint="f", config={}, counts=counts.plain())
        return write_record(out, record)

    monkeypatch.setattr(training, "open_engine", open_engine)
    monkeypatch.setattr(launch_ray, "launch_ray", launch)
    options = ["--shard-over", "2", "--timeout", "60", "--keep-checkpoints", "3", "--checkpoint-every", "7", "--resume"]
    options += ["--epochs", "2", "--compile", "--track", "wandb", "--track", "tensorboard", "--precision", "bf16"]
    ranks = ["--on", "ray:head:6379", "--nproc", "8", "--min-nproc", "2"]
    main(["train", "tokens", *ONE_UPDATE, "--out", str(tmp_path / "run"), *ranks, *options])
    assert (asked["on"], asked["num_ranks"], asked["min_ranks"]) == ("ray:head:6379", 8, 2)
    assert asked["options"] == TrainOptions(
        num_tokens=5120, epochs=2, resume=True, precision="bf16", checkpoint_every=7, keep_checkpoints=3, compile=True,
        shard_over=2, timeout_seconds=60, track=("wandb", "tensorboard"),
    )  # fmt: skip
