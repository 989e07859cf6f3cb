"""A ∪ B in one run keeps what A, and B against the index of A, keep: by oracles of plain Python.

Each step is tested for the documents for which docs/dedup.md says that the law is definable.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pytest
from dedup_documents import Shards, ids, make_shards
from hypothesis import given, settings
from hypothesis import strategies as st
from index_in_process import against, keep_filter, keep_index
from test_dedup_bloom import TEXTS, expected, outcome
from test_dedup_brute_force import clusters
from test_dedup_substring import brute_force

from dclm.curate.global_step import Global
from dclm.curate.step import Context
from dclm.dedup.bloom.step import Bloom
from dclm.dedup.exact import Exact
from dclm.dedup.index.indexed import KeyIndexed
from dclm.dedup.minhash.shingles import text_shingles
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import apply, decide
from dclm.dedup.substring.step import Substring

LAW = settings(max_examples=50, deadline=None)
PARTITIONS = 2


@pytest.fixture(autouse=True, scope="module")
def _few_partitions() -> Iterator[None]:
    """An example takes as long as it writes files; the number of partitions is tested with the engine."""
    with pytest.MonkeyPatch.context() as patch:
        for place in ("dclm.dedup.index.relation.PARTITIONS", "index_in_process.PARTITIONS"):
            patch.setattr(place, PARTITIONS)
        patch.setattr(Global, "num_partitions", PARTITIONS)
        yield


WORDS = ["red", "green", "blue", "Red", "old", ""]
LINES = st.lists(st.sampled_from(WORDS), max_size=5).map(" ".join)
CORPUS = st.lists(st.lists(LINES, max_size=3).map("\n".join), max_size=7)
URLS = ["http://a.example/", "http://a.example/?q=1", "http://b.example/", None]
Kept = dict[int, str]


def kept(step: Global, shards: Shards) -> Kept:
    """Number of each document that is left → its text."""
    left = apply(decide(step, shards, Context()), shards)
    texts = [text for shard in left for batch in shard for text in batch.column("text").to_pylist()]
    return dict(zip(ids(left), texts, strict=True))


def three_runs(
    step: KeyIndexed, a: Shards, b: Shards, c: Shards, index_of: Sequence[Shards]
) -> tuple[Kept, Kept, Kept]:
    """What is left of A alone, of B against the index of A, and of C against the indexes of A and of B.

    index_of: what the two indexes are made of.
    """
    assert isinstance(step, Global)
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        first = keep_index(step, index_of[0], Path(folder, "a"))
        second = keep_index(step, index_of[1], Path(folder, "b"))
        one, two = against(step, first), against(step, first, second)
        assert isinstance(one, Global)
        assert isinstance(two, Global)
        return kept(step, a), kept(one, b), kept(two, c)


def part(of: Kept, start: int, texts: Sequence[object]) -> Kept:
    """What an oracle keeps of one corpus among several, numbered from 0."""
    return {number - start: text for number, text in of.items() if start <= number < start + len(texts)}


def obeys(
    step: KeyIndexed, corpora: Sequence[Sequence[str]], shards: int, oracle: Kept, **columns: list[object]
) -> None:
    """One run over all corpora, and runs of each against the indexes of those before, keep what the oracle keeps."""
    assert isinstance(step, Global)
    texts = [text for corpus in corpora for text in corpus]
    assert kept(step, make_shards(texts, shards, **columns)) == oracle
    start, made = 0, []
    for corpus in corpora:
        mine = {name: values[start : start + len(corpus)] for name, values in columns.items()}
        made.append(make_shards(corpus, shards, **mine))
        start += len(corpus)
    found = three_runs(step, made[0], made[1], made[2], made)
    starts = [0, len(corpora[0]), len(corpora[0]) + len(corpora[1])]
    assert list(found) == [part(oracle, at, corpus) for at, corpus in zip(starts, corpora, strict=True)]


@LAW
@given(CORPUS, CORPUS, CORPUS, st.integers(1, 3), st.sampled_from([0, 4]))
def test_exact_texts(a: list[str], b: list[str], c: list[str], shards: int, shortest: int) -> None:
    oracle: Kept = {}
    for number, text in enumerate(a + b + c):
        if text not in oracle.values() or len(text) < shortest:
            oracle[number] = text
    obeys(Exact(min_length=shortest), (a, b, c), shards, oracle)


@LAW
@given(st.lists(st.lists(st.sampled_from(URLS), max_size=5), min_size=3, max_size=3), st.integers(1, 3))
def test_exact_urls(urls: list[list[str | None]], shards: int) -> None:
    corpora = [[f"text {number}" for number, _ in enumerate(part)] for part in urls]
    flat = [url for part in urls for url in part]
    texts = [text for corpus in corpora for text in corpus]
    oracle = {i: text for i, text in enumerate(texts) if flat[i] is None or flat[i] not in flat[:i]}
    obeys(Exact(of="url"), corpora, shards, oracle, url=list(flat))


@LAW
@given(CORPUS, CORPUS, CORPUS, st.integers(1, 3))
def test_exact_lines(a: list[str], b: list[str], c: list[str], shards: int) -> None:
    seen: set[str] = set()
    oracle: Kept = {}
    for number, text in enumerate(a + b + c):
        *lines, last = text.split("\n")
        left, cut, gone = "", False, False
        for line, end in [*((line, "\n") for line in lines), *([(last, "")] if last else [])]:
            gone = line in seen
            cut |= gone
            left += "" if line in seen else line + end
            seen.add(line)
        if left.strip() or not cut:
            oracle[number] = left.rstrip() if gone else left  # whitespace before a cut at the end goes too
    obeys(Exact(of="line"), (a, b, c), shards, oracle)


@LAW
@given(CORPUS, CORPUS, CORPUS, st.integers(1, 3), st.integers(0, 3))
def test_linked_documents_of_b(a: list[str], b: list[str], c: list[str], shards: int, links: int) -> None:
    """The law holds for B and C. A alone may keep more: only B may link two of its documents."""
    step = MinHash(bands=2, rows=1, ngram=2, links_in_memory=links)
    texts = a + b + c
    root = clusters(texts, step)
    oracle = {i: text for i, text in enumerate(texts) if root[i] == i}
    assert kept(step, make_shards(texts, shards)) == oracle
    alone = clusters(a, step)
    made = [make_shards(corpus, shards) for corpus in (a, b, c)]
    of_a, of_b, _ = three_runs(step, *made, made)
    assert of_a == {i: text for i, text in enumerate(a) if alone[i] == i}
    assert part(oracle, 0, a).items() <= of_a.items()
    # B against A: its documents that no document of C links are what one run over A ∪ B keeps
    both = clusters(a + b, step)
    assert of_b == part({i: t for i, t in enumerate(a + b) if both[i] == i}, len(a), b)


@LAW
@given(CORPUS, CORPUS, CORPUS, st.integers(1, 3), st.sampled_from([0.5, 0.8, 1.0]))
def test_verified_documents(a: list[str], b: list[str], c: list[str], shards: int, threshold: float) -> None:
    """With so many bands that pairs at the threshold share one. Indexes are made of what was kept."""
    step = MinHash(bands=60, rows=1, ngram=1, verify=threshold)
    texts = a + b + c
    sets = [set(values.tolist()) for values in text_shingles(texts, 1)]
    stay: list[int] = []
    for i in range(len(texts)):
        if not any(sets[i] and len(sets[i] & sets[k]) / len(sets[i] | sets[k]) >= threshold for k in stay):
            stay.append(i)
    oracle = {i: texts[i] for i in stay}
    assert kept(step, make_shards(texts, shards)) == oracle
    made = [make_shards(corpus, shards) for corpus in (a, b, c)]
    ends = [0, len(a), len(a) + len(b)]
    expected_parts = [part(oracle, at, corpus) for at, corpus in zip(ends, (a, b, c), strict=True)]
    left = [make_shards(list(kept_of.values()), shards) for kept_of in expected_parts[:2]]
    assert list(three_runs(step, *made, left)) == expected_parts


@LAW
@given(
    st.lists(
        st.lists(st.lists(st.sampled_from(["a", "b", "ccc", "."]), max_size=14), max_size=5), min_size=3, max_size=3
    ),
    st.integers(1, 3),
    st.integers(2, 5),
)
def test_substrings(corpora: list[list[list[str]]], shards: int, length: int) -> None:
    flat = [words for corpus in corpora for words in corpus]
    gone = brute_force(flat, length, "first")
    oracle = {}
    for number, words in enumerate(flat):
        left = [word for i, word in enumerate(words) if i not in gone[number]]
        if left or not words:
            oracle[number] = left
    step = Substring(min_tokens=length)
    made = [make_shards([" ".join(words) for words in corpus], shards) for corpus in corpora]
    whole = kept(step, make_shards([" ".join(words) for words in flat], shards))
    assert {number: text.split() for number, text in whole.items()} == oracle
    found = three_runs(step, made[0], made[1], made[2], made)
    starts = [0, len(corpora[0]), len(corpora[0]) + len(corpora[1])]
    for one, start, corpus in zip(found, starts, corpora, strict=True):
        wanted = {n - start: left for n, left in oracle.items() if start <= n < start + len(corpus)}
        assert {number: text.split() for number, text in one.items()} == wanted


@LAW
@given(TEXTS, TEXTS, st.sampled_from(["paragraph", "document", "old-both", "both", "exact"]), st.integers(1, 3))
def test_filters(a: list[str], b: list[str], mode: str, shards: int) -> None:
    step = Bloom(mode=mode, min_ngram=2, max_ngram=3, fp_rate=1e-9)  # type: ignore[arg-type]
    oracle = expected(a + b, step)
    made = [make_shards(texts, shards) for texts in (a + b, a, b)]
    assert outcome(step, made[0]) == oracle
    assert outcome(step, made[1]) == oracle[: len(a)]
    with tempfile.TemporaryDirectory() as folder:
        index = keep_filter(step, made[1], Path(folder, "a"), room=2000)
        known = against(step, index)
        assert isinstance(known, Bloom)
        assert outcome(known, made[2]) == oracle[len(a) :]


def test_the_documents_that_a_law_is_tested_with_have_duplicates() -> None:
    """Otherwise the laws above would hold of a step that does nothing."""
    shards = make_shards(["red blue", "red blue", "old green blue red", "red old blue green"], 2)
    assert len(kept(Exact(), shards)) == 3
    assert len(kept(MinHash(bands=60, rows=1, ngram=1, verify=0.8), shards)) == 2
    assert pa.types.is_string(shards[0][0].column("text").type)
