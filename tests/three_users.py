"""Plays three new users from the documentation alone, in a fresh clone: `python -m tests.three_users`.

A data researcher with JSON lines, a participant of the DCLM competition, and a user of lm-eval each get an empty folder
and a page of the clone, and type what the page says. With --setup, the clone also gets an environment of its own (`make
setup`, some minutes); otherwise this Python runs the clone's code.
"""

from __future__ import annotations

import argparse
import functools
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.played import ROOT, Command, play

USERS = {
    "a data researcher with JSON lines": "own_data",
    "a participant of the competition": "competition",
    "a user of lm-eval": "any_model",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--setup", action="store_true", help="run `make setup` in the clone")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dclm-users-") as place:
        clone = Path(place) / "dclm"
        subprocess.run(["git", "clone", "--quiet", "--depth", "1", ROOT.as_uri(), str(clone)], check=True)
        python = sys.executable
        if arguments.setup:
            subprocess.run(["make", "setup"], cwd=clone, check=True)
            python = str(clone / ".venv" / "bin" / "python")
        for user, page in USERS.items():
            folder = Path(place) / page
            folder.mkdir()
            shutil.copy(clone / "recipes" / "experiments" / "bytes.json", folder)
            print(f"{user}: docs/{page}.md", flush=True)
            played, files = play(clone / "docs" / f"{page}.md", folder, functools.partial(run, clone, folder, python))
            print(f"  {played} commands and {files} files as the page says", flush=True)


def run(clone: Path, folder: Path, python: str, command: Command) -> str:
    """What the command prints. Exits if it fails."""
    program, *words = command.words
    call = [python, *words] if program == "python" else [python, "-m", "dclm.cli.main", *words]
    shared = os.environ.get("DCLM_SHARED", str(ROOT.parent / "shared"))
    environment = {**os.environ, "PYTHONPATH": str(clone), "COLUMNS": "300", "DCLM_SHARED": shared}
    started = time.monotonic()
    done = subprocess.run(call, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    print(f"  {time.monotonic() - started:6.1f} s  $ {' '.join(command.words)}", flush=True)
    if done.returncode != 0:
        sys.exit(f"exit code {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout + done.stderr


if __name__ == "__main__":
    main()
