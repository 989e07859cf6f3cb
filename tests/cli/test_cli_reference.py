"""The reference: schemas accept shipped files and refuse wrong ones; values and groups of commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from dclm.cli.main import COMMANDS, SECTIONS, main, sections
from dclm.cli.reference.files import file_lines, kinds, schemas, step_lines
from dclm.core.config import load_yaml

ROOT = Path(__file__).resolve().parents[2]
SCHEMAS = {name.partition(".")[0]: json.loads(text) for name, text in schemas().items()}


def kind_of(path: Path) -> str:
    value: Any = load_yaml(path).value
    for name, field in (
        ("experiment", "recipes"),
        ("recipe", "data"),
        ("pipeline", "steps"),
        ("swarm", "proxies"),
        ("constraints", "budget"),
    ):
        if field in value:
            return name
    return "classifier"


FILES = sorted([*(ROOT / "recipes").rglob("*.yaml"), *(ROOT / "pipelines").rglob("*.yaml")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_files_meet_their_schemas(path: Path) -> None:
    jsonschema.Draft202012Validator(SCHEMAS[kind_of(path)]).validate(load_yaml(path).value)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("recipe", {"name": "r", "data": [], "scale": "tiny", "sead": 3}),
        ("recipe", {"name": "r", "data": [], "scale": "tiny", "seed": -1}),
        ("recipe", {"name": "r", "data": []}),
        ("pipeline", {"steps": [{"page_length": {"of": "words"}}]}),
        ("pipeline", {"steps": [{"page_lenght": {}}]}),
        ("swarm", {"name": "s", "recipe": "r", "scale": "tiny", "proxies": 0, "held_out": {}}),
    ],
)
def test_schemas_refuse_what_is_wrong(kind: str, value: object) -> None:
    assert list(jsonschema.Draft202012Validator(SCHEMAS[kind]).iter_errors(value))


@pytest.mark.parametrize("value", [{"rules:keep": {"min": 3}}, {"rules.py:keep": None}, "exact", {"include": "p.yaml"}])
def test_steps_of_ones_own_are_allowed(value: object) -> None:
    jsonschema.Draft202012Validator(SCHEMAS["pipeline"]).validate({"name": "p", "steps": [value]})


def test_schemas_are_schemas() -> None:
    for schema in SCHEMAS.values():
        jsonschema.Draft202012Validator.check_schema(schema)
    assert {*kinds(), "pipeline", "record", "ledger", "scores", "result"} == set(SCHEMAS)


def test_allowed_values_are_spelled_out() -> None:
    text = "\n".join([*step_lines(), *file_lines()])
    for name in ("WordKind", "Literal[", "Annotated", "Positive", "NonNegative", "Fraction", "Mapping["):
        assert f"`: {name}" not in text, name
    assert "fasttext or unicode or whitespace" in text
    assert "char or word or line or paragraph" in text
    assert "a map (" not in text


def test_every_command_has_a_section() -> None:
    placed = [name for names in SECTIONS.values() for name in names]
    assert len(placed) == len(set(placed))
    assert set(placed) <= set(COMMANDS)
    shown = [name for names in sections().values() for name in names]
    assert sorted(shown) == sorted(COMMANDS)


@pytest.mark.parametrize(
    ("words", "nearest"), [(["borad"], "board"), (["jobs", "lst"], "list"), (["mix", "swam", "--out", "x"], "swarm")]
)
def test_a_mistyped_command_gets_the_nearest(
    words: list[str], nearest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == 2
    assert f"did you mean `{nearest}`?" in capsys.readouterr().err
