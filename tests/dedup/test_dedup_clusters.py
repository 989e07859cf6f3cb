"""Tables of clusters against plain Python, in slices of any size."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.columns import pack
from dclm.dedup.groups import clusters
from dclm.dedup.groups.clusters import Clusters

KEPT = st.lists(st.none() | st.integers(0, 30), max_size=30).map(
    lambda wanted: _kept([None if w is None or w >= i else w for i, w in enumerate(wanted)])
)


def _kept(wanted: list[int | None]) -> list[int]:
    """Each is kept itself, or belongs to the same kept one as an earlier document."""
    kept: list[int] = []
    for i, other in enumerate(wanted):
        kept.append(i if other is None else kept[other])
    return kept


@given(KEPT, st.integers(1, 7))
def test_members_and_edges_are_those_of_clusters_of_two_or_more(kept: list[int], rows: int) -> None:
    place = np.arange(len(kept))
    found = Clusters(pack(place // 3, place % 3), np.array(kept, np.int64), np.linspace(0, 1, len(kept)))
    stays = [k for k in sorted(set(kept)) if kept.count(k) > 1]
    inside = [(number, i) for number, k in enumerate(stays) for i in range(len(kept)) if kept[i] == k]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(clusters, "ROWS", rows)
        members, edges = (pa.concat_tables(make()).to_pylist() for make in (found.members, found.edges))
    assert members == [{"cluster": n, "shard": i // 3, "row": i % 3, "kept": kept[i] == i} for n, i in inside]
    assert [(e["cluster"], e["shard"], e["row"]) for e in edges] == [
        (n, i // 3, i % 3) for n, i in inside if kept[i] != i
    ]
    assert [(e["kept_shard"] * 3 + e["kept_row"], e["jaccard"]) for e in edges] == [
        (kept[i], np.linspace(0, 1, len(kept))[i]) for _, i in inside if kept[i] != i
    ]
    assert found.drops().num_rows == len(edges)
    assert found.counts() == {
        "clusters": len(stays), "duplicates": len(edges),
        "largest_cluster": max((kept.count(k) for k in stays), default=0),
    }  # fmt: skip
