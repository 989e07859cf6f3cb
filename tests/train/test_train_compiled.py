"""torch.compile with its real backend (here for a CPU) changes the rounding of a run and nothing else."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from dclm.train.options import TrainOptions
from dclm.train.run import train
from dclm.train.scale import Scale

if TYPE_CHECKING:
    from conftest import MakeTokens

PLAIN = TrainOptions(device="cpu", precision="fp32", threads=1, checkpoint_every=10)
COMPILED = """
import pickle, sys
from torch._dynamo.utils import counters
from dclm.train.run import train

job = pickle.loads(bytes.fromhex(sys.argv[1]))
train(job["tokens"], job["out"], scale=job["scale"], seed=1, options=job["options"])
print(counters["stats"]["unique_graphs"])
"""


def losses(out: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
def test_a_compiled_run_has_the_losses_of_the_plain_one(
    make_tokens: MakeTokens, small_scale: Scale, tmp_path: Path
) -> None:
    """In a separate process: Inductor imports setuptools, which has failed in one that had run many other tests. Also
    with a separate cache: the machine's may contain code compiled for another torch.
    """
    tokens = make_tokens()
    train(tokens, tmp_path / "plain", scale=small_scale, seed=1, options=PLAIN)
    job = {
        "tokens": tokens, "out": tmp_path / "compiled", "scale": small_scale,
        "options": dataclasses.replace(PLAIN, compile=True),
    }  # fmt: skip
    alone = {"TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor"), "TORCHINDUCTOR_COMPILE_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", COMPILED, pickle.dumps(job).hex()], check=True, stdout=subprocess.PIPE, text=True,
        timeout=400, env={**os.environ, **alone},
    )  # fmt: skip
    assert int(done.stdout.splitlines()[-1]) > 0
    assert losses(tmp_path / "compiled") == pytest.approx(losses(tmp_path / "plain"), rel=1e-4)
