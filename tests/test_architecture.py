"""House rules that a machine can check: imports go one way, heavy packages stay in their place, files stay small."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dclm"

LAYERS = (
    {"errors", "__init__"},
    {"config", "schema", "storage", "progress", "parallel"},
    {"record", "step"},
    {"assets"},
    {"text"},
    {"pool", "extract", "filters", "dedup", "tokens", "model"},
    {"steps", "classifier"},
    {"pipeline", "convert"},
    {"train", "eval"},
    {"engine", "board", "inspect", "duplicates", "recipe"},
    {"stages"},
    {"report"},
    {"experiment"},
    {"docs"},
    {"cli"},
)
"""Lower layers first; a module may import from its own layer's package and from those before it."""

ONLY_IN = {
    "ray": ("dclm/engine/", "dclm/train/launch_ray.py"),
    "torch": ("dclm/model/", "dclm/train/", "dclm/eval/"),
    "click": ("dclm/cli/",),
    "starlette": ("dclm/board/",),
    "lm_eval": ("dclm/eval/",),
}
MAX_LINES = 300


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def layer_of(name: str) -> int:
    for number, names in enumerate(LAYERS):
        if name in names:
            return number
    raise AssertionError(f"dclm.{name} is in no layer: add it to LAYERS")


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
    return found


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=short)
def test_imports_go_one_way(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    for name in imports(path):
        if name.startswith("dclm."):
            other = name.split(".")[1]
            assert other == own or layer_of(other) < layer_of(own), f"{short(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_heavy_packages_stay_in_their_place(path: Path) -> None:
    for name in imports(path):
        places = ONLY_IN.get(name.split(".")[0])
        assert places is None or short(path).startswith(places), f"{short(path)} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_files_are_small_and_say_what_they_are_for(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_LINES, f"{short(path)} has {text.count(chr(10))} lines, allowed: {MAX_LINES}"
    assert not text.strip() or ast.get_docstring(ast.parse(text)), f"{short(path)} has no docstring"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_only_the_command_line_prints_or_exits(path: Path) -> None:
    if short(path).startswith("dclm/cli/"):
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("print", "exit", "input"), f"{short(path)}:{node.lineno} calls {node.func.id}"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_nothing_catches_to_continue(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{short(path)}:{node.lineno} has a bare except"
            only = [type(n) for n in node.body]
            broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            assert not (broad and only in ([ast.Pass], [ast.Continue])), f"{short(path)}:{node.lineno} swallows errors"


def test_no_module_edits_the_import_path() -> None:
    for path in [*modules(), *(ROOT / "tests").rglob("*.py")]:
        if path != Path(__file__):
            assert "sys.path" not in path.read_text(encoding="utf-8"), short(path)


def test_the_project_names_no_place_of_one_machine() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    pattern = re.compile("/" + "work/|/" + "root/|/" + "home/(?!ubuntu/)[a-z]")
    for name in listed.stdout.split():
        path = ROOT / name
        if path.suffix in {".py", ".md", ".yaml", ".toml", ".sh", ""} and path.is_file():
            found = pattern.search(path.read_text(encoding="utf-8", errors="replace"))
            assert found is None, f"{name}: {found}"
