"""`dclm plan` names every file that a recipe lacks, and the consequences for the scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from dclm.eval.suite import load_suite
from dclm.recipe import needs
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import load_recipe

RECIPE = """
name: r
data:
  - {{pool: pool.jsonl, pipeline: p.yaml}}
tokenizer: {tokenizer}
scale: tiny
suite: {suite}
"""


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without any asset."""
    for name in ("DCLM_ASSETS", "DCLM_SHARED", "DCLM_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.delenv(needs.PASSWORD, raising=False)
    (tmp_path / "pool.jsonl").write_text('{"text": "a"}\n')
    return tmp_path


def lines(folder: Path, steps: str, suite: str = "core", tokenizer: str = "gpt-neox-20b") -> list[str]:
    (folder / "p.yaml").write_text(f"name: p\nsteps:\n{steps}")
    (folder / "r.yaml").write_text(RECIPE.format(suite=suite, tokenizer=tokenizer))
    loaded = load_recipe(folder / "r.yaml")
    return [line for line in plan_lines(loaded) if line.startswith(("needs", "missing", "   "))]


def test_models_of_steps_the_tokenizer_and_tasks_are_named(bare: Path) -> None:
    text = "\n".join(lines(bare, "  - language: {keep: [en]}\n  - fasttext_score: {model: my-model.bin}\n"))
    assert "needs      gpt-neox-20b for tokenize: will be downloaded" in text
    assert "for language: " in text
    assert "missing    my-model.bin for fasttext_score: no such asset and no such file" in text
    assert "for evaluate" in text


def test_what_cannot_be_downloaded_says_what_is_null_without_it(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = "  - page_length: {of: word}\n"
    monkeypatch.setattr(needs, "_without_data", lambda suite: (["copa"], []))
    assert not any("CORE will be null" in line for line in lines(bare, steps))
    monkeypatch.setattr(needs, "_without_data", lambda suite: ([], ["squad", "copa"]))
    found = lines(bare, steps)
    assert "missing    data of squad, copa for evaluate: not available for download" in found
    assert "           CORE will be null: copa, squad have no data" in found


def test_encrypted_tasks_need_their_password(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    later, gone = needs._without_data(load_suite("extended"))
    encrypted = {task for task in gone if task.startswith("gpqa")}
    assert encrypted
    assert any("EXTENDED will be null" in line for line in lines(bare, "  - citations\n", suite="extended"))
    monkeypatch.setenv(needs.PASSWORD, "secret")
    later, gone = needs._without_data(load_suite("extended"))
    assert encrypted <= set(later)
    assert not encrypted & set(gone)


@pytest.mark.shared
def test_nothing_is_named_where_everything_is_there(bare: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_SHARED", str(shared))
    found = lines(bare, "  - language: {keep: [en]}\n", suite="core")
    assert not [line for line in found if "gpt-neox-20b" in line]
    assert not [line for line in found if "hellaswag" in line]
