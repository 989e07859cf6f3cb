"""Decontamination against sets of word tuples."""

from __future__ import annotations

import gzip
import json
import string
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.config import build, parse_yaml
from dclm.dedup.decontaminate import Decontaminate, build_index, count_matches
from dclm.errors import ConfigError, DataError
from dclm.step import Context

QUESTION = "What is the capital of the country whose flag shows three stripes and a star?"
ITEM = {
    "query": QUESTION,
    "choices": ["one", "a much longer choice " * 4],
    "gold": 0,
    "extra": {"passage": "p q r " * 6},
}


@pytest.fixture
def items(tmp_path: Path) -> Path:
    path = tmp_path / "task.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps(ITEM) + "\n\n").encode()))
    return path


def run(items: Path, texts: list[str], **fields: object) -> pa.RecordBatch:
    step = Decontaminate(items=("task",), **fields)  # type: ignore[arg-type]
    batch = pa.RecordBatch.from_pydict({"text": pa.array(texts, pa.string())})
    return step.open(Context(files={"task": str(items)}))(batch)


def test_documents_that_quote_an_item_are_dropped(items: Path) -> None:
    quoted = "before " + QUESTION.upper().replace(" of ", ",  of\n") + " after"
    found = run(items, ["nothing here", quoted, QUESTION[:40], "", "p q r " * 5])
    assert found["_drop"].to_pylist() == [False, True, False, False, True]
    assert found["contamination"].to_pylist() == [0, 3, 0, 0, 3]


def test_reporting_drops_nothing_and_the_bound_is_inclusive(items: Path) -> None:
    assert "_drop" not in run(items, [QUESTION], action="report").schema.names
    assert run(items, [QUESTION], min_matches=3)["_drop"].to_pylist() == [True]
    assert run(items, [QUESTION], min_matches=4)["_drop"].to_pylist() == [False]


WORDS = st.lists(st.sampled_from(["a", "b", "C", "c!", "!"]), max_size=12).map(" ".join)


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.lower().translate({ord(c): None for c in string.punctuation}).split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


@given(st.lists(WORDS, min_size=1, max_size=4), st.lists(WORDS, max_size=5), st.integers(1, 4))
def test_counts_are_those_of_a_set(
    tmp_path_factory: pytest.TempPathFactory, items: list[str], texts: list[str], n: int
) -> None:
    path = tmp_path_factory.mktemp("items") / "items.jsonl"
    path.write_text(json.dumps(items) + "\n")
    known = {gram for item in items for gram in grams(item, n)}
    if not known:
        with pytest.raises(ConfigError, match=f"has {n} words"):
            build_index([path], n)
        return
    found = count_matches(pa.array(texts, pa.string()), build_index([path], n), n)
    assert found.tolist() == [sum(gram in known for gram in grams(text, n)) for text in texts]


def test_a_broken_file_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl"
    path.write_text('{"a": 1}\n{\n')
    with pytest.raises(DataError, match=r"task.jsonl:2"):
        build_index([path], 3)


def test_no_files_are_refused() -> None:
    with pytest.raises(ConfigError, match="at least one file"):
        build(Decontaminate, parse_yaml("items: []"))
