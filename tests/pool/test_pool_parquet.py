"""Parquet: what the Hub publishes, an artifact's documents, wrong columns, broken files."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_archives import put, read_all

from dclm.errors import DataError
from dclm.pool.files import InputFile, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.rows import identifier
from dclm.schema import DOCUMENT


def write(path: Path, table: pa.Table, **options: object) -> InputFile:
    pq.write_table(table, path, **options)
    return list_files([str(path)])[0]


def test_published_columns_are_found_and_others_are_left_out(tmp_path: Path) -> None:
    metadata = [{"WARC-Record-ID": "<urn:uuid:12>", "WARC-Target-URI": "http://m/", "WARC-Date": "2020"}, None, None]
    table = pa.table(
        {
            "text": pa.array(["a", "b\0", None], pa.large_string()),
            "url": [None, "http://u/", None],
            "metadata": metadata,
            "language_id": [0.5, 0.6, 0.7],
        }
    )
    found, tally = read_all(write(tmp_path / "a.parquet", table))
    assert found.schema.names == [*DOCUMENT.names, "_reject", "_row"]
    assert found["id"].to_pylist() == ["12", identifier("a.parquet#1"), identifier("a.parquet#2")]
    assert found["url"].to_pylist() == ["http://m/", "http://u/", None]
    assert found["date"].to_pylist() == ["2020", None, None]
    assert found["text"].to_pylist() == ["a", "b\0", None]
    assert found["_reject"].to_pylist() == [None, None, "`text` is null"]
    assert tally.damage == []


def test_documents_of_an_artifact_keep_their_columns_but_for_scratch(tmp_path: Path) -> None:
    table = pa.table(
        {
            "id": ["x", "y"],
            "url": ["u", None],
            "date": pa.array([None, None], pa.string()),
            "source": ["w.warc#0", "w.warc#9"],
            "text": ["a", "b"],
            "score": [0.1, 0.2],
            "_scratch": [1, 2],
        }
    ).cast(pa.schema([*DOCUMENT, pa.field("score", pa.float64()), pa.field("_scratch", pa.int64())]))
    found, _ = read_all(write(tmp_path / "a.parquet", table))
    assert found.schema.names == [*DOCUMENT.names, "score", "_reject", "_row"]
    assert found.select(["id", "source", "score"]).to_pydict() == {
        "id": ["x", "y"], "source": ["w.warc#0", "w.warc#9"], "score": [0.1, 0.2],
    }  # fmt: skip


def test_text_that_is_not_utf8_is_a_reject(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([b"ok", b"\xff\xfe", "é".encode()], pa.binary())})
    found, _ = read_all(write(tmp_path / "a.parquet", table))
    assert found["text"].to_pylist() == ["ok", None, "é"]
    assert found["_reject"].to_pylist() == [None, "`text` is not UTF-8", None]


@pytest.mark.parametrize("column", [{"content": ["a"]}, {"text": [1]}, {"text": [["a"]]}])
def test_without_a_text_column_the_error_names_the_columns(tmp_path: Path, column: dict[str, object]) -> None:
    file = write(tmp_path / "a.parquet", pa.table({**column, "n": [1]}))
    with pytest.raises(DataError, match=rf"found the columns {next(iter(column))} .*n \(int64\).*needed: `text`"):
        list(read_file(file, Tally()))


def test_batches_are_bounded_whatever_the_row_groups(tmp_path: Path) -> None:
    texts = ["x" * 10_000] * 100 + ["y" * 200_000] + ["z"] * 100
    file = write(tmp_path / "a.parquet", pa.table({"text": texts}), use_dictionary=False, compression="none")
    sizes = [(b.num_rows, b.column("text").nbytes) for b in read_file(file, Tally(), batch_rows=64, batch_bytes=50_000)]
    assert sum(rows for rows, _ in sizes) == 201
    assert all(rows <= 64 and (size <= 60_000 or rows == 1) for rows, size in sizes)


def test_a_broken_or_empty_file_is_damage(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {n} " * 50 for n in range(3000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000, use_dictionary=False, compression="zstd")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    _, tally = read_all(put(tmp_path / "cut.parquet", bytes(data[: len(data) // 2])))
    assert tally.damage[0].startswith("not a Parquet file")
    middle = len(data) // 2
    data[middle : middle + 100] = b"\xff" * 100
    found, tally = read_all(put(tmp_path / "broken.parquet", bytes(data)))
    texts = table["text"].to_pylist()
    assert found["text"].to_pylist()[:1000] == texts[:1000]
    assert found["text"].to_pylist()[-1000:] == texts[-1000:]
    assert len(tally.damage) == 1
    assert tally.damage[0].startswith("row group 1 breaks off before row 1")
    _, tally = read_all(put(tmp_path / "empty.parquet", b""))
    assert tally.damage[-1] == "holds no records"
