"""A run that ends between any two changes of the file system: a new run continues from it and gives the same bytes.

`test_engine_kill` kills after a number of finished units; here a run ends within a commit, a decision, a round of a
relay, the removal of a decision's inputs, or the last links.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from engine_kills import BY_FILE, Run
from test_engine_kill import calm_run

CRASHED = 9
MOST_CHANGES = 500
_SCRIPT = f"""
import json, os, random, sys
from dclm.cli.main import main

command, left = sys.argv[1:], 0
changes = {{"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.copyfile"}}

def count(event, arguments):
    global left
    if event in changes and "__pycache__" not in str(arguments[0]):
        left -= 1
        if not left:
            os._exit({CRASHED})

def run(out):
    main([*command, "--out", out])
    return 0

def run_until(change):
    global left
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    code, left = 1, change
    sys.addaudithook(count)
    try:
        code = run("crashed")
    finally:
        os._exit(code)

run("warm")
draw, codes = random.Random(3), [{CRASHED}]
while codes[-1] == {CRASHED}:
    codes.append(run_until(draw.randint(1, {MOST_CHANGES})))
print(json.dumps(codes[1:]))
"""


def run_until_it_succeeds(run: Run) -> list[int]:
    """Run in processes that end without cleanup before some change of the file system; returns their exit codes.

    They are forks of one that has run the command elsewhere: loading libraries and kernels takes most of the time.
    """
    command = [sys.executable, "-c", _SCRIPT, "curate", str(run.pipeline), "--pool", str(run.pool)]
    command += ["--on", "local", "--workers", "1", "--seed", "7", "--allow-incomplete", *BY_FILE]
    done = subprocess.run(command, cwd=run.out.parent, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    codes: list[int] = json.loads(done.stdout.splitlines()[-1])
    return codes


@pytest.mark.slow
def test_crashes_between_any_changes_of_the_file_system_change_no_byte(tmp_path: Path) -> None:
    calm = calm_run(tmp_path)
    run = Run(pipeline=calm.pipeline, pool=calm.pool, out=tmp_path / "crashed")
    codes = run_until_it_succeeds(run)
    assert codes[-1] == 0
    assert codes[:-1] == [CRASHED] * (len(codes) - 1)
    assert len(codes) > 3
    assert run.files() == calm.files()
    assert sorted(p.name for p in run.out.iterdir()) == sorted(p.name for p in calm.out.iterdir())
