"""Names that are paths: sources, classifiers, cells of experiments, suites, tasks and texts, crawls."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dclm.core.errors import ConfigError
from dclm.core.names import MAX_LENGTH, check_name, is_name
from dclm.eval.suite import load_suite
from dclm.eval.task import load_task
from dclm.eval.texts import load_text_set
from dclm.recipe.recipe import load_recipe
from dclm.science.experiment.spec import load_experiment

HOSTILE = [
    "../../x", "/etc/x", "..", ".", "", "a/b", "a\\b", ".hidden", "a\0b", "a\nb", "a b", "~", "~root", "$HOME", "-rf",
    "x" * (MAX_LENGTH + 1), "\u202ex", "é", "a:b", "*", "C:x",
]  # fmt: skip


def recipe(source: str = "web", classifier: str = "hq") -> dict[str, object]:
    return {
        "name": "r",
        "data": [{"name": source, "pool": "pool", "pipeline": "p.yaml"}],
        "classifiers": {classifier: {"positives": [{"path": "a"}], "negatives": [{"path": "b"}]}},
        "scale": "tiny",
        "tasks": ["copa"],
    }


def write(path: Path, value: object) -> Path:
    path.write_text(yaml.safe_dump(value, allow_unicode=False))
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_a_path_is_no_name(name: str) -> None:
    assert not is_name(name)
    with pytest.raises(ConfigError) as found:
        check_name(name, "source")
    assert len(str(found.value).splitlines()) == 3


@pytest.mark.parametrize("name", ["a", "0", "CC-MAIN-2022-05", "dclm_baseline.v1+x", "x" * MAX_LENGTH])
def test_a_name_is_a_name(name: str) -> None:
    assert check_name(name, "source") == name


@pytest.mark.parametrize("name", [name for name in HOSTILE if "\0" not in name])
def test_sources_and_classifiers_of_a_recipe_are_names(tmp_path: Path, name: str) -> None:
    load_recipe(write(tmp_path / "r.yaml", recipe()))
    for value in (recipe(source=name), recipe(classifier=name)):
        with pytest.raises(ConfigError, match="letters, digits"):
            load_recipe(write(tmp_path / "r.yaml", value))


def test_a_source_does_not_take_the_place_of_the_held_out_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="held-out text"):
        load_recipe(write(tmp_path / "r.yaml", {**recipe(source="validation"), "validation": "v.jsonl"}))


@pytest.mark.parametrize("name", ["../x", "/x", ".."])
def test_cells_of_an_experiment_are_names(tmp_path: Path, name: str) -> None:
    write(tmp_path / "r.yaml", recipe())
    value = {
        "name": "e",
        "recipes": {name: "r.yaml"},
        "scales": ["tiny"],
        "seeds": [0],
        "held_out": {"path": "h.jsonl", "documents": 1},
    }
    with pytest.raises(ConfigError, match="letters, digits"):
        load_experiment(write(tmp_path / "e.yaml", value))


@pytest.mark.parametrize("name", ["../tasks/copa", "/x", "..", "../../x"])
def test_suites_tasks_and_texts_are_names(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "suite"
    for inner in ("suites", "texts"):
        (folder / inner).mkdir(parents=True)
    (tmp_path / "x.yaml").write_text("group: x\n")
    for load in (load_suite, load_task, load_text_set):
        with pytest.raises(ConfigError, match="no such"):
            load(name, folder)


def test_a_crawl_is_a_name(tmp_path: Path) -> None:
    value = recipe()
    value["data"] = [{"pool": {"commoncrawl": {"crawl": "../../x", "warcs": 1}}, "pipeline": "p.yaml"}]
    with pytest.raises(ConfigError, match=r"crawl.*found|found"):
        load_recipe(write(tmp_path / "r.yaml", value))
