"""Counts by key are exact while they fit, and beyond that within the stated bound."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.documents.artifact import KEPT, Rows
from dclm.report.groups import Groups, top


def rows(steps: list[int]) -> Rows:
    step = np.array(steps, np.int32)
    return Rows(pa.RecordBatch.from_pydict({}), step, np.zeros(len(step), np.bool_))


KEYS = st.lists(st.tuples(st.integers(0, 30), st.booleans()), max_size=300)


@settings(deadline=None)
@given(KEYS, st.integers(1, 40), st.integers(2, 12))
def test_counts_are_exact_or_short_by_at_most_what_is_stated(
    records: list[tuple[int, bool]], batch: int, capacity: int
) -> None:
    groups = Groups(capacity)
    for at in range(0, len(records), batch):
        part = records[at : at + batch]
        groups.add(pa.array([f"k{key}" for key, _ in part], pa.string()), rows([KEPT if k else 0 for _, k in part]))
    true = Counter(f"k{key}" for key, _ in records)
    found = {g.key: g for g in top(groups.table(), "read", 100)}
    assert all(true[key] - groups.undercount <= group.read <= true[key] for key, group in found.items())
    assert all(key in found for key, count in true.items() if count > groups.undercount)
    if len(true) <= capacity:
        assert groups.undercount == 0
        kept = Counter(f"k{key}" for key, keep in records if keep)
        assert all(found[key].kept == kept[key] for key in true)


def test_ties_are_in_the_order_of_their_names() -> None:
    groups = Groups()
    groups.add(pa.array(["b", "a", None, "c", "a", "b"]), rows([KEPT, 0, 0, 0, KEPT, 0]))
    assert [g.key for g in top(groups.table(), "read", 2)] == ["a", "b"]
    assert [(g.key, g.lost) for g in top(groups.table(), "lost", 9)] == [("a", 1), ("b", 1), ("c", 1)]
    assert [g.key for g in top(groups.table(), "kept", 9)] == ["a", "b"]
