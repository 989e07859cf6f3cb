"""Keys in bounded pieces: nothing is lost, nothing that belongs together is separated, and the decision is the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.curate.exchange import routing
from dclm.curate.exchange.pieces import pieces
from dclm.curate.output.files import Mapped, map_tables, partitioned, read_table, write_tables
from dclm.dedup.minhash.step import MinHash

PARTS = st.lists(st.lists(st.integers(0, 30) | st.integers(0, 2**64 - 1), max_size=40), min_size=1, max_size=5)


def make_part(keys: list[int], shard: int) -> pa.Table:
    batch = {"key": pa.array(keys, pa.uint64()), "row": pa.array(range(len(keys)), pa.int64())}
    return partitioned([pa.RecordBatch.from_pydict(batch)], shard, 1)[0]


def in_memory(tables: list[pa.Table]) -> list[Mapped]:
    return [Mapped([table], pa.py_buffer(b"")) for table in tables]


@settings(deadline=None)
@given(PARTS, st.integers(1, 3000))
def test_pieces_are_the_sorted_rows_cut_between_keys(parts: list[list[int]], piece_bytes: int) -> None:
    tables = [make_part(keys, shard) for shard, keys in enumerate(parts)]
    found = list(pieces(in_memory(tables), piece_bytes))
    order = [("key", "ascending"), ("shard", "ascending"), ("row", "ascending")]
    assert pa.concat_tables(found).combine_chunks() == pa.concat_tables(tables).sort_by(order).combine_chunks()
    keys = [set(piece["key"].to_pylist()) for piece in found]
    assert sum(map(len, keys)) == len(set().union(*keys))


def test_pieces_are_about_as_large_as_wanted() -> None:
    draw = np.random.default_rng(0)
    tables = [make_part(draw.integers(0, 2**63, size).tolist(), s) for s, size in enumerate((5_000, 3, 0, 20_000))]
    wanted = sum(t.nbytes for t in tables) // 10
    found = [piece.nbytes for piece in pieces(in_memory(tables), wanted)]
    assert len(found) in (10, 11)
    assert max(found) < 1.3 * wanted


def resident(path: Path) -> int:
    """Kilobytes of the mappings of a file that are in this process's memory."""
    entries = Path("/proc/self/smaps").read_text().split(str(path))[1:]
    return sum(int(entry.partition("\nRss:")[2].split()[0]) for entry in entries)


def test_pieces_of_mapped_files_leave_no_page_behind(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    tables = [make_part(draw.integers(0, 2**63, 40_000).tolist(), shard) for shard in range(3)]
    paths = [tmp_path / f"{shard}.arrow" for shard in range(3)]
    for path, table in zip(paths, tables, strict=True):
        write_tables(path, [table.slice(0, 1), table, table.slice(0, 1)])
    mapped = [map_tables(path, slice(1, 2)) for path in paths]
    wanted = tables[0].nbytes // 2
    assert pa.concat_tables(pieces(mapped, wanted)).equals(pa.concat_tables(pieces(in_memory(tables), wanted)))
    assert [resident(path) for path in paths] == [0, 0, 0]
    assert [part.tables[0] for part in mapped] == tables
    assert min(resident(path) for path in paths) > tables[0].nbytes // 1024


def test_rows_of_a_shard_are_sorted_whatever_order_they_came_in() -> None:
    batch = {"key": pa.array([5, 2, 5, 3], pa.uint64()), "row": pa.array([9, 1, 0, 4], pa.int64())}
    odd_even = partitioned([pa.RecordBatch.from_pydict(batch)], 7, 2)
    assert [part["row"].to_pylist() for part in odd_even] == [[1], [4, 0, 9]]
    assert odd_even[0]["shard"].to_pylist() == [7]


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 9) | st.integers(0, 2**64 - 1), st.integers(0, 20)), min_size=1, max_size=60
    ),
    in_order=st.booleans(),
    count=st.sampled_from([1, 3, 16]),
)
def test_keys_are_sorted_in_their_partitions(rows: list[tuple[int, int]], in_order: bool, count: int) -> None:
    if in_order:
        rows.sort(key=lambda row: row[1])
    batches = [
        pa.RecordBatch.from_pydict({"key": pa.array([key], pa.uint64()), "row": pa.array([row], pa.int64())})
        for key, row in rows
    ]
    for number, part in enumerate(partitioned(batches, 7, count)):
        found = list(zip(part["key"].to_pylist(), part["row"].to_pylist(), strict=True))
        assert found == sorted(row for row in rows if row[0] % count == number)


@pytest.mark.parametrize("cap", [None, 3])
def test_a_decision_does_not_change_with_pieces_unless_a_cap_makes_order_count(cap: int | None) -> None:
    draw = np.random.default_rng(1)
    step = MinHash(max_cluster=cap)
    parts = []
    for shard in range(3):
        keys, rows = draw.integers(0, 60, 100).astype(np.uint64), np.arange(100)
        batch = {"key": keys, "row": rows, "whole": rows.astype(np.uint64)}
        parts.append(partitioned([pa.RecordBatch.from_pydict(batch)], shard, 1)[0])
    decisions = [
        step.decide([step.reduce(p) for p in pieces(in_memory(parts), size)]) for size in (1 << 30, 2000, 2000, 1)
    ]
    assert decisions[1].drops.equals(decisions[2].drops)
    if cap is None:
        assert decisions[0].drops.num_rows > 100
        for other in decisions[1:]:
            assert other.drops.equals(decisions[0].drops)
            assert all(
                a.equals(b) for a, b in zip(other.tables["clusters"], decisions[0].tables["clusters"], strict=True)
            )
    else:
        assert all(d.info["largest_cluster"] == cap for d in decisions)


@given(
    rows=st.lists(st.tuples(st.integers(0, 9), st.integers(0, 50), st.integers(0, 9)), max_size=80),
    flush=st.integers(1, 500),
)
@settings(max_examples=30, deadline=None)
def test_every_shard_is_handed_its_rows_in_order(
    rows: list[tuple[int, int, int]], flush: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("blocks")
    schema = pa.schema([("shard", pa.int32()), ("row", pa.int64()), ("start", pa.int64())])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(routing, "_SHARDS", 3)
        patch.setattr(routing, "KEY_BYTES", flush)
        with routing.BlockWriter(folder / "drops", 10) as writer:
            for first in range(0, len(rows) + 1, 7):
                part = rows[first : first + 7]
                columns = [[row[i] for row in part] for i in range(3)]
                writer.write(pa.table(columns, schema=schema))
        units = routing.blocks(str(folder / "out"), "f", 10, {"drops.arrow": str(folder / "drops")})
        assert [list(unit.shards) for unit in units] == [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9]]
        for unit in units:
            routing.run_block(unit)
            for place, shard in enumerate(unit.shards):
                found = read_table(f"{unit.directory}/drops.arrow", place).to_pylist()
                expected = [{"shard": s, "row": r, "start": x} for s, r, x in rows if s == shard]
                assert sorted(map(str, found)) == sorted(map(str, expected))
                assert [row["row"] for row in found] == sorted(row["row"] for row in expected)
