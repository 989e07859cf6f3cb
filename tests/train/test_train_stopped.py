"""Training stopped by a signal: a checkpoint, a message, the signal's exit code, and finally the same model."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import rank_faults

from dclm.core.stages import stopping
from dclm.core.stages.stopping import Stopped
from dclm.train.distributed.launch import launch
from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import SCALES, Scale, checked_standard

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)


@pytest.fixture
def _signals() -> Iterator[None]:
    """Signals are handled as on the command line, and restored after the test."""
    before = {number: signal.signal(number, signal.SIG_DFL) for number in stopping.SIGNALS}  # also under nohup
    stopping.install()
    yield
    stopping.reset()
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("_signals")
@pytest.mark.parametrize("number", stopping.SIGNALS)
def test_a_signal_leaves_a_checkpoint_from_which_the_run_continues(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, number: signal.Signals
) -> None:
    tokens = make_tokens()
    whole = train(tokens, tmp_path / "whole", scale=small_scale, seed=1, options=PLAIN)
    out = tmp_path / "out"
    with pytest.raises(Stopped) as stopped:
        train(tokens, out, scale=small_scale, seed=1, options=PLAIN, progress=rank_faults.Signals(2, number))
    assert stopped.value.exit_code == 128 + number
    assert "after 3 of 20 updates is saved" in str(stopped.value)
    assert "--resume" in str(stopped.value)
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-000003"]
    stopping.reset()
    resumed = replace(PLAIN, resume=True)
    again = train(tokens, out, scale=small_scale, seed=1, options=resumed)
    assert again.fingerprint == whole.fingerprint
    for name in ("metrics.jsonl", "checkpoints/step-000020/model.safetensors"):
        assert (out / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


@pytest.mark.slow
@pytest.mark.usefixtures("_signals")
def test_all_ranks_stop_when_one_is_asked_to(make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path) -> None:
    with pytest.raises(Stopped, match="after 3 of 20 updates is saved") as stopped:
        launch(
            make_tokens(),
            tmp_path / "out",
            scale=small_scale,
            seed=1,
            options=PLAIN,
            num_ranks=2,
            make_progress=rank_faults.terminated,
        )
    assert stopped.value.exit_code == 143
    assert (tmp_path / "out/checkpoints/step-000003/shards").is_dir()


def test_a_scale_made_by_hand_is_no_standard_one(small_scale: Scale) -> None:
    assert all(checked_standard(scale).standard for scale in SCALES.values())
    assert checked_standard(replace(SCALES["tiny"], micro_batch_sequences=1)).standard
    for changed in (
        replace(SCALES["tiny"], learning_rate=1.0),
        replace(SCALES["tiny"], name="other"),
        replace(SCALES["411m_1x"], tokens=10**9),
        replace(small_scale, standard=True),
        replace(SCALES["tiny"], standard=False),
    ):
        assert not checked_standard(changed).standard
