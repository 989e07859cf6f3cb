"""Ledgers larger than memory: written and merged in pieces, they are the same as when made at once."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from engine_steps import Edit, MinLength, bound, write_pool
from hypothesis import given
from hypothesis import strategies as st

from dclm.cli.reference.files import schemas
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.output.tally import Ledger, merge_ledgers
from dclm.curate.stage import curate
from dclm.dedup.exact import Exact
from dclm.documents import ledger
from dclm.documents.ledger import LedgerWriter, merge
from dclm.filters.rules.words import WordCount
from dclm.pool.files import list_files


def part(rows: list[int], **annotations: pa.Array) -> pa.Table:
    names = [str(row) for row in rows]
    columns = {"id": names, "url": names, "source": names, "text": names, **annotations}
    batch = pa.RecordBatch.from_pydict({"_row": pa.array(rows, pa.int64()), **columns})
    parts = Ledger(0)
    parts.keep(batch)
    return parts.take()


def test_annotations_that_come_late_are_null_before(tmp_path: Path) -> None:
    tables = [part([0, 1]), part([2, 3], n=pa.array([1, 2])), part([4], n=pa.array([0.5]), s=pa.array(["x"]))]
    with LedgerWriter(tmp_path / "ledger.parquet") as writer:
        for table in tables:
            writer.write(table)
    assert pq.read_table(tmp_path / "ledger.parquet") == merge_ledgers(tables)
    assert list(tmp_path.iterdir()) == [tmp_path / "ledger.parquet"]


@given(owners=st.lists(st.integers(-1, 2), max_size=60), window=st.integers(4, 20))
def test_segments_are_merged_in_document_order(tmp_path_factory, owners: list[int], window: int) -> None:
    folder = tmp_path_factory.mktemp("ledgers")
    paths = [folder / f"{segment}.parquet" for segment in range(3)]
    for segment, path in enumerate(paths):
        with LedgerWriter(path) as writer:
            writer.write(part([row for row, owner in enumerate(owners) if owner == segment]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ledger, "_WINDOW_ROWS", window)
        assert merge([paths], folder / "all.parquet") == sum(owner >= 0 for owner in owners)
    found = pq.read_table(folder / "all.parquet")
    assert found["id"].to_pylist() == [str(row) for row, owner in enumerate(owners) if owner >= 0]
    assert "_row" not in found.column_names


def test_shards_are_merged_one_after_the_other_with_all_their_annotations(tmp_path: Path) -> None:
    paths = []
    for name, rows in (
        ("a", part([0, 2])),
        ("b", part([1], n=pa.array([7]))),
        ("c", part([0, 1], s=pa.array(["x", "y"]))),
    ):
        paths.append(tmp_path / name)
        with LedgerWriter(paths[-1]) as writer:
            writer.write(rows)
    rows = merge([paths[:2], paths[2:]], tmp_path / "all.parquet")
    found = pq.read_table(tmp_path / "all.parquet")
    assert rows == 5
    assert found["id"].to_pylist() == ["0", "1", "2", "0", "1"]
    assert found["n"].to_pylist() == [None, 7, None, None, None]
    assert found["s"].to_pylist() == [None, None, None, "x", "y"]


def test_a_run_that_spills_its_ledger_writes_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"word {n % 7} " * (n % 5) + "bad" * (n % 3) for n in range(3000)]
    pool = write_pool(tmp_path / "pool", [texts, texts[:10]])
    pipeline = bound(Edit(), MinLength(characters=8), Exact(), WordCount(column="n"))
    ledgers = []
    for name, limit in (("whole", 1 << 20), ("pieces", 0)):
        monkeypatch.setattr("dclm.curate.worker._LEDGER_BYTES", limit)
        curate(
            pipeline,
            list_files([str(pool)]),
            tmp_path / name,
            CurateOptions(unit_bytes=0, shard_bytes=0, max_reject_fraction=1.0),
            SerialEngine(),
        )
        ledgers.append([pq.read_table(path) for path in sorted((tmp_path / name / "ledger").iterdir())])
    assert ledgers[0] == ledgers[1]
    assert [table.num_rows for table in ledgers[0]] == [3000, 10]
    schema = json.loads(schemas()["ledger.schema.json"])
    rows = ledgers[0][0].to_pylist()
    assert {"kept", "dropped", "copied"} == {_fate(row) for row in rows}
    for row in rows:
        jsonschema.validate(row, schema)
    with pytest.raises(jsonschema.ValidationError, match="'id' is a required property"):
        jsonschema.validate({name: value for name, value in rows[0].items() if name != "id"}, schema)


def _fate(row: dict[str, object]) -> str:
    if row["step"] is None:
        return "kept"
    return "dropped" if row["kept_row"] is None else "copied"
