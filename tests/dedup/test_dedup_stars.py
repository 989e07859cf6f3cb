"""Components found in rounds over partitions are those found on one worker."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.stages.journal import Outcome
from dclm.curate.exchange.iterate import IterationUnit, StoredTables, iterate
from dclm.curate.global_step import Decision, IterativeReduce
from dclm.curate.output.files import write_tables
from dclm.dedup.groups.components import Links, components
from dclm.dedup.groups.stars import edges_of, large_star, small_star
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import iterated


def stars(source: Iterable[pa.Table]) -> IterativeReduce:
    return IterativeReduce(
        source=source, start=edges_of, steps=(large_star, small_star), finish=lambda rows: Decision(drops=pa.table({}))
    )


EDGES = st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30)).filter(lambda e: e[0] != e[1]), max_size=60)


def table_of(edges: np.ndarray) -> pa.Table:
    ends = np.sort(edges.reshape(-1, 2).astype(np.int64), axis=1)
    return pa.table({"first": ends[:, 0], "second": ends[:, 1]})


def assert_same(edges: np.ndarray, tables: list[pa.Table]) -> None:
    links = table_of(edges)
    one = components([Links(links["first"].to_numpy(), links["second"].to_numpy())])
    rows = pa.concat_tables([pa.table({"key": pa.array([], pa.uint64()), "other": pa.array([], pa.int64())}), *tables])
    key, other = rows["key"].to_numpy().astype(np.int64), rows["other"].to_numpy()
    leaf = other < key
    order = np.argsort(key[leaf])
    linked = one.root != np.arange(len(one.root))
    assert np.array_equal(key[leaf][order], one.documents[linked])
    assert np.array_equal(other[leaf][order], one.documents[one.root[linked]])


@given(EDGES)
def test_stars_are_the_components(edges: list[tuple[int, int]]) -> None:
    array = np.array(edges, np.int64).reshape(-1, 2)
    assert_same(array, iterated(stars([table_of(array[::2]), table_of(array[1::2])])))


@pytest.mark.parametrize("shape", ["chain", "shuffled chain", "star", "trees"])
def test_through_files_of_many_partitions(tmp_path: Path, shape: str) -> None:
    count, draw = 5_000, np.random.default_rng(0)
    chain = np.stack([np.arange(count - 1), np.arange(1, count)], axis=1)
    edges = {
        "chain": chain,
        "shuffled chain": draw.permutation(count)[chain],
        "star": np.stack([np.full(count, count // 2), np.arange(count)], axis=1)[draw.permutation(count)],
        "trees": np.stack([np.arange(40, count), draw.integers(0, np.arange(40, count))], axis=1),
    }[shape]
    edges = edges[edges[:, 0] != edges[:, 1]] + (1 << 40)
    reduced = []
    for part in range(4):
        reduced.append(str(tmp_path / f"reduced-{part}.arrow"))
        write_tables(Path(reduced[-1]), [table_of(edges[part::8]), table_of(edges[part + 4 :: 8])])
    rounds: list[str] = []

    def run(label: str, function: object, units: list[IterationUnit]) -> list[Outcome]:
        rounds.append(label)
        return [pickle.loads(pickle.dumps(function))(unit) for unit in units]

    assert_same(edges, list(iterate(stars(StoredTables(reduced)), str(tmp_path), "print", run)))  # type: ignore[arg-type]
    assert len(rounds) <= 3 * np.log2(count)
    assert not list(tmp_path.glob("iteration-*/*/rows.arrow"))
    left = {path.parent.parent.name for path in tmp_path.glob("iteration-*/*/reduced.arrow")}
    assert left == {f"iteration-{len(rounds) - 1:03d}"}


@pytest.mark.parametrize("verify", [None, 0.7])
def test_minhash_decides_the_same_whichever_way_links_are_joined(verify: float | None) -> None:
    from dedup_documents import make_shards, table
    from test_dedup_minhash import change, make_text

    from dclm.dedup.serial import decide

    documents = make_shards([change(make_text(i % 30), i, i % 6) for i in range(200)])
    step = MinHash(bands=20, rows=4, verify=verify)
    one, many = decide(step, documents), decide(dataclasses.replace(step, links_in_memory=1), documents)
    assert one.drops.num_rows > 20
    assert one.drops.equals(many.all_drops())
    assert one.info == many.info
    assert all(table(one, name).equals(table(many, name)) for name in one.tables)
