"""The `pool:` of a recipe."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.pool.spec import PoolSpec, resolve_pool


@dataclasses.dataclass(frozen=True, kw_only=True)
class Holder:
    pool: PoolSpec


def spec(text: str) -> PoolSpec:
    return build(Holder, parse_yaml(text, "r.yaml")).pool


def test_each_form_gives_its_files(tmp_path: Path) -> None:
    for name in ("a.warc", "b.jsonl", "c.parquet"):
        (tmp_path / name).touch()
    here = {
        "pool: a.warc": ["a.warc"],
        "pool: [b.jsonl, a.warc]": ["b.jsonl", "a.warc"],
        "pool: {warc: ['*.warc']}": ["a.warc"],
        "pool: {jsonl: [b.jsonl]}": ["b.jsonl"],
        "pool: {parquet: [c.parquet]}": ["c.parquet"],
        "pool: {refetched: {files: [b.jsonl, a.warc], times: 2}}": [
            "fetch-1/b.jsonl",
            "fetch-1/a.warc",
            "fetch-2/b.jsonl",
            "fetch-2/a.warc",
        ],
    }
    for text, names in here.items():
        assert [f.name for f in resolve_pool(spec(text), tmp_path, lambda path: str(tmp_path / path))] == names


def test_a_file_of_another_kind_than_the_key_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.warc").touch()
    with pytest.raises(ConfigError, match="found a file of kind warc, allowed under `jsonl`"):
        resolve_pool(spec(f"pool: {{jsonl: [{tmp_path / 'a.warc'}]}}"), tmp_path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("pool: {}", "one of warc, jsonl, parquet, csv, commoncrawl, sample"),
        ("pool: {warc: [a], jsonl: [b]}", "found warc and jsonl"),
        ("pool: {warcs: [a]}", "did you mean `warc`"),
        ("pool: {commoncrawl: {crawl: X}}", "give either `warcs`"),
        ("pool: {sample: {documents: 0}}", "documents"),
        ("pool: 3", "text or a list of text"),
    ],
)
def test_errors_name_the_place_and_what_is_allowed(text: str, said: str) -> None:
    with pytest.raises(ConfigError) as error:
        spec(text)
    assert said in str(error.value)
    assert "r.yaml:1" in str(error.value)


def test_a_sample_is_generated_under_the_work_directory(tmp_path: Path) -> None:
    files = resolve_pool(spec("pool: {sample: {seed: 5, documents: 12, files: 2}}"), tmp_path)
    assert len(files) == 2
    assert all(Path(file.path).is_relative_to(tmp_path) for file in files)
    again = resolve_pool(spec("pool: {sample: {seed: 5, documents: 12, files: 2}}"), tmp_path)
    assert again == files
