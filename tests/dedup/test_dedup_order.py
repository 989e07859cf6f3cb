"""The order of keys is the stable one, whether they spread like hashes or not."""

from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup import order
from dclm.dedup.columns import U64
from dclm.dedup.order import order_by_key, spread

LARGEST = 2**64 - 1


def keys_of(kind: str, count: int, seed: int) -> U64:
    draw = np.random.default_rng(seed)
    hashes = draw.integers(0, LARGEST, count, np.uint64, endpoint=True)
    few = hashes[draw.integers(0, max(1, count // 3), count)] if count else hashes
    found = {
        "hashes": hashes,
        "repeated": few,
        "narrow": hashes % np.uint64(1000) + np.uint64(LARGEST - 2000),
        "equal": np.full(count, LARGEST, np.uint64),
        "sorted": np.sort(hashes),
        "descending": np.sort(hashes)[::-1].copy(),
        "crowded": np.where(hashes % np.uint64(50) == 0, hashes, hashes >> np.uint64(40)),
    }
    return found[kind]


KINDS = ["hashes", "repeated", "narrow", "equal", "sorted", "descending", "crowded"]


@given(kind=st.sampled_from(KINDS), count=st.integers(0, 40) | st.sampled_from([1000, 5000]), seed=st.integers(0, 99))
def test_the_order_of_keys_is_the_stable_one(kind: str, count: int, seed: int) -> None:
    keys = keys_of(kind, count, seed)
    assert order_by_key(keys).tolist() == np.argsort(keys, kind="stable").tolist()


@given(keys=st.lists(st.integers(0, 5) | st.integers(LARGEST - 5, LARGEST) | st.integers(0, LARGEST), max_size=40))
def test_the_order_of_any_keys_is_the_stable_one(keys: list[int]) -> None:
    assert order_by_key(np.array(keys, np.uint64)).tolist() == sorted(range(len(keys)), key=keys.__getitem__)


def test_hashes_need_few_moves_and_crowded_keys_are_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """The result is the same either way; only the time differs."""
    given_up: list[int] = []
    argsort = np.argsort

    def sort_instead(keys: U64, kind: str) -> object:
        given_up.append(len(keys))
        return argsort(keys, kind=kind)

    monkeypatch.setattr(order.np, "argsort", sort_instead)
    order_by_key(keys_of("hashes", 50_000, 1))
    order_by_key(keys_of("repeated", 50_000, 2))
    assert not given_up
    order_by_key(keys_of("crowded", 50_000, 3))
    assert given_up == [50_000]


@given(
    keys=st.lists(st.integers(0, LARGEST) | st.integers(0, 9), max_size=60), count=st.sampled_from([1, 3, 16, 65_536])
)
def test_partitions_keep_the_order_of_their_keys(keys: list[int], count: int) -> None:
    found, edges = spread(np.array(keys, np.uint64), count)
    assert found.tolist() == sorted(range(len(keys)), key=lambda place: keys[place] % count)
    sizes = Counter(key % count for key in keys)
    assert [end - start for start, end in itertools.pairwise(edges)] == [sizes[number] for number in range(count)]
