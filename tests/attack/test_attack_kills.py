"""A few of the random kills of `python -m tests.attack.kills`, which performs any number of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.slow
@pytest.mark.network
def test_kills_and_flipped_bits_change_no_byte_unsaid() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.attack.kills", "--kills", "6", "--seed", "11"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    assert re.search(r"^6 kills in \d+ runs; flipped bits: \d", done.stdout, re.MULTILINE), done.stdout
