"""House rules that a machine can check: imports go one way, heavy packages stay in their place, files are small."""

from __future__ import annotations

import ast
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "dclm"

LAYERS = (
    {"core.errors"},
    {"core.names", "core.arrow"},
    {"core.config", "core.storage", "core.stages.progress", "core.stages.engine", "documents.schema"},
    {"core"},
    {"charts"},
    {"curate.quantity", "curate.exchange.passes"},
    {"curate.step"},
    {"curate.measured"},
    {"curate.global_step"},
    {"assets"},
    {"text"},
    {"pool", "extract", "filters", "dedup", "model"},
    {"tokens"},
    {"select"},
    {"curate.catalog"},
    {"curate.own"},
    {"curate.pipeline", "curate.convert"},
    {"train", "eval"},
    {"curate.output.tally"},
    {"documents"},
    {"curate", "engine", "board", "recipe.recipe"},
    {"recipe"},
    {"report", "publish"},
    {"science"},
    {"api"},
    {"__init__", "steps", "cli"},
)
"""Lower layers first. A module belongs to the longest of these names that its own name begins with. It may import
modules that belong to the same name and those of lower layers."""

ONLY_IN = {
    "ray": ("dclm/engine/", "dclm/train/distributed/launch_ray.py"),
    "torch": ("dclm/model/", "dclm/train/", "dclm/eval/", "dclm/select/language_model/"),
    "click": ("dclm/cli/",),
    "starlette": ("dclm/board/",),
    "lm_eval": ("dclm/eval/",),
}
MAX_LINES = 300


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def owner(module: str) -> str:
    """The name in LAYERS that a module (without `dclm.`) belongs to: the longest that it begins with."""
    names = [n for names in LAYERS for n in names if module == n or module.startswith(f"{n}.")]
    assert names, f"dclm.{module} is in no layer: add it to LAYERS"
    return max(names, key=len)


def layer_of(name: str) -> int:
    (number,) = [i for i, names in enumerate(LAYERS) if name in names]
    return number


def imports(path: Path) -> list[str]:
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found.append(node.module or "")
    return found


def imported_modules(path: Path) -> list[str]:
    """The modules of ours that a file imports, without `dclm.`; `from dclm.a import b` is a.b if that is a module."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "dclm":
            base = PACKAGE.joinpath(*node.module.split(".")[1:])
            for alias in node.names:
                deeper = (base / f"{alias.name}.py").exists() or (base / alias.name).is_dir()
                found.append(f"{node.module}.{alias.name}" if deeper else node.module)
    return [name.removeprefix("dclm.") for name in found if name != "dclm"]


def short(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("path", modules(), ids=short)
def test_imports_go_one_way(path: Path) -> None:
    own = owner(".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"))
    for name in imported_modules(path):
        other = owner(name)
        assert other == own or layer_of(other) < layer_of(own), f"{short(path)} imports dclm.{name}"


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


def test_commands_print_in_one_place_that_makes_text_of_strangers_visible() -> None:
    for path in (PACKAGE / "cli").rglob("*.py"):
        if path.name in ("options.py", "output.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in ("print", "click.echo", "click.secho", "Console"), f"{short(path)}:{node.lineno}"
                if called in ("sys.stdout.write", "sys.stderr.write"):
                    assert ast.unparse(node.args[0]).startswith("visible("), f"{short(path)}:{node.lineno}"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_nothing_catches_to_continue(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ExceptHandler):
            assert node.type is not None, f"{short(path)}:{node.lineno} has a bare except"
            only = [type(n) for n in node.body]
            broad = isinstance(node.type, ast.Name) and node.type.id in ("Exception", "BaseException")
            assert not (broad and only in ([ast.Pass], [ast.Continue])), f"{short(path)}:{node.lineno} swallows errors"


@pytest.mark.parametrize("path", modules(), ids=short)
def test_the_formatter_is_overruled_in_tables_of_data_alone(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    lines = [n for n, line in enumerate(text.splitlines(), 1) if "# fmt: skip" in line]
    tables = {n.end_lineno for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Assign | ast.AnnAssign)}
    for line in lines:
        assert line in tables, f"{short(path)}:{line} has `# fmt: skip` outside a table of data"


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


MODULES_OF = {
    "scikit-learn": "sklearn", "fasttext-community": "fasttext", "pyyaml": "yaml", "types-pyyaml": "yaml",
    "ufal-kenlm": "kenlm",
    "types-jsonschema": "jsonschema",
}  # fmt: skip
"""Distribution → the module that it is imported as, if the names differ."""
NOT_IMPORTED = {
    "lxml-html-clean": "jusText imports it without declaring it",
    "pip": "run as a command, to install the packages of a job",
    "accelerate": "lm-eval and transformers import it",
    "gguf": "transformers imports it for GGUF files",
    "tensorboard": "torch.utils.tensorboard imports it",
    "s3fs": "fsspec imports it for s3:// addresses",
    "pytest-timeout": "a plugin of pytest",
    "pytest-xdist": "a plugin of pytest",
    "mkdocs-material": "the theme of the site, named in mkdocs.yml",
    "mypy": "run as a command",
    "ruff": "run as a command",
    "pyarrow-stubs": "types for mypy",
    "types-pyyaml": "types for mypy",
    "types-jsonschema": "types for mypy",
}


def test_no_dependency_is_declared_that_nothing_imports() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    late = re.compile(r'(?:import_module|find_spec)\(\s*"([\w.]+)"')
    names = [name for path in modules() for name in (*imports(path), *late.findall(path.read_text(encoding="utf-8")))]
    found = {name.split(".")[0] for name in names}
    tested = {name.split(".")[0] for path in (ROOT / "tests").rglob("*.py") for name in imports(path)}
    declared = [
        (line, found | tested if extra == "dev" else found) for extra, lines in extras.items() for line in lines
    ]
    missing = []
    for line, imported in [*((line, found) for line in project["dependencies"]), *declared]:
        name = re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower()
        if name not in NOT_IMPORTED and MODULES_OF.get(name, name.replace("-", "_")) not in imported:
            missing.append(line)
    assert missing == []
