"""Every hint, in every command: an option that it names belongs to the command, or to another one that it names."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from dclm.cli.main import dclm, main
from dclm.cli.shared.hints import active_command, fit_hint, options

PACKAGE = Path(__file__).resolve().parents[2] / "dclm"
BYTES = PACKAGE.parent / "recipes/experiments/bytes.json"
OPTION = re.compile(r"(?:`?dclm ([a-z -]+?) (?:[A-Z]+ )?)?(?<![\w-])(--[a-z][a-z-]*)")
OTHER_PROGRAMS = {"--include_path", "--metadata"}  # of lm_eval


def commands(group: click.Group, path: str = "") -> Iterator[tuple[str, click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}".strip())
        elif command is not None:
            yield f"{path} {name}".strip(), command


COMMANDS = dict(commands(dclm))


@functools.cache
def hints() -> set[str]:
    """The texts of errors in the package that name an option: what is passed to an error or is called hint."""
    found = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            values: list[ast.expr] = []
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("Error", "Problem")):
                values = node.args[1:]
            elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) in ("hint", "go_on", "again"):
                values = [node.value]
            for value in values:
                text = " ".join(
                    str(part.value) if isinstance(part, ast.Constant) else "7"
                    for part in ast.walk(value)
                    if isinstance(part, ast.Constant | ast.FormattedValue)
                    and (isinstance(part, ast.FormattedValue) or isinstance(part.value, str))
                )
                if "--" in text:
                    found.add(text)
    return found


def test_the_hints_are_found() -> None:
    assert len(hints()) > 30
    assert any("--epochs" in hint for hint in hints())


@pytest.mark.parametrize("name", COMMANDS)
def test_no_hint_names_an_option_that_the_command_lacks(name: str) -> None:
    command = COMMANDS[name]
    for hint in hints():
        fitted = fit_hint(hint, command, dclm)
        for match in OPTION.finditer(fitted):
            if match.group(2) in OTHER_PROGRAMS or "lm_eval --" in fitted:
                continue
            owner = COMMANDS.get((match.group(1) or name).strip())
            assert owner is not None, f"{fitted!r} names no command"
            assert match.group(2) in options(owner), f"after `dclm {name}`: {fitted}"


def test_a_hint_says_the_same_in_the_words_of_the_command() -> None:
    hint = "tokenize more documents, or choose --epochs 3, or --tokens N, which leaves the benchmark"
    assert fit_hint(hint, COMMANDS["train"], dclm) == hint
    assert "`epochs: 3` in the recipe" in fit_hint(hint, COMMANDS["run"], dclm)
    assert "`tokens: N` in the recipe" in fit_hint(hint, COMMANDS["plan"], dclm)
    assert fit_hint("pass --window N", COMMANDS["run"], dclm) == "pass `dclm evaluate --window N`"
    assert active_command(dclm, ["mix", "swarm", "f.yaml", "--out", "x"]).name == "swarm"


def test_too_few_tokens_in_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pool.jsonl").write_text('{"text": "a few words alone"}\n')
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - page_length: {of: word, min: 1}\n")
    (tmp_path / "r.yaml").write_text(
        f"name: r\ndata:\n  - pool: pool.jsonl\n    pipeline: p.yaml\ntokenizer: {BYTES}\nscale: tiny\nsuite: core\n"
    )
    arguments = ["run", str(tmp_path / "r.yaml"), "--out", str(tmp_path / "out"), "--workers", "1"]
    with pytest.raises(SystemExit):
        main(arguments)
    error = capsys.readouterr().err
    assert "--epochs" not in error
    assert "`epochs: " in error
