"""The user's own steps: five lines next to the pipeline work everywhere, and errors are reported as the user's."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dclm.cli.main import main
from dclm.core.errors import ConfigError
from dclm.curate.own.code import find_code
from dclm.curate.own.load import own_step
from dclm.curate.pipeline import bind, load_pipeline

POOL = "".join(f'{{"text": "{" ".join(["word"] * n)}", "id": "d{n}"}}\n' for n in range(1, 11))
FILTER = "def keep(text):\n    return len(text.split()) >= 4\n"
STEP = """
import dataclasses
from typing import ClassVar
import pyarrow as pa
from dclm.curate.step import Filter

@dataclasses.dataclass(frozen=True, kw_only=True)
class Short(Filter):
    name: ClassVar[str] = "short"
    most: int = 6

    def open(self, context):
        return lambda batch: pa.array([len(t.split()) <= self.most for t in batch["text"].to_pylist()], pa.bool_())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory with a pool in two files; the user's code is in `code/`, which is not on Python's path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "code").mkdir()
    (tmp_path / "pool").mkdir()
    lines = POOL.splitlines(keepends=True)
    (tmp_path / "pool" / "a.jsonl").write_text("".join(lines[:5]))
    (tmp_path / "pool" / "b.jsonl").write_text("".join(lines[5:]))
    return tmp_path


def write(folder: Path, steps: str, **files: str) -> Path:
    for name, source in files.items():
        (folder / "code" / f"{name}.py").write_text(source)
    path = folder / "code" / "p.yaml"
    path.write_text(f"name: p\nsteps:\n{steps}")
    return path


def curate(folder: Path, out: str = "out", *more: str) -> list[str]:
    main(["curate", "code/p.yaml", "--pool", "pool", "--out", out, "--trust", *(more or ("--workers", "1"))])
    files = sorted((folder / out / "documents").glob("*.parquet"))
    return [i for file in files for i in pq.read_table(file).column("id").to_pylist()]


@pytest.mark.parametrize(
    ("steps", "source", "kept"),
    [
        ("  - mine:keep\n", FILTER, 7),
        ("  - mine.py:keep\n", FILTER, 7),
        (
            "  - mine:keep: {least: 8}\n",
            "def keep(text: str, *, least: int = 3) -> bool:\n    return text.count('w') >= least",
            3,
        ),
        ("  - mine:keep\n", "def keep(row):\n    return row['id'] in ('d2', 'd3') and set(row) >= {'text', 'url'}", 2),
        (
            "  - mine:keep\n",
            "import pyarrow.compute as c\ndef keep(batch):\n    return c.greater(c.utf8_length(batch['text']), 25)\n",
            5,
        ),
        ("  - mine:keep\n", "import helper\ndef keep(text):\n    return helper.long_enough(text)\n", 7),
        (
            "  - mine:words\n  - threshold: {column: words, min: 4}\n",
            "def words(text) -> float:\n    return len(text.split())\n",
            7,
        ),
        ("  - mine:cut\n  - page_length: {of: word, min: 4}\n", "def cut(text) -> str:\n    return text[10:]\n", 5),
        ("  - mine:Short: {most: 3}\n", STEP, 3),
    ],
)
def test_own_steps_of_every_form(folder: Path, steps: str, source: str, kept: int) -> None:
    write(folder, steps, mine=source, helper="def long_enough(text):\n    return len(text.split()) >= 4\n")
    assert len(curate(folder)) == kept


def test_workers_are_sent_the_source(folder: Path) -> None:
    write(folder, "  - mine:keep\n  - mine:Short\n", mine=FILTER + STEP)
    assert curate(folder, "out", "--workers", "2") == curate(folder, "one", "--workers", "1") == ["d4", "d5", "d6"]


