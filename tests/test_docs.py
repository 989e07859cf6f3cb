"""The documentation is an output: generated pages are up to date and name everything that is shipped."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from dclm.cli.main import COMMANDS
from dclm.cli.reference.docs import pages

ROOT = Path(__file__).resolve().parent.parent


def test_generated_pages_are_fresh(tmp_path: Path) -> None:
    # in a separate process: click remembers how commands were called by other tests
    subprocess.run([sys.executable, "-m", "dclm.cli.main", "docs", str(tmp_path)], check=True)
    for page in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        path = ROOT / "docs" / page.relative_to(tmp_path)
        assert path.exists(), f"docs/{page.name} is missing: run `make docs`"
        stale = path.read_text(encoding="utf-8") != page.read_text(encoding="utf-8")
        assert not stale, f"docs/{page.name} is stale: run `make docs`"


def test_a_page_that_was_not_generated_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "cli.md").write_text("mine")
    command = [sys.executable, "-m", "dclm.cli.main", "docs", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "not a generated page" in done.stderr
    assert "--force" not in done.stderr  # which this command does not have
    assert (tmp_path / "cli.md").read_text() == "mine"


def test_every_make_target_in_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    for name in ("README.md", "CONTRIBUTING.md"):
        used = set(re.findall(r"`make ([a-z-]+)", (ROOT / name).read_text(encoding="utf-8")))
        assert used <= targets, f"{name} names {used - targets}"


def test_every_folder_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for folder in sorted(p.name for p in (ROOT / "dclm").iterdir() if p.is_dir() and not p.name.startswith("_")):
        assert f"{folder}/" in readme, f"README.md does not say what dclm/{folder}/ is"


def test_every_command_is_in_the_reference() -> None:
    for command in COMMANDS:
        assert f"## `dclm {command}`" in pages()["cli.md"]


def test_local_links_lead_somewhere() -> None:
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]:
        for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            assert (path.parent / link).exists(), f"{path.name} links to {link}"


def test_every_picture_has_words_and_follows_dark_mode() -> None:
    for path in sorted((ROOT / "docs").glob("*.svg")):
        text = path.read_text(encoding="utf-8")
        for part in ("<title", "<desc", 'role="img"', "prefers-color-scheme"):
            assert part in text, f"docs/{path.name} has no {part}: draw it again with the command that the page names"
    for path in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for words in re.findall(r"!\[([^]]*)\]\(", path.read_text(encoding="utf-8")):
            assert words.strip(), f"{path.name} has a picture without words"
