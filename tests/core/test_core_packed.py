"""Packed outcomes: a mapping like any other, in a twentieth of the memory."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.packed import Packed

JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner, max_size=3))
OUTCOMES = st.dictionaries(st.integers(0, 30), st.dictionaries(st.text(max_size=4), JSON, max_size=4), max_size=8)


@given(OUTCOMES, OUTCOMES)
def test_it_is_a_mapping(first: dict[int, dict[str, object]], second: dict[int, dict[str, object]]) -> None:
    packed = Packed(first)
    assert dict(packed) == first
    packed.update(second)
    assert dict(packed) == first | second
    assert list(packed.in_order().items()) == sorted((first | second).items(), key=lambda item: item[0])
    for key in second:
        assert key in packed
        del packed[key]
        assert key not in packed
        with pytest.raises(KeyError):
            packed[key]
    assert len(packed) == len(first.keys() - second.keys())


def test_what_is_shared_is_there_once_and_tuples_come_back_as_lists() -> None:
    one: Packed[str] = Packed({"a": {"pair": (1, 2)}})
    other: Packed[str] = Packed()
    other.share("a", one)
    assert other["a"] == {"pair": [1, 2]}
    assert other._packed["a"] is one._packed["a"]


def test_an_outcome_of_curation_takes_little_room() -> None:
    counts = [{"step": f"step{n}", "index": n, "documents_in": 100 + n, "bytes_in": 123_456 + n} for n in range(26)]
    outcome = {"shards": {"1": {"counts": counts}}, "files": {"00001.documents.parquet": [1, "a" * 64]}}
    packed: Packed[int] = Packed({0: outcome})
    assert len(packed._packed[0]) < len(json.dumps(outcome)) / 3
