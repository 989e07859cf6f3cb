"""`--cache` in every command that runs a recipe's pipelines, and in the function: the second run reuses the first."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import click
import pytest

import dclm
from dclm.cli.main import dclm as command_line
from dclm.cli.main import main
from dclm.engine import jobs
from dclm.pool.sample.crawl import make_sample
from dclm.science.experiment.run import run_experiment
from dclm.science.mix.proxies import train_swarm

RECIPE = """name: r
data: [{{name: s, pool: pool/warc, pipeline: {name}.yaml}}]
scale: tiny
tokenizer: bytes.json
suite: core
"""
PIPELINE = "name: p\nsteps: [extract, {{page_length: {{of: word, min: {least}}}}}, {{exact: {{}}}}]\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    make_sample(folder / "pool", seed=2, documents=12, files=2)
    for name, least in (("a", 5), ("b", 40)):
        (folder / f"{name}.yaml").write_text(PIPELINE.format(least=least))
        (folder / f"r-{name}.yaml").write_text(RECIPE.format(name=name))
    return folder


def reused(lines: str) -> list[str]:
    return [line for line in lines.splitlines() if ": reused " in line and " units, step" in line]


def test_a_recipe_that_changed_starts_before_the_change(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(name: str, *more: str) -> str:
        out = folder / f"{name}{len(more)}"
        main(["run", str(folder / f"r-{name}.yaml"), "--out", str(out), "--until", "curate", "--workers", "1", *more])
        return capsys.readouterr().err

    cache = ("--cache", str(folder / "cache"))
    assert reused(run("a", *cache)) == []
    assert reused(run("b", *cache)) != []
    assert reused(run("b")) == []
    records = [dclm.open_artifact(folder / f"b{n}" / "documents" / "s").record for n in (0, 2)]
    assert records[0].digest == records[1].digest


def test_the_function_takes_it_too(folder: Path) -> None:
    said: list[str] = []
    for name in "ab":
        dclm.run(folder / f"r-{name}.yaml", folder / f"f{name}", until="curate", cache=folder / "of-f", say=said.append)
    assert reused("\n".join(said)) != []


def commands(group: click.Group, *path: str) -> dict[tuple[str, ...], click.Command]:
    found: dict[tuple[str, ...], click.Command] = {}
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        found |= commands(command, *path, name) if isinstance(command, click.Group) else {(*path, name): command}
    return found


def test_every_command_that_curates_has_the_option() -> None:
    """All that may run a pipeline's own code, but those that keep no documents."""
    options = {path: {o for p in c.params for o in p.opts} for path, c in commands(command_line).items()}
    may_run_code = {path for path, names in options.items() if "--trust" in names}
    assert {path for path in may_run_code if "--cache" not in options[path]} == {("plan",), ("ablate",)}
    assert {path for path, names in options.items() if "--cache" in names} <= may_run_code


@pytest.mark.parametrize("function", [run_experiment, train_swarm], ids=["experiment", "mix swarm"])
def test_experiments_and_swarms_hand_it_to_their_runs(function: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Started(Exception):
        pass

    def start(loaded: object, out: object, engine: object, options: Any, *more: object) -> None:
        raise Started(options.cache)

    module = inspect.getmodule(function)
    monkeypatch.setattr(module, "Run", start)
    for name in ("claim_folder", "write_held_out", "write_mixtures"):
        monkeypatch.setattr(module, name, lambda *_, **__: {}, raising=False)
    loaded = MagicMock(recipes={"r": MagicMock()})
    with pytest.raises(Started, match=r"^there$"):
        function(loaded, Path("out"), MagicMock(), cache="there")


def test_submit_hands_it_to_the_job(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def submit(*_: object, arguments: list[str], **__: object) -> int:
        seen.extend(arguments)
        return 0

    monkeypatch.setattr(jobs, "submit", submit)
    monkeypatch.chdir(folder)
    with pytest.raises(SystemExit):
        main(["submit", str(folder / "r-a.yaml"), "--address", "http://h:1", "--cache", "kept"])
    assert seen == [f"--cache={folder / 'kept'}"]
