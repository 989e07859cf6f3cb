"""Repeated spans compared with a dictionary of all windows of tokens."""

from __future__ import annotations

import random

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import ids, make_shards, table
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.serial import apply, decide
from dclm.dedup.substring import step as substring
from dclm.dedup.substring.step import Substring
from dclm.dedup.substring.winnow import anchor_length, choose_anchors
from dclm.text.buffers import utf8

WORDS = st.lists(st.sampled_from(["a", "b", "ccc", "."]), max_size=24)
CORPUS = st.lists(WORDS, max_size=8)


def brute_force(corpus: list[list[str]], length: int, keep: str) -> list[set[int]]:
    """The removed tokens of each document."""
    places: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for number, words in enumerate(corpus):
        for i in range(len(words) - length + 1):
            places.setdefault(tuple(words[i : i + length]), []).append((number, i))
    gone: list[set[int]] = [set() for _ in corpus]
    for found in places.values():
        for number, i in found[1:] if keep == "first" else found if len(found) > 1 else []:
            gone[number].update(range(i, i + length))
    return gone


def text_of(words: list[str], gap: str = " ") -> str:
    return gap.join(words)


@given(CORPUS, st.integers(2, 7), st.sampled_from(["first", "none"]), st.integers(1, 3), st.integers(1, 4))
def test_what_is_cut_is_what_brute_force_finds(
    corpus: list[list[str]], length: int, keep: str, shards: int, rows: int
) -> None:
    gone = brute_force(corpus, length, keep)
    expected = {}
    for number, words in enumerate(corpus):
        left = [w for i, w in enumerate(words) if i not in gone[number]]
        if left or not words:
            expected[number] = text_of(left)
    gaps = [" ", "\n", "  "]  # whitespace does not count
    documents = make_shards([text_of(w, gaps[i % 3]) for i, w in enumerate(corpus)], shards, rows)
    left = apply(decide(Substring(min_tokens=length, keep=keep), documents), documents)  # type: ignore[arg-type]
    texts = [" ".join(t.split()) for shard in left for batch in shard for t in batch.column("text").to_pylist()]
    assert dict(zip(ids(left), texts, strict=True)) == expected


@given(WORDS, WORDS, WORDS, st.integers(2, 9))
def test_equal_spans_hold_an_equal_anchor(before: list[str], span: list[str], after: list[str], length: int) -> None:
    span = (span + ["x"] * length)[:length]
    texts = [text_of(before + span), text_of(span + after)]
    found = choose_anchors(utf8(pa.array(texts)), length)
    inside: list[set[tuple[int, int]]] = []
    for row, first in enumerate((len(before), 0)):
        last = first + length - anchor_length(length)
        chosen = zip(found.hashes.tolist(), found.tokens.tolist(), found.rows.tolist(), strict=True)
        inside.append({(h, t - first) for h, t, r in chosen if r == row and first <= t <= last})
    assert inside[0] & inside[1]


def test_few_anchors_are_chosen() -> None:
    rng = random.Random(1)
    text = " ".join(f"w{rng.randrange(10**9)}" for _ in range(20_000))
    found = choose_anchors(utf8(pa.array([text])), 50)
    assert 0.06 < len(found.hashes) / 20_000 < 0.09  # 2 of 27


def test_reported_spans_are_those_that_would_be_cut() -> None:
    rng = random.Random(2)
    corpus = [rng.choices(["a", "b", "ccc", "."], k=rng.randrange(30)) for _ in range(60)]
    texts = [text_of(words) for words in corpus]
    documents = make_shards(texts)
    decision = decide(Substring(min_tokens=5, action="report"), documents)
    assert ids(apply(decision, documents)) == list(range(60))
    gone = brute_force(corpus, 5, "first")
    place = {(s, r): int(i[1:]) for s, shard in enumerate(documents) for b in shard
             for r, i in zip(b["_row"].to_pylist(), b["id"].to_pylist(), strict=True)}  # fmt: skip
    found: list[list[str]] = [[] for _ in texts]
    for span in table(decision, "spans").to_pylist():
        number = place[span["shard"], span["row"]]
        found[number] += texts[number].encode()[span["start"] : span["end"]].decode().split()
    assert found == [[w for i, w in enumerate(words) if i in gone[n]] for n, words in enumerate(corpus)]
    assert decision.info["documents"] == sum(bool(g) for g in gone)


def test_the_default_cuts_fifty_tokens_and_not_forty_nine() -> None:
    words = [f"word{i}" for i in range(50)]
    texts = [" ".join(["one", *words, "two"]), " ".join(["three,", *words, "four"]), " ".join(words[1:]), "Four, five."]
    documents = make_shards(texts)
    left = apply(decide(Substring(), documents), documents)
    assert [t for s in left for b in s for t in b["text"].to_pylist()] == [texts[0], "three, four", *texts[2:]]


@pytest.mark.parametrize("keep", ["first", "none"])
def test_extreme_corpora(keep: str) -> None:
    same = " ".join(f"w{i}" for i in range(80))
    distinct = [" ".join(f"{d}w{i}" for i in range(60)) for d in range(40)]
    for texts, kept in (([], 0), (["", " \n", "short"], 3), ([same] * 200, int(keep == "first")), (distinct, 40)):
        documents = make_shards(texts, rows=50)
        assert len(ids(apply(decide(Substring(keep=keep), documents), documents))) == kept  # type: ignore[arg-type]


def test_a_document_that_repeats_itself_keeps_the_first_of_its_tokens() -> None:
    documents = make_shards(["ha " * 500])
    left = apply(decide(Substring(min_tokens=50), documents), documents)
    assert left[0][0]["text"].to_pylist() == ["ha"]


@pytest.mark.parametrize("keep", ["first", "none"])
def test_anchors_sorted_on_all_workers_change_nothing(monkeypatch: pytest.MonkeyPatch, keep: str) -> None:
    step = Substring(min_tokens=5, keep=keep)  # type: ignore[arg-type]
    documents = make_shards([" ".join(f"w{i % (3 + d % 7)}" for i in range(40)) for d in range(30)])
    one = decide(step, documents)
    monkeypatch.setattr(substring, "ANCHORS_IN_MEMORY", 0)
    many = decide(step, documents)
    assert pa.concat_tables(one.edits).num_rows > 100
    assert pa.concat_tables(one.edits).equals(pa.concat_tables(many.edits))
    assert one.info == many.info


def test_spans_that_share_only_half_of_the_hash_stay() -> None:
    keys = pa.table(
        {
            "key": pa.array([7, 7, 7], pa.uint64()),
            "shard": pa.array(np.zeros(3, np.int32)),
            "row": pa.array([0, 1, 2], pa.int64()),
            "check": pa.array([1, 2, 1], pa.uint64()),
            "start": pa.array([0, 0, 3], pa.int32()),
            "end": pa.array([9, 9, 9], pa.int32()),
        }
    )
    step = substring.RepeatedSpans(min_tokens=5, keep="first", action="remove")
    assert step.reduce(keys).to_pylist() == [{"shard": 0, "row": 2, "start": 3, "end": 9}]
