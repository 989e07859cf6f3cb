"""MinHash decides the same in partitions as in one process, and by signatures as plain Python does."""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path

import pyarrow as pa
import pytest
from dedup_documents import Shards, make_shards, replaced, table
from hypothesis import given, settings
from hypothesis import strategies as st
from index_in_process import against, keep_index
from test_dedup_keep import ROWS, Row, documents, fields, text_of

from dclm.curate.global_step import Decision
from dclm.dedup.groups import clusters
from dclm.dedup.keep import Keep
from dclm.dedup.minhash import groups, verify
from dclm.dedup.minhash.exchange import to_lean
from dclm.dedup.minhash.step import MinHash
from dclm.dedup.serial import decide

STEPS = {
    "linked": MinHash(bands=3, rows=2, ngram=2),
    "verified": MinHash(bands=12, rows=1, ngram=1, verify=0.6, pairs_from=0.3),
    "contained": MinHash(bands=12, rows=1, ngram=1, verify=0.7, measure="containment"),
    "signatures": MinHash(bands=12, rows=1, ngram=1, verify=0.5, verify_by="signatures", pairs_from=0.3),
}
KEEPS: tuple[Keep, ...] = ("first", "newest", "longest", "highest", "preferred", "smallest_hash")


def varied(rows: list[Row], shards: int) -> Shards:
    """Documents of which some share only a part of their words."""
    made = documents(rows, shards)
    at = 0
    for batches in made:
        for place, batch in enumerate(batches):
            part = rows[at : at + batch.num_rows]
            at += batch.num_rows
            texts = [f"{text_of(row)} {' '.join(f'p{k}' for k in range(4 * row.padding))}" for row in part]
            batches[place] = batch.set_column(
                batch.schema.get_field_index("text"), "text", pa.array(texts, pa.string())
            )
    return made


def same(one: Decision, many: Decision) -> bool:
    columns = [pa.concat_tables(d.columns) if d.columns else None for d in (one, many)]
    order = [("shard", "ascending"), ("row", "ascending")]
    left, right = (c if c is None else c.sort_by(order) for c in columns)
    return (
        one.all_drops().equals(many.all_drops())
        and one.info == many.info
        and {n: table(one, n) for n in one.tables} == {n: table(many, n) for n in many.tables}
        and left == right
    )


@pytest.mark.parametrize("name", STEPS)
@settings(max_examples=15, deadline=None)
@given(ROWS, ROWS, st.sampled_from(KEEPS), st.booleans(), st.integers(1, 3))
def test_partitions_decide_what_one_process_decides(
    name: str, a: list[Row], b: list[Row], keep: Keep, indexed: bool, shards: int
) -> None:
    more = fields(keep)
    step = dataclasses.replace(STEPS[name], carry=("size", "dates"), **more)  # type: ignore[arg-type]
    made = varied(b, shards)
    with tempfile.TemporaryDirectory() as folder:
        if indexed:
            known = against(step, keep_index(step, varied(a, 1), Path(folder, "a")))
            assert isinstance(known, MinHash)
            step = known
        one = decide(step, made)
        assert same(one, decide(dataclasses.replace(step, links_in_memory=0), made))


def test_long_tables_have_the_same_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (clusters, groups, verify):
        monkeypatch.setattr(module, "ROWS", 5)
    made = make_shards([f"{text_of(Row(i % 9, 0, None, '', None))} {'more ' * (i % 4)}" for i in range(60)])
    for name in ("linked", "verified"):
        one, many = decide(STEPS[name], made), decide(dataclasses.replace(STEPS[name], links_in_memory=0), made)
        for table_name in one.tables:
            parts = [[p.num_rows for p in d.tables[table_name]] for d in (one, many)]
            assert parts[0] == parts[1], table_name
            assert len(parts[0]) > 5


WORDS = st.lists(st.sampled_from(["red", "green", "blue", "old", "new"]), max_size=6).map(" ".join)


@settings(max_examples=60, deadline=None)
@given(st.lists(WORDS, max_size=9), st.sampled_from([0.3, 0.5, 0.75, 1.0]), st.sampled_from([32, 64]))
def test_signatures_verify_as_plain_python_does(texts: list[str], threshold: float, bits: int) -> None:
    """With one row per band, whatever reaches the threshold shares a band."""
    step = MinHash(bands=16, rows=1, ngram=1, bits=bits, verify=threshold, verify_by="signatures")  # type: ignore[arg-type]
    signed = [lean.hashvalues.tolist() for lean in to_lean(step, texts)]
    kept: list[int] = []
    similar: dict[int, set[tuple[int, float]]] = {}
    for i, text in enumerate(texts):
        shares = {k: sum(x == y for x, y in zip(signed[i], signed[k], strict=True)) / 16 for k in kept}
        near = {(k, share) for k, share in shares.items() if share >= threshold and text.split()}
        if near:
            similar[i] = near
        elif text.split():
            kept.append(i)
    shards = make_shards(texts, 2)
    decision = decide(step, shards)
    drops = replaced(decision, shards)
    assert drops.keys() == similar.keys()
    size = -(-max(len(texts), 1) // 2)
    near_of = {r["shard"] * size + r["row"]: r["similarity"] for r in decision.all_drops().to_pylist()}
    assert all((drops[i], near_of[i]) in similar[i] for i in drops)
