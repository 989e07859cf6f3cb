"""docs/dependencies.md names every dependency that is declared, and no other."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def name_of(requirement: str) -> str:
    return re.split(r"[\[<>=!~; ]", requirement, maxsplit=1)[0].lower()


def test_every_dependency_has_its_reason() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = {extra: lines for extra, lines in project["optional-dependencies"].items() if extra != "dev"}
    declared = {("", name_of(line)) for line in project["dependencies"]}
    declared |= {(extra, name_of(line)) for extra, lines in extras.items() for line in lines}
    text = (ROOT / "docs" / "dependencies.md").read_text(encoding="utf-8")
    always, _, rest = text.partition("## Extras")
    optional, _, written = rest.partition("## Written here")
    told = {("", name) for name in re.findall(r"^\| ([a-z0-9-]+) \| [^|-]", always, re.M) if name != "package"}
    told |= set(re.findall(r"^\| ([a-z0-9]+) \| ([a-z0-9-]+) \| [^|-]", optional, re.M)) - {("extra", "package")}
    assert told == declared
    for place in re.findall(r"`((?:[a-z]+/)+(?:[a-z_]+\.py)?)`", written):
        assert (ROOT / "dclm" / place).exists(), place


def test_every_constraint_is_pinned_once() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    names = [name_of(line) for line in lines if re.match(r"[a-z0-9]", line, re.I) and ";" not in line]
    assert len(names) == len(set(names))
    assert all("==" in line for line in lines if re.match(r"[a-z0-9]", line, re.I))
