"""Deduplication in one process: a reducer gets the same keys in whatever order they come."""

from __future__ import annotations

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.serial import partitions

ROWS = st.lists(
    st.tuples(st.integers(0, 40) | st.integers(0, 2**64 - 1), st.integers(0, 3), st.integers(0, 5)), max_size=60
)


def batch_of(rows: list[tuple[int, int, int]]) -> pa.RecordBatch:
    key, shard, row = zip(*rows, strict=True) if rows else ((), (), ())
    columns = {
        "key": pa.array(key, pa.uint64()),
        "shard": pa.array(shard, pa.int32()),
        "row": pa.array(row, pa.int64()),
    }
    return pa.RecordBatch.from_pydict(columns)


@given(rows=ROWS, in_order=st.booleans(), count=st.sampled_from([1, 3, 64]), each=st.sampled_from([1, 7, 100]))
def test_partitions_are_sorted_by_key_shard_and_row(
    rows: list[tuple[int, int, int]], in_order: bool, count: int, each: int
) -> None:
    """Rows of a run come in the order of shard and row, others in any; with `each` of them in a batch."""
    if in_order:
        rows.sort(key=lambda row: row[1:])
    batches = [batch_of(rows[start : start + each]) for start in range(0, max(1, len(rows)), each)]
    found = [part.to_pylist() for part in partitions(batches, count)]
    assert len(found) == count
    for number, part in enumerate(found):
        assert [(r["key"], r["shard"], r["row"]) for r in part] == sorted(r for r in rows if r[0] % count == number)