def test_a_process_that_knows_neither_file_nor_module_runs_a_pickled_step(folder: Path) -> None:
    write(folder, "  - mine:Short: {most: 3}\n", mine=STEP)
    (step,) = load_pipeline(folder / "code" / "p.yaml", trust=True).steps
    (folder / "step.pickle").write_bytes(pickle.dumps(step))
    (folder / "code" / "mine.py").unlink()
    script = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).most)"
    root = str(Path(__file__).resolve().parents[3])
    done = subprocess.run(
        [sys.executable, "-c", script, "step.pickle"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": root},
    )
    assert done.stdout.strip() == "3"


@pytest.mark.slow
def test_ray_runs_own_steps(folder: Path) -> None:
    write(folder, "  - mine:keep\n  - mine:Short\n", mine=FILTER + STEP)
    assert curate(folder, "out", "--on", "ray", "--workers", "1") == ["d4", "d5", "d6"]


def test_editing_a_filter_or_what_it_imports_gives_a_new_result(folder: Path) -> None:
    write(folder, "  - mine:keep\n", mine="import helper\ndef keep(text):\n    return helper.f(text)\n", helper=FILTER)
    (folder / "code" / "helper.py").write_text("def f(text):\n    return len(text.split()) >= 4\n")
    assert len(curate(folder)) == 7
    (folder / "code" / "helper.py").write_text("def f(text):\n    return len(text.split()) >= 9\n")
    with pytest.raises(SystemExit, match="2"):
        curate(folder)
    assert len(curate(folder, "out", "--force")) == 2


def test_the_identity_is_the_source_not_the_place(folder: Path) -> None:
    first = bind(load_pipeline(write(folder, "  - mine:keep\n", mine=FILTER), trust=True)).identity(0, 1)
    (folder / "code").rename(folder / "moved")
    moved = bind(load_pipeline(folder / "moved" / "p.yaml", trust=True)).identity(0, 1)
    (folder / "moved" / "mine.py").write_text(FILTER.replace("4", "5"))
    edited = bind(load_pipeline(folder / "moved" / "p.yaml", trust=True)).identity(0, 1)
    assert first == moved != edited


def test_modules_on_the_path_work_and_their_package_is_hashed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = folder / "elsewhere" / "ownpackage"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "rules.py").write_text("from .limits import LEAST\ndef keep(text):\n    return len(text) > LEAST\n")
    (package / "limits.py").write_text("LEAST = 20\n")
    monkeypatch.syspath_prepend(str(package.parent))
    path = write(folder, "  - ownpackage.rules:keep\n")
    assert len(curate(folder)) == 6
    before = bind(load_pipeline(path, trust=True)).identity(0, 1)
    (package / "limits.py").write_text("LEAST = 30\n")
    assert find_code("ownpackage.rules", folder) != find_code("ownpackage", folder)
    assert bind(load_pipeline(path, trust=True)).identity(0, 1) != before


@pytest.mark.parametrize(
    ("step", "source", "expected"),
    [
        ("mine:keep", "def keep(text)\n    return True\n", ["mine.py:1", "SyntaxError", "def keep(text)"]),
        ("mine:keep", "import nothing_of_that_name\n", ["mine.py:1", "nothing_of_that_name"]),
        ("mine:keep", "LIMIT = 1 / 0\n", ["mine.py:1", "ZeroDivisionError", "LIMIT = 1 / 0"]),
        ("mine:kep", FILTER, ["mine.py: kep", "no such function or class", "keep"]),
        ("mine:keep", "keep = 3\n", ["found 3", "a function or a Step class"]),
        ("mine:keep", "def keep(x):\n    return True\n", ["first parameter `x`", "text, row or batch"]),
        ("mine:keep", "def keep():\n    return True\n", ["has no parameter"]),
        ("mine:keep", "def keep(text, *rest):\n    return True\n", ["`*rest`"]),
        ("mine:keep", "def keep(text) -> list:\n    return []\n", ["declared to return list", "bool, str, float"]),
        ("mine:keep", "def keep(text, a: set = None):\n    return True\n", ["`a`", "set", "tuple[X, ...]"]),
        ("mine:keep: {least: many}", "def keep(text, least=3):\n    return True\n", ["p.yaml:3", "'many'", "whole"]),
        ("mine:keep: {lest: 1}", "def keep(text, least=3):\n    return True\n", ["unknown field", "`least`?"]),
        ("mine:keep", "def keep(text, least: int):\n    return True\n", ["`least` is missing"]),
        ("other:keep", FILTER, ["`other` is neither a file next to the pipeline", "other.py"]),
        ("mine:Short", STEP.replace('"short"', '"page_length"'), ["the shipped step `page_length`"]),
        ("mine:Short", STEP.replace(': ClassVar[str] = "short"', ": ClassVar[str]"), ["has the name None"]),
        ("mine:Short", STEP.replace("frozen=True, ", ""), ["mine.py", "frozen"]),
        ("mine:Short", STEP.replace("def open", "def opn"), ["does not define open"]),
        ("mine:Short", STEP.replace("most: int", "most: list[int]"), ["a field of type list[int]"]),
    ],
)
def test_what_is_wrong_is_said_when_the_pipeline_is_loaded(
    folder: Path, step: str, source: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, f"  - {step}\n", mine=source)
    with pytest.raises(SystemExit) as caught:
        curate(folder)
    error = capsys.readouterr().err
    assert caught.value.code == 2, error
    assert "Traceback" not in error
    for part in expected:
        assert part in error, error
    assert not (folder / "out").exists()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            "def inner(text):\n    return text.missing\n\ndef keep(text):\n    return inner(text)\n",
            ["code/mine.py:2", "AttributeError", "return text.missing", "on the document d1"],
        ),
        ("def keep(text):\n    return None\n", ["returned None on the document d1", "True or False"]),
        ("def keep(batch):\n    return [True]\n", ["returned 1 answers", "5 answers"]),
        ("def keep(batch):\n    return 1 + ''\n", ["code/mine.py:2", "TypeError"]),
        ("def keep(text) -> str:\n    return 3\n", ["returned 3", "a text"]),
        ("def keep(text) -> float:\n    return True\n", ["returned True", "a number"]),
        (STEP.replace("len(t.split())", "len(t.spilt())").replace("Short", "keep"), ["mine.py:13", "'spilt'"]),
    ],
)
def test_an_error_while_it_runs_is_shown_with_the_users_line(
    folder: Path, source: str, expected: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write(folder, "  - mine:keep\n", mine=source)
    with pytest.raises(SystemExit) as caught:
        curate(folder, "out", "--workers", "2" if "spilt" in source else "1")  # one of them crosses processes
    error = capsys.readouterr().err
    assert caught.value.code == 2, error
    assert "Traceback" not in error
    for part in expected:
        assert part in error, error


def test_two_folders_may_have_files_of_one_name(tmp_path: Path) -> None:
    kinds = []
    for number in (1, 2):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "helper.py").write_text(f"NUMBER = {number}\n")
        (folder / "mine.py").write_text("import helper\ndef keep(text):\n    return helper.NUMBER\n")
        code = find_code("mine", folder)
        assert code is not None
        kinds.append(own_step(code, "keep"))
    assert [kind.function("") for kind in kinds] == [1, 2]  # type: ignore[attr-defined]


