"""Metrics reach TensorBoard and Weights & Biases if requested, and the run's own files are unchanged."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dclm.core.errors import ConfigError
from dclm.model.weights import TOKENIZER, TOKENIZER_CONFIG
from dclm.train.options import TrainOptions
from dclm.train.output import trackers
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def read_events(folder: Path, name: str) -> dict[int, float]:
    """Step → value, as shown by TensorBoard: values rewritten by a resumed run replace the earlier ones."""
    module: Any = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    reader = module.EventAccumulator(str(folder), size_guidance={"scalars": 0})
    reader.Reload()
    return {event.step: event.value for event in reader.Scalars(name)}


def test_tensorboard_reads_what_metrics_jsonl_says_after_a_resumption(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    tokens, out = make_tokens(), tmp_path / "run"
    plain = train(tokens, tmp_path / "plain", scale=small_scale, seed=1, options=PLAIN)
    options = dataclasses.replace(PLAIN, track=("tensorboard",), validation=tokens, resume=True)
    train(tokens, out, scale=small_scale, seed=1, options=options)
    (out / "record.json").unlink()
    shutil.rmtree(out / "checkpoints" / "step-000020")
    record = train(tokens, out, scale=small_scale, seed=1, options=options)
    found = read_events(out / "tensorboard", "loss")
    assert list(found) == list(range(1, 21))
    assert list(found.values()) == pytest.approx(losses(out), rel=1e-6)
    assert read_events(out / "tensorboard", "validation_loss")[20] == pytest.approx(record.counts["validation_loss"])
    assert set(read_events(out / "tensorboard", "tokens_per_second")) == set(range(1, 21))
    assert {f.path for f in record.files} == {f.path for f in plain.files}
    assert losses(out) == losses(tmp_path / "plain")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # deprecated calls inside wandb
def test_weights_and_biases_keeps_a_run_offline(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_PROJECT", "a-test")
    options = dataclasses.replace(PLAIN, track=("wandb",))
    record = train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options)
    (file,) = (tmp_path / "run" / "wandb").glob("offline-run-*/*.wandb")
    content = file.read_bytes()
    assert record.fingerprint[:16] in file.name
    assert b"a-test" in content
    assert content.count(b"grad_norm") >= record.counts["steps"]
    assert not any(f.path.startswith("wandb") for f in record.files)


def test_a_tracker_that_is_not_installed_is_refused_before_anything_starts(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = importlib.util.find_spec
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None if name == "wandb" else whole(name))
    options = dataclasses.replace(PLAIN, track=("wandb",))
    with pytest.raises(ConfigError, match=r"(?s)the package wandb is not installed.*dclm\[track\]"):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options)
    assert not (tmp_path / "run").exists()


def test_weights_and_biases_that_lets_nobody_in_is_told_with_a_hint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wandb: Any = pytest.importorskip("wandb")

    def refuse(**_: object) -> None:
        raise wandb.errors.UsageError("No API key configured. Use `wandb login` to log in.")

    monkeypatch.setattr(wandb, "init", refuse)
    with (
        pytest.raises(ConfigError, match=r"(?s)No API key.*WANDB_MODE=offline"),
        trackers.open_trackers(["wandb"], tmp_path, run="r", identity="i" * 64, config={}, step=0),
    ):
        pass


def test_a_checkpoint_takes_the_tokenizer_of_its_tokens(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        (tokens / name).write_text(f"{name} of these tokens")
    train(tokens, tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)
    for name in (TOKENIZER, TOKENIZER_CONFIG):
        for step in ("step-000010", "step-000020"):
            assert (tmp_path / "run" / "checkpoints" / step / name).read_text() == f"{name} of these tokens"
