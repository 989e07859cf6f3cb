"""Connected components compared with a graph search."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.groups.clusters import Clusters
from dclm.dedup.groups.components import Links, components, rows_of_equal_keys, spanning_links

EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda e: e[0] != e[1]), max_size=40)


def make_links(edges: list[tuple[int, int]]) -> Links:
    ends = np.array([sorted(e) for e in edges], np.int64).reshape(-1, 2)
    return Links(ends[:, 0].copy(), ends[:, 1].copy())


def roots_by_search(edges: list[tuple[int, int]]) -> dict[int, int]:
    near: dict[int, set[int]] = {}
    for a, b in edges:
        near.setdefault(a, set()).add(b)
        near.setdefault(b, set()).add(a)
    root: dict[int, int] = {}
    for start in sorted(near):
        todo = [start]
        while todo:
            node = todo.pop()
            if node not in root:
                root[node] = start
                todo += near[node]
    return root


def as_dict(links: list[Links]) -> dict[int, int]:
    found = components(links)
    return dict(zip(found.documents.tolist(), found.documents[found.root].tolist(), strict=True))


@given(EDGES, st.integers(1, 4))
def test_each_document_finds_the_first_of_its_component(edges: list[tuple[int, int]], parts: int) -> None:
    expected = roots_by_search(edges)
    pieces = [make_links(edges[i::parts]) for i in range(parts)]
    assert as_dict(pieces) == expected
    assert as_dict([spanning_links(piece) for piece in pieces[::-1]]) == expected


@given(st.lists(st.integers(0, 8), max_size=40))
def test_links_join_what_has_the_same_key(keys: list[int]) -> None:
    order = sorted(range(len(keys)), key=lambda i: (keys[i], i))
    documents = np.array(order, np.int64)
    equal = rows_of_equal_keys(np.array([keys[i] for i in order], np.uint64), documents)
    first = {k: keys.index(k) for k in keys}
    assert dict(zip(documents[equal.second].tolist(), documents[equal.first].tolist(), strict=True)) == {
        i: first[k] for i, k in enumerate(keys) if first[k] != i
    }


def test_the_cap_stops_chains() -> None:
    chain = make_links([(i, i + 1) for i in range(10)])
    found = components([chain], cap=4)
    assert found.refused > 0
    assert np.bincount(found.root).max() <= 4
    assert len(np.unique(components([chain]).root)) == 1


def test_one_cluster_of_a_million_members() -> None:
    count = 1_000_000
    star = Links(*rows_of_equal_keys(np.full(count, 3, np.uint64), np.arange(count)))
    chain = Links(np.arange(count - 1), np.arange(1, count))
    for links in ([star], [chain], [star, chain]):
        found = components(links)
        assert len(found.root) == count
        assert not found.root.any()
    assert Clusters(found.documents, found.root).counts() == {
        "clusters": 1,
        "duplicates": count - 1,
        "largest_cluster": count,
    }


def test_no_links_make_no_components() -> None:
    assert as_dict([]) == {}
    assert as_dict([make_links([])]) == {}


def test_clusters_are_numbered_by_their_kept_documents() -> None:
    shard = 1 << 40
    found = Clusters(np.array([0, 1, 2, shard, shard + 5]), np.array([0, 1, 1, 0, 4]))
    (table,) = found.members()
    assert table.to_pylist() == [
        {"cluster": 0, "shard": 0, "row": 0, "kept": True},
        {"cluster": 0, "shard": 1, "row": 0, "kept": False},
        {"cluster": 1, "shard": 0, "row": 1, "kept": True},
        {"cluster": 1, "shard": 0, "row": 2, "kept": False},
    ]


@pytest.mark.parametrize("rows", [(1 << 40) - 1])
def test_documents_survive_packing(rows: int) -> None:
    from dclm.dedup.columns import pack, row_of, shard_of

    packed = pack(np.array([0, 8_000_000]), np.array([rows, rows]))
    assert shard_of(packed).tolist() == [0, 8_000_000]
    assert row_of(packed).tolist() == [rows, rows]
