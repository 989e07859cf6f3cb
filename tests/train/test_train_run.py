"""A complete run: its files, reproducibility, resumption and refusals."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from dclm.core.errors import ConfigError, DataError
from dclm.core.record import read_record, require_complete
from dclm.core.stages.ownership import mark_directory
from dclm.core.storage import sha256_file
from dclm.core.stores.store import open_store, put
from dclm.model.load import load_model
from dclm.train import run as run_module
from dclm.train.data import unigram_entropy
from dclm.train.options import TrainOptions
from dclm.train.output.checkpoint import checkpoint_path, require_space
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1)
LAST = "checkpoints/step-000020/model.safetensors"


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_a_run_learns_and_writes_all_it_promises(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens, held_out, out = make_tokens(), make_tokens("held-out", 30, seed=1), tmp_path / "run"
    options = dataclasses.replace(PLAIN, validation=held_out)
    record = train(tokens, out, scale=small_scale, seed=1, options=options)
    counts = record.counts
    assert len(losses(out)) == counts["steps"] == 20
    assert losses(out)[0] == pytest.approx(math.log(97), abs=0.7)
    assert counts["validation_loss"] < counts["unigram_entropy"] - 1
    assert counts["validation_bits_per_byte"] == pytest.approx(counts["validation_loss"] / math.log(2) / 4)
    assert counts["tokens"] == 20 * 8 * 16
    assert counts["final_loss"] == pytest.approx(np.mean(losses(out)[-2:]))  # a tenth of the updates
    assert require_complete(out, "checkpoint") == read_record(out)
    assert record.config["standard"] is False
    assert "loss.svg" in {f.path for f in record.files}
    assert "timings.jsonl" not in {f.path for f in record.files}
    assert [p.name for p in sorted((out / "checkpoints").iterdir())] == ["step-000016", "step-000020"]
    assert load_model(out).config == small_scale.model


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_the_same_run_twice_has_the_same_bytes(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, precision: str
) -> None:
    tokens = make_tokens()
    options = dataclasses.replace(PLAIN, precision=precision)
    records = [train(tokens, tmp_path / name, scale=small_scale, seed=3, options=options) for name in "ab"]
    assert records[0].files == records[1].files
    other = train(tokens, tmp_path / "c", scale=small_scale, seed=4, options=options)
    assert losses(tmp_path / "c") != losses(tmp_path / "a")
    assert other.fingerprint != records[0].fingerprint == records[1].fingerprint


def test_a_finished_run_is_reused(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens, out = make_tokens(), tmp_path / "run"
    first = train(tokens, out, scale=small_scale, seed=1, options=PLAIN)
    before = sha256_file(out / LAST)
    (out / "metrics.jsonl").unlink()
    assert train(tokens, out, scale=small_scale, seed=1, options=PLAIN) == first
    assert not (out / "metrics.jsonl").exists()
    assert sha256_file(out / LAST) == before
    mark_directory(out, "checkpoint")  # as a run that was killed between its record and its end leaves it
    assert train(tokens, out, scale=small_scale, seed=1, options=PLAIN) == first
    assert not (out / ".work").exists()


KILLED = """
import os, signal, sys
from pathlib import Path

from dclm.model.config import ModelConfig
from dclm.train import loop, run
from dclm.train.output import checkpoint
from dclm.train.options import TrainOptions
from dclm.train.scale import Scale

tokens, out, place = sys.argv[1:4]
model = ModelConfig(hidden_dim=16, num_layers=2, num_heads=2, seq_len=16, vocab_size=97)
scale = Scale(name="small", model=model, tokens=2560, batch_sequences=8, warmup_steps=4, learning_rate=1e-2,
              final_learning_rate=1e-3, micro_batch_sequences=4)
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if place == "update":
    whole = loop.Trainer.update
    loop.Trainer.update = lambda self, step: die() if step == 13 else whole(self, step)
else:
    whole = checkpoint.write_model
    def write(directory, *rest):
        whole(directory, *rest)
        if "step-000015" in directory.name:
            die()
    checkpoint.write_model = write
options = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=5)
run.train(tokens, out, scale=scale, seed=1, options=options)
"""


@pytest.mark.parametrize("place", ["update", "write"])
def test_a_run_killed_and_resumed_is_bitwise_the_run_that_was_not(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, place: str
) -> None:
    """SIGKILL in the middle of update 13, or of writing the checkpoint after update 15."""
    tokens, out = make_tokens(), tmp_path / "killed"
    options = dataclasses.replace(PLAIN, checkpoint_every=5)
    whole = train(tokens, tmp_path / "whole", scale=small_scale, seed=1, options=options)
    done = subprocess.run([sys.executable, "-c", KILLED, str(tokens), str(out), place], check=False)
    assert done.returncode == -signal.SIGKILL
    assert checkpoint_path(out, 10).exists()
    assert not (out / "record.json").exists()
    assert not checkpoint_path(out, 15).exists()
    with pytest.raises(ConfigError, match="unfinished run, at step-000010"):
        train(tokens, out, scale=small_scale, seed=1, options=options)
    resumed = train(tokens, out, scale=small_scale, seed=1, options=dataclasses.replace(options, resume=True))
    assert resumed.files == whole.files
    assert resumed.fingerprint == whole.fingerprint
    assert not list(out.rglob(".tmp-*"))


def test_a_run_is_not_resumed_with_another_seed(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens, out = make_tokens(), tmp_path / "run"
    train(tokens, out, scale=small_scale, seed=1, options=PLAIN)
    (out / "record.json").unlink()
    with pytest.raises(ConfigError, match="another scale, seed or data"):
        train(tokens, out, scale=small_scale, seed=2, options=dataclasses.replace(PLAIN, resume=True))


def test_a_finished_run_is_replaced_only_if_asked(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    tokens, out = make_tokens(), tmp_path / "run"
    first = train(tokens, out, scale=small_scale, seed=1, options=PLAIN)
    whole = train(tokens, tmp_path / "whole", scale=small_scale, seed=2, options=PLAIN)
    before = sha256_file(out / LAST)
    for resume in (False, True):
        with pytest.raises(ConfigError, match=r"holds finished checkpoint `small`, made .*\n.*--force"):
            train(tokens, out, scale=small_scale, seed=2, options=dataclasses.replace(PLAIN, resume=resume))
    assert (sha256_file(out / LAST), read_record(out)) == (before, first)
    forced = train(tokens, out, scale=small_scale, seed=2, options=dataclasses.replace(PLAIN, force=True))
    assert forced.files == whole.files
    assert len(losses(out)) == 20


def test_an_unfinished_run_is_replaced_only_if_asked(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens, out = make_tokens(), tmp_path / "run"
    train(tokens, out, scale=small_scale, seed=1, options=PLAIN)
    whole = train(tokens, tmp_path / "whole", scale=small_scale, seed=2, options=PLAIN)
    (out / "record.json").unlink()
    resume = dataclasses.replace(PLAIN, resume=True)
    with pytest.raises(ConfigError, match=r"another scale, seed or data\n.*--force"):
        train(tokens, out, scale=small_scale, seed=2, options=resume)
    forced = dataclasses.replace(resume, force=True)
    assert train(tokens, out, scale=small_scale, seed=2, options=forced).files == whole.files


def test_a_finished_run_on_s3_is_replaced_only_if_asked(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, s3: str
) -> None:
    tokens, whole = make_tokens(), tmp_path / "whole"
    train(tokens, f"{s3}/run", scale=small_scale, seed=1, options=PLAIN)
    with pytest.raises(ConfigError, match="holds finished checkpoint"):
        train(tokens, f"{s3}/run", scale=small_scale, seed=2, options=PLAIN)
    expected = train(tokens, whole, scale=small_scale, seed=2, options=PLAIN)
    forced = train(tokens, f"{s3}/run", scale=small_scale, seed=2, options=dataclasses.replace(PLAIN, force=True))
    assert forced.files == expected.files
    assert set(open_store(f"{s3}/run").list()) == {"record.json", *(entry.path for entry in forced.files)}


def test_micro_batches_change_results_by_rounding_alone(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    for micro in (1, 3, 8):
        scale = dataclasses.replace(small_scale, micro_batch_sequences=micro)
        train(tokens, tmp_path / str(micro), scale=scale, seed=1, options=PLAIN)
    np.testing.assert_allclose(losses(tmp_path / "1"), losses(tmp_path / "8"), rtol=1e-5)
    np.testing.assert_allclose(losses(tmp_path / "3"), losses(tmp_path / "8"), rtol=1e-5)


def test_too_few_tokens_are_refused_before_anything_starts(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens, out = make_tokens(num_sequences=70), tmp_path / "run"
    with pytest.raises(DataError, match=r"needs 2,560 tokens, found 1,120 × 1 epochs\nhint: .*--epochs 3"):
        train(tokens, out, scale=small_scale, seed=1, options=PLAIN)
    assert not out.exists()
    record = train(tokens, out, scale=small_scale, seed=1, options=dataclasses.replace(PLAIN, epochs=3))
    assert record.config["standard"] is False


def test_other_tokens_leave_the_benchmark(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    options = dataclasses.replace(PLAIN, num_tokens=1280)
    record = train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options)
    assert record.counts["steps"] == 10
    assert record.config["standard"] is False


def test_sequences_of_another_length_are_refused(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="hint: tokenize with --seq-len 16"):
        train(make_tokens(seq_len=8), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)


def test_a_corrupt_token_file_is_found_before_anything_starts(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    tokens = make_tokens()
    file = tokens / "tokens" / "00000.bin"
    content = bytearray(file.read_bytes())
    content[100] ^= 1
    file.write_bytes(content)
    with pytest.raises(DataError, match="sha256"):
        train(tokens, tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)
    file.unlink()
    with pytest.raises(DataError, match="no such file"):
        train(tokens, tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)


def test_divergence_stops_the_run_with_its_step(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    wild = dataclasses.replace(small_scale, learning_rate=1e30, warmup_steps=1)
    with pytest.raises(DataError, match=r"small, step \d+\nloss is (nan|inf), .*diverged"):
        train(make_tokens(), tmp_path / "run", scale=wild, seed=1, options=PLAIN)
    assert not (tmp_path / "run" / "record.json").exists()


@pytest.mark.parametrize("place", ["dclm.train.output.checkpoint.write_model", "dclm.train.output.metrics._write"])
def test_a_full_disk_is_told_and_leaves_no_part_of_a_checkpoint(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(place, full)
    with pytest.raises(DataError, match="the disk is full"):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)
    assert list((tmp_path / "run").glob("checkpoints/*")) == []


def test_a_disk_too_small_is_refused_before_anything_starts(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from shutil import _ntuple_diskusage as usage  # type: ignore[attr-defined]

    monkeypatch.setattr("dclm.train.output.checkpoint.shutil.disk_usage", lambda _: usage(10**9, 10**9, 10**5))
    with pytest.raises(DataError, match="GB are free, needed for 3 checkpoints"):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)
    for step in (5, 10):  # those already exist, and one of them is deleted once the next one is complete
        checkpoint_path(tmp_path / "run", step).mkdir(parents=True)
    require_space(tmp_path / "run", 10**5 // 12, keep=2)
    with pytest.raises(DataError, match="needed for 1 checkpoints"):
        require_space(tmp_path / "run", 10**5 // 12 + 1, keep=2)


def test_no_memory_is_told_with_a_hint(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    def exhausted(*_: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB\nmore")

    monkeypatch.setattr(run_module, "build_model", exhausted)
    with pytest.raises(DataError, match=r"out of GPU memory: .*20 MiB\nhint: "):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=PLAIN)


def test_cuda_where_there_is_none_is_refused(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("a CUDA device is there")
    options = dataclasses.replace(PLAIN, device="cuda")
    with pytest.raises(ConfigError, match="no CUDA device"):
        train(make_tokens(), tmp_path / "run", scale=small_scale, seed=1, options=options)


def test_the_entropy_of_single_tokens_is_that_of_their_counts() -> None:
    class Fake:
        num_sequences, seq_len, vocab_size = 2, 3, 5

        def rows(self, indices: np.ndarray) -> np.ndarray:
            return np.array([[9, 1, 1, 2], [9, 2, 3, 3]]).clip(max=4)[indices]

    assert unigram_entropy(Fake(), 2) == pytest.approx(math.log(3))


@pytest.mark.parametrize("place", ["update", "write"])
def test_a_run_on_s3_that_is_killed_continues_on_another_machine(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, s3: str, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    tokens = make_tokens()
    options = dataclasses.replace(PLAIN, checkpoint_every=5)
    whole = train(tokens, tmp_path / "whole", scale=small_scale, seed=1, options=options)
    for path in tokens.rglob("*.*"):
        put(f"{s3}/tokens/{path.relative_to(tokens)}", path.read_bytes())
    arguments = [f"{s3}/tokens", f"{s3}/run", place]
    done = subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False)
    assert done.returncode == -signal.SIGKILL
    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "another machine"))
    resume = dataclasses.replace(options, resume=True)
    resumed = train(f"{s3}/tokens", f"{s3}/run", scale=small_scale, seed=1, options=resume)
    assert resumed.files == whole.files
    stored = set(open_store(f"{s3}/run").list())
    assert stored == {"record.json", *(entry.path for entry in resumed.files)}
    assert load_model(f"{s3}/run").config == small_scale.model


def test_any_vocabulary_trains_with_its_embedding_rounded_up_and_leaves_the_benchmark(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    narrow = dataclasses.replace(small_scale, model=dataclasses.replace(small_scale.model, vocab_size=96))
    record = train(make_tokens(), tmp_path / "run", scale=narrow, seed=1, options=PLAIN)
    scale = record.config["scale"]
    assert isinstance(scale, dict)
    assert (scale["standard"], scale["model"]["vocab_size"]) == (False, 128)
    model = load_model(tmp_path / "run").config
    assert model is not None
    assert model.vocab_size == 128
