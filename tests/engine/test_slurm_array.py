"""The Slurm array script with programs on PATH that only record how they were called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import NamedTuple

SCRIPT = Path(__file__).resolve().parents[2] / "cluster" / "slurm_array.sbatch"


class Dry(NamedTuple):
    done: subprocess.CompletedProcess[str]
    calls: list[str]


def dry_run(tmp_path: Path, element: str, arguments: list[str], run: str = "exit 7", restarts: int = 0) -> Dry:
    """run: the action of the program that runs the recipe."""
    log, home = tmp_path / "calls", tmp_path / "home"
    log.touch()
    home.mkdir(exist_ok=True)
    works = "exec tail -f /dev/null" if element == "0" else run
    programs = {
        "scontrol": f'echo "scontrol $*" >> {log}',
        "ray": f'[ "$1" = status ] && exit 0; echo "ray $* token=${{#RAY_AUTH_TOKEN}}" >> {log}; {works}',
        "python": f'cp {home}/.dclm-ray-77 {home}/seen; echo "python $*" >> {log}; {run}',
        "hostname": "echo node5",
        "sleep": f"touch {home}/.dclm-ray-77.done",
    }
    folder = tmp_path / ".venv" / "bin"
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/bash\n{body}\n")
        (folder / name).chmod(0o755)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(home), "SLURM_ARRAY_JOB_ID": "77",
        "SLURM_ARRAY_TASK_ID": element, "SLURM_CPUS_ON_NODE": "16", "SLURM_RESTART_COUNT": str(restarts),
    }  # fmt: skip
    done = subprocess.run(
        ["bash", str(SCRIPT), *arguments],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return Dry(done, log.read_text().splitlines())


def test_the_first_element_is_the_head_and_runs_the_recipe(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, "0", ["recipes/x.yaml", "/shared/out", "--limit", "5"])
    assert done.returncode == 7, done.stderr
    home = tmp_path / "home"
    assert "ray start --head --port=20077 --num-cpus=16 --block token=64" in calls
    assert calls[-1] == "python -m dclm.cli.main run recipes/x.yaml --out /shared/out --on ray:node5:20077 --limit 5"
    address, token = (home / "seen").read_text().split()
    assert (address, len(token)) == ("node5:20077", 64)
    assert not (home / ".dclm-ray-77").exists()  # the token is deleted with the head
    assert (home / ".dclm-ray-77.done").exists()  # and the others end


def test_the_file_with_the_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    home = tmp_path / "home"
    dry_run(tmp_path, "0", ["x.yaml", "/out"], run=f"stat -c %a {home}/.dclm-ray-77 > {home}/mode; exit 0")
    assert (home / "mode").read_text().strip() == "600"


def test_other_elements_join_the_head_until_the_run_has_ended(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".dclm-ray-77").write_text("node5:20077 abc\n")
    done, calls = dry_run(tmp_path, "3", ["x.yaml", "/out"], run="exit 0")
    assert done.returncode == 0, done.stderr
    assert calls == ["ray start --address=node5:20077 --num-cpus=16 --block token=3"]


def test_an_element_waits_for_a_head_that_is_still_in_the_queue(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, "3", ["x.yaml", "/out"])
    assert (done.returncode, calls) == (0, [])


def test_each_element_goes_back_into_the_queue_at_its_time_limit(tmp_path: Path) -> None:
    ends = "trap 'exit 143' TERM; kill -TERM $PPID; while :; do :; done"
    done, calls = dry_run(tmp_path, "0", ["x.yaml", "/out"], run=ends)
    assert done.returncode == 143, done.stderr
    assert calls[-1] == "scontrol requeue 77_0"
    assert not (tmp_path / "home" / ".dclm-ray-77.done").exists()
    (tmp_path / "home" / ".dclm-ray-77").write_text("node5:20077 abc\n")
    done, calls = dry_run(tmp_path, "3", ["x.yaml", "/out"], run=ends)
    assert done.returncode == 143, done.stderr
    assert calls[-1] == "scontrol requeue 77_3"
    done, calls = dry_run(tmp_path, "3", ["x.yaml", "/out"], run=ends, restarts=100)
    assert done.returncode == 143
    assert "not queued again" in done.stderr


def test_the_script_says_how_it_is_used(tmp_path: Path) -> None:
    done, calls = dry_run(tmp_path, "0", ["x.yaml"])
    assert done.returncode == 2
    assert "usage" in done.stderr
    assert calls == []
