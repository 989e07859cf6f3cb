"""The tutorial, run from the page alone: its files are written, its commands run, its expected output compared."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from dclm.cli.main import main

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
BLOCK = re.compile(r'^```(console|python|yaml)(?: title="([^"]+)")?\n(.*?)^```$', re.M | re.S)


def matches(expected: str, line: str) -> bool:
    """Whether a printed line is the expected one: runs of spaces count as one, `…` matches anything."""
    parts = (r"\s+".join(map(re.escape, part.split())) for part in expected.split("…"))
    return re.fullmatch(r".*".join(parts), " ".join(line.split())) is not None


def play(text: str, capsys: pytest.CaptureFixture[str]) -> int:
    """Run each `$` line and search its output for the lines below it, in order."""
    commands = 0
    for part in re.split(r"^\$ ", text, flags=re.M)[1:]:
        command, *expected = part.rstrip("\n").split("\n")
        words = shlex.split(command)
        assert words[0] == "dclm", command
        main([*words[1:], *(["--workers", "1"] if words[1] in ("curate", "run", "ablate") else [])])
        captured = capsys.readouterr()
        lines = iter((captured.out + captured.err).splitlines())
        for line in expected:
            if not any(matches(line, said) for said in lines):
                pytest.fail(f"`{command}` did not print `{line}`, but\n{captured.out}{captured.err}")
        commands += 1
    return commands


@pytest.mark.slow
@pytest.mark.shared
def test_the_tutorial_does_what_it_says(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DCLM_SHARED", str(shared))
    monkeypatch.setenv("COLUMNS", "300")
    shutil.copy(ROOT / "recipes" / "experiments" / "bytes.json", tmp_path)
    commands = files = 0
    for kind, title, text in BLOCK.findall(PAGE):
        if title:
            (tmp_path / title).write_text(text, encoding="utf-8")
            files += 1
            if title == "recipe-a.yaml":
                other = text.replace("name: a", "name: b").replace("a.yaml", "b.yaml")
                (tmp_path / "recipe-b.yaml").write_text(other, encoding="utf-8")
        elif kind == "console":
            commands += play(text, capsys)
        else:
            exec(text, {})  # the rest is the example in Python
    assert (commands, files) == (12, 4)


def test_a_line_matches_by_its_words_and_dots() -> None:
    assert matches("a: read 120 …", "a:  read 120 = kept")
    assert not matches("a: read 120 …", "a: read 12 = kept")
    assert not matches("a", "a b")
