"""Damaged files in the folder of compiled kernels cost a compilation, not the run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
USE = """
from dclm.text import kernel_cache
kernel_cache.use()
import kernel
assert kernel.double(21) == 42
print(sum(kernel.double.stats.cache_hits.values()))
"""
KERNEL = """
import numba
@numba.njit(cache=True)
def double(x):
    return 2 * x
"""


def hits(folder: Path) -> int:
    """Use the kernel in a new process; returns how often it was loaded instead of compiled."""
    paths = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "cache"), "PYTHONPATH": paths}
    command = [sys.executable, "-c", USE]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def damage(folder: Path, endings: str, change: Callable[[bytes], bytes]) -> None:
    paths = list((folder / "cache").rglob(endings))
    assert paths
    for path in paths:
        path.write_bytes(change(path.read_bytes()))


def test_damaged_kernels_are_compiled_again(tmp_path: Path) -> None:
    (tmp_path / "kernel.py").write_text(KERNEL)
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
    damage(tmp_path, "*.nb*", lambda content: b"")
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbi", lambda content: content[: len(content) // 2])
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbc", lambda content: content[: len(content) // 2])
    assert hits(tmp_path) == 0
    damage(tmp_path, "*.nbi", lambda content: b"no pickle at all")
    assert hits(tmp_path) == 0
    assert hits(tmp_path) == 1
