"""docs/security.md names a test for each of its lines; the tests exist, and every attack file is named."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "security.md"
WITHOUT_TEST = "the author of lm-eval's task folder (`--include-path`)"
"""Lines without a test, because the behavior is allowed."""


def rows() -> list[list[str]]:
    """The cells of every line of the page's tables that have a column of tests."""
    found, header = [], []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        if not cells:
            header = []
        elif not header:
            header = cells
        elif header[-1] == "test" and set(cells[0]) != {"-"}:
            found.append(cells)
    return found


def named(text: str) -> list[tuple[str, str]]:
    return re.findall(r"`(tests/[a-z_/]+\.py)(?:::(test_[a-z0-9_]+))?`", text)


def test_every_line_names_tests_that_exist() -> None:
    assert len(rows()) > 25
    for cells in rows():
        found = named(cells[-1])
        assert found or (cells[0] == WITHOUT_TEST and cells[-1] == "none"), cells[0]
        for file, test in found:
            tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
            functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            assert test, f"{file} without the name of a test: {cells[0]}"
            assert test in functions, f"{file}::{test}"


def test_every_file_of_attacks_is_named() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for path in sorted((ROOT / "tests" / "attack").glob("test_*.py")):
        assert f"tests/attack/{path.name}" in text, path.name
