"""`@FILE` stands for the files in a list, wherever a pool is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dclm.cli.main import main
from dclm.core.errors import DataError
from dclm.pool.files import list_files
from dclm.pool.lists import expanded, read_list
from dclm.recipe.plan import plan_lines
from dclm.recipe.recipe import load_recipe


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    (tmp_path / "far").mkdir()
    for name in ("b.jsonl", "a.jsonl", "other.jsonl"):
        (tmp_path / "far" / name).write_text('{"text": "some words here"}\n')
    (tmp_path / "list.txt").write_text("# a scale's pool\nfar/b.jsonl\n\n  far/a.jsonl \n")
    return tmp_path


def test_a_list_stands_for_its_files(listed: Path) -> None:
    assert [file.name for file in list_files([f"@{listed}/list.txt"])] == ["b.jsonl", "a.jsonl"]


def test_addresses_of_common_crawl_get_its_server(tmp_path: Path) -> None:
    lines = [
        "crawl-data/CC-MAIN-2022-05/x.warc.gz",
        "s3://commoncrawl/contrib/y.jsonl.gz",
        "https://h/z",
        "/abs",
        "rel",
    ]
    (tmp_path / "list.txt").write_text("\n".join(lines))
    assert read_list(str(tmp_path / "list.txt")) == [
        f"https://data.commoncrawl.org/{lines[0]}", *lines[1:4], f"{tmp_path}/rel",
    ]  # fmt: skip
    assert list(expanded(["a", f"@{tmp_path}/list.txt"]))[:2] == ["a", f"https://data.commoncrawl.org/{lines[0]}"]


@pytest.mark.parametrize(
    ("content", "said"), [(None, "no such file"), (b"\n# x\n", "names no file"), (b"\xff", "list")]
)
def test_what_is_no_list_is_an_error(tmp_path: Path, content: bytes | None, said: str) -> None:
    if content is not None:
        (tmp_path / "list.txt").write_bytes(content)
    with pytest.raises(DataError, match=said):
        list_files([f"@{tmp_path}/list.txt"])


def test_commands_and_recipes_take_lists(listed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (listed / "p.yaml").write_text("name: p\nsteps: [{page_length: {of: word, min: 1}}]\n")
    main(["curate", str(listed / "p.yaml"), "--pool", f"@{listed}/list.txt", "--out", str(listed / "out")])
    assert json.loads((listed / "out" / "record.json").read_text())["counts"]["read"] == 2
    main(["pool", "list", f"@{listed}/list.txt", "--json"])
    assert [file["name"] for file in json.loads(capsys.readouterr().out)] == ["b.jsonl", "a.jsonl"]
    recipe = "name: r\ndata: [{pool: '@list.txt', pipeline: p.yaml}]\nscale: tiny\nsuite: core\n"
    (listed / "r.yaml").write_text(recipe)
    loaded = load_recipe(listed / "r.yaml")
    assert loaded.path("@list.txt") == f"@{listed}/list.txt"
    assert any(line.startswith("  time     estimate for 56 B") for line in plan_lines(loaded))
    (listed / "list.txt").unlink()
    assert any(line.startswith(f"missing    {listed}/list.txt for the pool") for line in plan_lines(loaded))
