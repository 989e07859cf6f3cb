"""The how-to pages do what they say: their files are written, their commands run, their expected output compared."""

from __future__ import annotations

import runpy
import shutil
from pathlib import Path

import pytest

from dclm.cli.main import main
from tests.played import ROOT, Command, matches, play

PAGES = {"own_data": (6, 3), "competition": (2, 5), "any_model": (5, 1)}
"""Page → how many commands and files it has."""


@pytest.mark.slow
@pytest.mark.shared
@pytest.mark.parametrize("name", PAGES)
def test_the_page_does_what_it_says(
    name: str, tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCLM_SHARED", str(shared))
    monkeypatch.setenv("COLUMNS", "300")
    shutil.copy(ROOT / "recipes" / "experiments" / "bytes.json", tmp_path)

    def run(command: Command) -> str:
        program, *arguments = command.words
        if program == "python":
            runpy.run_path(arguments[0])
        else:
            assert program == "dclm", command
            main([*arguments, *(["--workers", "1"] if arguments[0] in ("curate", "evaluate") else [])])
        captured = capsys.readouterr()
        return captured.out + captured.err

    assert play(ROOT / "docs" / f"{name}.md", tmp_path, run) == PAGES[name]


def test_a_line_matches_by_its_words_and_dots() -> None:
    assert matches("a: read 120 …", "a:  read 120 = kept")
    assert not matches("a: read 120 …", "a: read 12 = kept")
    assert not matches("a", "a b")
