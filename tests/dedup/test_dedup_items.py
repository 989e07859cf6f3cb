"""Items of tasks against documents: n-grams as sets of word tuples, questions as word sequences."""

from __future__ import annotations

import gzip
import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.errors import DataError
from dclm.dedup.decontaminate.item_index import build_index, count_matches, find_matches, item_overlap
from dclm.dedup.decontaminate.items import make_item, read_items

PIECES = ["a", "b", "C", "c!", "!", "ä,", "Å", "a–b", "“ﬁ”", "fi…", "-"]
TEXTS = st.lists(
    st.lists(st.sampled_from(PIECES), max_size=9).map(" ".join),
    max_size=5,
)


def words(text: str) -> list[str]:
    apart = unicodedata.normalize("NFKD", text.casefold())
    kind = {c: unicodedata.category(c) for c in apart}
    parted = "".join(" " if kind[c] == "Pd" else c for c in apart if kind[c] == "Pd" or kind[c][0] not in "PSM")
    return parted.split()


def grams(text: str, n: int) -> list[tuple[str, ...]]:
    found = words(text)
    return [tuple(found[i : i + n]) for i in range(len(found) - n + 1)]


@given(st.lists(TEXTS, max_size=4), TEXTS, TEXTS, st.integers(1, 4))
def test_overlap_is_that_of_sets(items: list[list[str]], first: list[str], second: list[str], n: int) -> None:
    known = {gram for text in first + second for gram in grams(text, n)}
    sets = [{gram for text in item for gram in grams(text, n)} for item in items]
    found = item_overlap(items, [pa.array(first, pa.string()), pa.array(second, pa.string())], n)
    assert found.ngrams.tolist() == [len(s) for s in sets]
    assert found.found.tolist() == [len(s & known) for s in sets]


@given(st.lists(TEXTS, max_size=4), TEXTS, st.integers(1, 4))
def test_matches_are_where_the_words_are(items: list[list[str]], texts: list[str], n: int) -> None:
    index = build_index(items, n)
    column = pa.array(["a b c", *texts], pa.string())[1:]
    known = {gram for item in items for text in item for gram in grams(text, n)}
    matches = find_matches(column, index)
    assert count_matches(column, index).tolist() == [sum(g in known for g in grams(t, n)) for t in texts]
    found = [
        (row, tuple(words(texts[row].encode()[start:end].decode())))
        for row, start, end in zip(matches.rows, matches.starts, matches.ends, strict=True)
    ]
    assert found == [(row, gram) for row, text in enumerate(texts) for gram in grams(text, n) if gram in known]
    for (_, gram), entry in zip(found, matches.grams, strict=True):
        owners = index.items[index.postings[entry] : index.postings[entry + 1]].tolist()
        assert owners == [i for i, item in enumerate(items) if any(gram in grams(t, n) for t in item)]


def test_items_of_every_shape() -> None:
    listed = make_item({"query": "Question: Which?  \nChoices:\nA. one\nB. two words\nAnswer:", "choices": ["A", "B"]})
    assert (listed.question, listed.options) == ("Which?", ("one", "two words"))
    assert make_item({"query": "Q: Who sat?", "choices": ["I", "you"]})[1:] == ("Who sat?", ("I", "you"))
    generated = make_item({"context": "Capital of France?", "answer": "Paris", "aliases": ["paris"], "gold": 1})
    assert generated[1:] == ("Capital of France?", ("Paris", "paris"))
    assert make_item(["a", {"b": "c"}, 3]) == (("a", "c"), "", ())


def test_a_broken_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "task.jsonl.gz"
    path.write_bytes(gzip.compress((json.dumps({"query": "x"}) + "\n\n{\n").encode()))
    with pytest.raises(DataError, match=r"task.jsonl.gz:3"):
        read_items(path)