RECIPE = "name: r\n{trust}data:\n  - {{pool: pool, pipeline: code/p.yaml}}\nscale: tiny\nsuite: core\n"
COMMANDS = {
    "plan": ["plan", "r.yaml"],
    "run": ["run", "r.yaml", "--out", "run", "--until", "curate", "--workers", "1"],
}


@pytest.mark.parametrize("command", ["plan", "run"])
@pytest.mark.parametrize("how", ["option", "recipe", "neither"])
def test_trust_is_said_once(folder: Path, command: str, how: str, capsys: pytest.CaptureFixture[str]) -> None:
    write(folder, "  - mine:keep\n", mine=FILTER)
    (folder / "r.yaml").write_text(RECIPE.format(trust="trust: true\n" if how == "recipe" else ""))
    arguments = [*COMMANDS[command], *(["--trust"] if how == "option" else [])]
    if how != "neither":
        main(arguments)
        return
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "pass --trust" in capsys.readouterr().err


def test_experiments_and_swarms_hand_the_trust_on(folder: Path) -> None:
    from dclm.science.experiment.spec import load_experiment
    from dclm.science.mix.swarm import load_swarm

    write(folder, "  - mine:keep\n", mine=FILTER)
    other = "  - {name: other, pool: pool/a.jsonl, pipeline: code/p.yaml}\nscale"
    (folder / "r.yaml").write_text(RECIPE.format(trust="").replace("scale", other))
    held = "{path: pool/a.jsonl, documents: 2}"
    (folder / "e.yaml").write_text(f"name: e\nrecipes: {{r: r.yaml}}\nscales: [tiny]\nseeds: [1]\nheld_out: {held}\n")
    (folder / "s.yaml").write_text(f"name: s\nrecipe: r.yaml\nscale: tiny\nproxies: 2\nheld_out: {{h: {held}}}\n")
    for load in (lambda t: load_experiment(Path("e.yaml"), (), t).recipes["r"], lambda t: _swarm(load_swarm, t)):
        source = load(True).recipe.data[0]
        assert load(True).pipeline(source).steps[0].name == "mine:keep"
        with pytest.raises(ConfigError, match="only with --trust"):
            load(False).pipeline(source)


def _swarm(load, trust):  # type: ignore[no-untyped-def]
    return load(Path("s.yaml"), (), trust).recipe


def test_every_command_that_reads_a_pipeline_has_the_option() -> None:
    from dclm.cli.main import dclm
    from dclm.cli.shared.hints import active_command, options

    for words in ("curate", "ablate", "run", "plan", "submit", "experiment", "mix swarm"):
        assert "--trust" in options(active_command(dclm, words.split())), words
