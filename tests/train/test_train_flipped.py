"""A resumed run verifies the files that it continues from, and refuses after one flipped bit."""

from __future__ import annotations

import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dclm.core.errors import DataError
from dclm.core.stages import stopping
from dclm.core.stages.progress import NullProgress
from dclm.core.stages.stopping import Stopped
from dclm.model.load import find_checkpoint
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=2, resume=True)
CHECKPOINT = "checkpoints/step-000004"


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def stopped(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run that ended after four updates."""
    seen = {"updates": 0}
    monkeypatch.setattr(stopping, "requested", lambda: signal.SIGTERM if seen["updates"] == 3 else None)

    class Counting(NullProgress):
        def advance(self, units: int = 1, items: int = 0, note: str = "") -> None:
            seen["updates"] += units

    make_tokens()
    with pytest.raises(Stopped):
        train(tmp_path / "tokens", tmp_path / "out", scale=small_scale, seed=1, options=PLAIN, progress=Counting())
    monkeypatch.undo()
    return tmp_path / "out"


def test_a_flipped_bit_in_what_it_continues_from_is_refused(stopped: Path, small_scale: Scale, tmp_path: Path) -> None:
    names = [p.relative_to(stopped).as_posix() for p in sorted((stopped / CHECKPOINT).iterdir())]
    assert {"model.safetensors", "optimizer.safetensors", "state.json", "config.json"} <= {Path(n).name for n in names}
    for name in [*names, "metrics.jsonl"]:
        copy = tmp_path / "copy"
        shutil.copytree(stopped, copy)
        flip(copy / name)
        with pytest.raises(DataError) as told:
            train(tmp_path / "tokens", copy, scale=small_scale, seed=1, options=PLAIN)
        assert Path(name).name in told.value.problems[0].where, name
        shutil.rmtree(copy)
    whole = train(tmp_path / "tokens", tmp_path / "whole", scale=small_scale, seed=1, options=PLAIN)
    again = train(tmp_path / "tokens", stopped, scale=small_scale, seed=1, options=PLAIN)
    assert again.counts == whole.counts


def test_a_checkpoint_that_is_named_itself_is_compared_too(stopped: Path) -> None:
    """Also for an unfinished run, which has no record yet."""
    assert find_checkpoint(stopped / CHECKPOINT) == stopped / CHECKPOINT == find_checkpoint(stopped)
    flip(stopped / CHECKPOINT / "model.safetensors")
    for address in (stopped / CHECKPOINT, stopped):
        with pytest.raises(DataError, match="as in its record"):
            find_checkpoint(address)


def test_a_number_edited_in_the_state_is_refused(stopped: Path, small_scale: Scale, tmp_path: Path) -> None:
    path = stopped / CHECKPOINT / "state.json"
    state = json.loads(path.read_text())
    for change in ({"step": 2}, {"precision": "bf16"}, {"world_size": 2}, {"files": {}}):
        path.write_text(json.dumps(state | change))
        with pytest.raises(DataError, match="was changed after it was written"):
            train(tmp_path / "tokens", stopped, scale=small_scale, seed=1, options=replace(PLAIN, precision="auto"))


def test_a_checkpoint_without_a_file_is_refused(stopped: Path, small_scale: Scale, tmp_path: Path) -> None:
    (stopped / CHECKPOINT / "optimizer.safetensors").unlink()
    with pytest.raises(DataError, match="found no such file"):
        train(tmp_path / "tokens", stopped, scale=small_scale, seed=1, options=PLAIN)
