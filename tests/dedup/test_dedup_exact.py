"""Exact deduplication against a dictionary."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pytest
from dedup_documents import ids, make_shards, replaced
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.exact import Exact
from dclm.dedup.normalize import normalize_ccnet, normalize_url
from dclm.dedup.serial import decide, drop

TEXTS = st.lists(st.sampled_from(["", " ", "a", "A", "a ", "b", "longer text", "ä"]), max_size=40)


@given(TEXTS, st.integers(1, 5), st.integers(1, 9))
def test_the_first_of_equal_documents_stays(texts: list[str], shards: int, rows: int) -> None:
    first: dict[str, int] = {}
    expected = {i: first[t] for i, t in enumerate(texts) if first.setdefault(t, i) != i}
    documents = make_shards(texts, shards, rows)
    decision = decide(Exact(), documents)
    assert replaced(decision, documents) == expected
    assert ids(drop(decision, documents)) == sorted(first.values())
    assert decision.info == {"duplicates": len(expected)}


@given(TEXTS)
def test_normalized_documents_are_compared(texts: list[str]) -> None:
    first: dict[str, int] = {}
    for i, text in enumerate(texts):
        first.setdefault(text.strip().lower(), i)
    documents = make_shards(texts)
    kept = drop(decide(Exact(normalize="whitespace_and_lowercase"), documents), documents)
    assert ids(kept) == sorted(first.values())


def test_a_document_without_url_equals_no_other_by_url() -> None:
    urls = [None, "http://a.com/", None, "https://www.a.com", "http://a.com/?utm_source=x", "http://a.com/?id=1"]
    documents = make_shards(["same"] * 6, url=urls)
    assert replaced(decide(Exact(of="url", normalize="url"), documents), documents) == {3: 1, 4: 1}


@pytest.mark.parametrize(
    ("keep", "expected"), [("first", {0}), ("newest", {3}), ("longest", {2}), ("smallest_hash", None)]
)
def test_the_copy_that_stays_is_chosen_by_the_stated_key(keep: str, expected: set[int] | None) -> None:
    dates = [None, "2021-01-01T00:00:00Z", "2019-01-01T00:00:00Z", "2024-01-01T00:00:00Z"]
    texts = ["x", "x ", "  x  ", "x"]
    step = Exact(keep=keep, normalize="whitespace_and_lowercase")  # type: ignore[arg-type]
    kept = {tuple(ids(drop(decide(step, d), d))) for s in (1, 2, 4) for d in [make_shards(texts, s, date=dates)]}
    assert len(kept) == 1
    if expected is not None:
        assert set(kept.pop()) == expected


def test_ties_of_the_key_go_to_the_first_in_document_order() -> None:
    documents = make_shards(["x", "x", "x"], date=["2020", "2024", "2024"])
    assert replaced(decide(Exact(keep="newest"), documents), documents) == {0: 1, 2: 1}


def test_documents_that_share_only_half_of_the_hash_both_stay() -> None:
    keys = pa.table(
        {
            "key": pa.array([7, 7, 7], pa.uint64()),
            "row": pa.array([0, 1, 2], pa.int64()),
            "check": pa.array([1, 2, 1], pa.uint64()),
            "shard": pa.array([0, 0, 0], pa.int32()),
        }
    )
    drops = Exact().reduce(keys)
    assert drops.to_pylist() == [{"shard": 0, "row": 2, "kept_shard": 0, "kept_row": 0}]


@pytest.mark.parametrize("texts", [[], [""], ["a"] * 500, [str(i) for i in range(500)]])
def test_extreme_corpora(texts: list[str]) -> None:
    documents = make_shards(texts)
    assert len(ids(drop(decide(Exact(), documents), documents))) == len(set(texts))


def test_the_order_in_which_partitions_are_reduced_does_not_matter() -> None:
    texts = [str(i % 37) for i in range(200)]
    documents = make_shards(texts)
    step = Exact()
    keys = _keys(step, documents)
    tables = [step.reduce(part) for part in keys]
    assert step.decide(tables).all_drops().equals(step.decide(tables[::-1]).all_drops())


def test_drops_and_what_is_carried_are_read_one_partition_at_a_time() -> None:
    documents = make_shards([str(i % 37) for i in range(200)])
    step = Exact()
    tables = [step.reduce(part) for part in _keys(step, documents)]
    read: list[int] = []

    class Reduced:
        def __iter__(self) -> Iterator[pa.Table]:
            for number, table in enumerate(tables):
                read.append(number)
                yield table

    decision = step.decide(Reduced())
    read.clear()
    first = next(iter(decision.drop_tables))
    assert read == [0]
    assert first.column_names[-1] == "similarity"
    assert decision.drops.num_rows == 0
    assert decision.all_drops().num_rows == decision.info["duplicates"] == 163
    carried = Exact(carry=("size",)).decide(tables)
    assert carried.then is not None  # and its rows are made one table at a time, too
    assert next(iter(carried.then.rows)).num_rows < 163  # type: ignore[union-attr]


def _keys(step: Exact, documents: list[list[pa.RecordBatch]]) -> list[pa.Table]:
    from dclm.curate.step import Context
    from dclm.dedup.serial import partitions

    emit = step.open(Context())
    keys = (
        emit(b).append_column("shard", pa.array(np.full(emit(b).num_rows, s, np.int32)))
        for s, batches in enumerate(documents)
        for b in batches
    )
    return list(partitions(keys, step.num_partitions))


def test_url_normalizer_does_what_the_reference_does() -> None:
    assert normalize_url("https://www.example.com/a/?utm_x=1&id=2") == "example.com/a"
    assert normalize_url("http://example.com/?id=1&utm_x=2") == "example.com/?id=1&utm_x=2"
    assert normalize_url("http://a.com/http://www.b.com/?referrer=1\n/") == "a.com/b.com/\n"
    assert normalize_url("HTTPS://Www.A.com//") == "HTTPS://Www.A.com"


def test_ccnet_normalizer() -> None:
    assert normalize_ccnet("  Éa 12.5 «x»\x07 ") == "ea 00.0 x"
