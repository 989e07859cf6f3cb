"""torch.compile with its real backend (here for a CPU) changes the rounding of a run and nothing else."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from torch._dynamo.utils import counters

from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("default")  # of inductor
def test_a_compiled_run_has_the_losses_of_the_plain_one(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Inductor's own cache is the machine's: what another checkout's torch has left there may no longer load.
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    tokens = make_tokens()
    found = {}
    counters.clear()
    for compiled in (False, True):
        out = tmp_path / str(compiled)
        train(tokens, out, scale=small_scale, seed=1, options=dataclasses.replace(PLAIN, compile=compiled))
        found[compiled] = [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert found[True] == pytest.approx(found[False], rel=1e-4)
    assert counters["stats"]["unique_graphs"] > 0
