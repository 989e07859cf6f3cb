"""Two commands at once: one directory, one cache, one board. No damage, and a message that names the other process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.stages.lease import held
from dclm.recipe.verify.run import verify

RECIPE = """
name: twice
data: [{pool: {sample: {seed: 3, documents: 40, files: 2}}, pipeline: p.yaml}]
scale: tiny
tasks: [copa]
allow_incomplete: true
"""
PIPELINE = "name: p\nsteps:\n  - extract: {with: resiliparse}\n  - page_length: {of: word, min: 5}\n"


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    (tmp_path / "r.yaml").write_text(RECIPE)
    (tmp_path / "p.yaml").write_text(PIPELINE)
    return tmp_path / "r.yaml"


def start(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "dclm.cli.main", *arguments]
    variables = {**os.environ, **environment}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=variables)


def ends(*processes: subprocess.Popen[str]) -> list[tuple[int, str]]:
    said = [process.communicate(timeout=300)[1] for process in processes]
    return [(process.returncode, text) for process, text in zip(processes, said, strict=True)]


def test_a_second_run_on_one_directory_is_told_who_runs(
    recipe: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["run", str(recipe), "--out", str(tmp_path / "out"), "--until", "pool"]
    (tmp_path / "out").mkdir()
    with held(tmp_path / "out"), pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 4
    said = capsys.readouterr().err
    assert f"another run is writing here: process {os.getpid()} on " in said
    assert " since 2" in said
    assert "choose another --out" in said
    main(arguments)


@pytest.mark.slow
def test_two_runs_on_one_directory_leave_one_whole_run(recipe: Path, tmp_path: Path) -> None:
    arguments = ["run", str(recipe), "--out", str(tmp_path / "out"), "--until", "tokenize", "--workers", "1"]
    found = ends(start(*arguments), start(*arguments, "--wait"))
    assert found[0][0] in (0, 4)
    assert found[1][0] == 0, found[1][1]
    for code, said in found:
        assert "Traceback" not in said
        assert code == 0 or "another run is writing here: process" in said
    report = verify(str(tmp_path / "out"))
    assert report.exit_code == 0, report.findings
    assert not [p for p in (tmp_path / "out").rglob("*") if p.name.startswith(".tmp-") or p.name == ".lease.json"]


@pytest.mark.slow
@pytest.mark.network
def test_two_processes_fill_one_assets_cache(tmp_path: Path) -> None:
    cache = {"DCLM_ASSETS": str(tmp_path / "assets"), "DCLM_CACHE": str(tmp_path / "cache"), "DCLM_SHARED": "/nowhere"}
    found = ends(*(start("assets", "fetch", "gpt-neox-20b", **cache) for _ in range(2)))
    assert [code for code, _ in found] == [0, 0], found
    again = ends(start("assets", "fetch", "gpt-neox-20b", **cache, DCLM_OFFLINE="1"))
    assert again[0][0] == 0
