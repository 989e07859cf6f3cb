"""A run that ends between any two changes of the file system: a new run continues from it and gives the same bytes.

`test_engine_kill` kills after a number of finished units; here a run ends within a commit, a decision, a round of a
relay, the removal of a decision's inputs, or the last links.
"""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
from engine_kills import BY_FILE, Run
from test_engine_kill import calm_run

CRASHED = 9
MOST_CHANGES = 500
_SCRIPT = f"""
import os, runpy, sys
left = int(sys.argv.pop(1))
changes = {{"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.copyfile"}}

def count(event, arguments):
    global left
    if event in changes and "__pycache__" not in str(arguments[0]):
        left -= 1
        if not left:
            os._exit({CRASHED})

sys.addaudithook(count)
runpy.run_module("dclm.cli.main", run_name="__main__", alter_sys=True)
"""


def run_until(run: Run, change: int) -> int:
    """Run in a process that ends without cleanup before that change of the file system; returns its exit code."""
    command = [sys.executable, "-c", _SCRIPT, str(change), "curate", str(run.pipeline), "--pool", str(run.pool)]
    command += ["--out", str(run.out), "--on", "local", "--workers", "1", "--seed", "7", "--allow-incomplete"]
    command += BY_FILE
    return subprocess.run(command, check=False, capture_output=True).returncode


@pytest.mark.slow
def test_crashes_between_any_changes_of_the_file_system_change_no_byte(tmp_path: Path) -> None:
    calm = calm_run(tmp_path)
    run = Run(pipeline=calm.pipeline, pool=calm.pool, out=tmp_path / "crashed")
    draw = random.Random(3)
    codes = [CRASHED]
    while codes[-1] == CRASHED:
        codes.append(run_until(run, draw.randint(1, MOST_CHANGES)))
    assert codes[-1] == 0
    assert len(codes) > 4
    assert run.files() == calm.files()
    assert sorted(p.name for p in run.out.iterdir()) == sorted(p.name for p in calm.out.iterdir())
