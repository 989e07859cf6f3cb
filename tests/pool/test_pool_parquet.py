"""Parquet: data sets of the Hub, an artifact's documents, wrong columns, broken files."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pool_archives import put, read_all

from dclm.core.errors import DataError
from dclm.documents.schema import DOCUMENT
from dclm.pool.files import InputFile, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.rows import identifier


def write(path: Path, table: pa.Table, **options: object) -> InputFile:
    path.parent.mkdir(exist_ok=True)
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
    file = write(tmp_path / "documents" / "a.parquet", table)
    foreign, _ = read_all(file)
    assert foreign.schema.names == [*DOCUMENT.names, "_reject", "_row"]  # the columns alone do not make an artifact
    assert foreign["source"].to_pylist() == ["a.parquet#0", "a.parquet#1"]
    (tmp_path / "record.json").write_text('{"kind": "documents"}')
    assert list_files([str(tmp_path)]) == list_files([file.path]) == list_files([str(tmp_path / "documents")])
    found, _ = read_all(list_files([file.path])[0])
    assert found.schema.names == [*DOCUMENT.names, "score", "_reject", "_row"]
    assert found.select(["id", "source", "score"]).to_pydict() == {
        "id": ["x", "y"], "source": ["w.warc#0", "w.warc#9"], "score": [0.1, 0.2],
    }  # fmt: skip


def test_text_that_is_not_utf8_is_a_reject(tmp_path: Path) -> None:
    table = pa.table({"text": pa.array([b"ok", b"\xff\xfe", "é".encode()], pa.binary())})
    found, _ = read_all(write(tmp_path / "a.parquet", table))
    assert found["text"].to_pylist() == ["ok", None, "é"]
    assert found["_reject"].to_pylist() == [None, "`text` is not UTF-8", None]


def test_text_may_stand_in_a_dictionary_or_be_missing_altogether(tmp_path: Path) -> None:
    texts = pa.array(["a", None, "a", "b"])
    table = pa.table({"text": texts.dictionary_encode(), "url": pa.array(["u", None, "u", ""]).dictionary_encode()})
    found, tally = read_all(write(tmp_path / "a.parquet", table))
    assert found["text"].to_pylist() == texts.to_pylist()
    assert found["url"].to_pylist() == ["u", None, "u", None]
    assert tally.damage == []
    found, _ = read_all(write(tmp_path / "none.parquet", pa.table({"text": pa.nulls(2)})))
    assert found["_reject"].to_pylist() == ["`text` is null"] * 2


def test_a_text_longer_than_the_limit_is_a_reject(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.pool.texts.parquet.MAX_PAGE_BYTES", 1000)
    found, _ = read_all(write(tmp_path / "a.parquet", pa.table({"text": ["x" * 1001, "y" * 1000, None]})))
    assert found["text"].to_pylist() == [None, "y" * 1000, None]
    assert found["_reject"].to_pylist() == ["longer than 1000 bytes", None, "`text` is null"]


def test_an_endless_url_is_a_reject_that_keeps_the_other_fields(tmp_path: Path) -> None:
    table = pa.table({"text": ["x", "y"], "url": ["u" * 65_537, "u" * 65_536], "id": ["i", "j"]})
    found, _ = read_all(write(tmp_path / "a.parquet", table))
    assert found["url"].to_pylist() == [None, "u" * 65_536]
    assert found["id"].to_pylist() == ["i", "j"]
    assert found["_reject"].to_pylist() == ["its id, URL or date is longer than 65536 bytes", None]


@pytest.mark.parametrize(
    ("values", "wanted"),
    [
        (pa.array([b"\xff", b"ok"]), ["\ufffd", "ok"]),
        (pa.array([b"\xff" * 4, b"okok"], pa.binary(4)), ["\ufffd" * 4, "okok"]),
        (pa.array([UUID(int=1).bytes, b"a" * 16], pa.uuid()), [str(UUID(int=1)), str(UUID(bytes=b"a" * 16))]),
        (pa.array([7, 8]), ["7", "8"]),
        (pa.array([["a"], ["b"]]), [identifier("a.parquet#0"), identifier("a.parquet#1")]),
        (pa.array(["", "x"]), [identifier("a.parquet#0"), "x"]),
    ],
    ids=lambda value: str(value.type) if isinstance(value, pa.Array) else "",
)
def test_ids_of_any_type_cost_no_row(tmp_path: Path, values: pa.Array, wanted: list[str]) -> None:
    found, tally = read_all(write(tmp_path / "a.parquet", pa.table({"text": ["a", "b"], "id": values, "url": values})))
    assert found["id"].to_pylist() == wanted
    assert found["_reject"].to_pylist() == [None, None]
    assert tally.damage == []


@pytest.mark.parametrize("column", [{"words": ["a"]}, {"text": [1]}, {"text": [["a"]]}])
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


def test_batches_of_text_alone_are_large_where_a_dictionary_makes_small_ones(tmp_path: Path) -> None:
    texts = [f"{n} " * 400 for n in range(5000)]
    file = write(tmp_path / "a.parquet", pa.table({"text": texts, "id": list(map(str, range(5000)))}))
    whole = list(read_file(file, Tally()))
    alone = list(read_file(file, Tally(), only_text=True))
    assert max(b.num_rows for b in whole) < 512  # the dictionary's page has 1 MB
    assert [t for b in alone for t in b.column("text").to_pylist()] == texts
    assert [r for b in alone for r in b.column("_row").to_pylist()] == list(range(5000))
    assert all(512 < b.num_rows <= 1024 for b in alone[:-1])
    small = [b.column("text").nbytes for b in read_file(file, Tally(), batch_bytes=200_000, only_text=True)]
    assert max(small) < 210_000


def test_joined_batches_end_before_a_broken_page(tmp_path: Path) -> None:
    texts = [f"{n} " * 400 for n in range(3000)]
    file = write(tmp_path / "a.parquet", pa.table({"text": texts}), compression="none")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    page = bytes(data).rindex(b"2500 " * 400)
    data[page - 8 : page] = b"\xff" * 8  # a length in the last page
    put(tmp_path / "a.parquet", bytes(data))
    tally = Tally()
    found = [t for b in read_file(file, tally, only_text=True) for t in b.column("text").to_pylist()]
    assert 1000 < len(found) < 2500
    assert found == texts[: len(found)]
    assert tally.damage[0].startswith(f"row group 0 cannot be read from row {len(found)} on: ")


def test_a_broken_or_empty_file_is_damage(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {n} " * 50 for n in range(3000)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=1000, use_dictionary=False, compression="zstd")
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    _, tally = read_all(put(tmp_path / "cut.parquet", bytes(data[: len(data) // 2])))
    assert tally.damage[0].startswith("not a Parquet file")
    middle = len(data) // 2
    data[middle : middle + 100] = b"\xff" * 100
    tally = Tally()
    found = pa.Table.from_batches(read_file(put(tmp_path / "broken.parquet", bytes(data)), tally))
    texts = table["text"].to_pylist()
    assert found["source"].to_pylist()[-1000:] == [f"broken.parquet#{row}" for row in range(2000, 3000)]
    assert found["text"].to_pylist()[:1000] == texts[:1000]
    assert found["text"].to_pylist()[-1000:] == texts[-1000:]
    assert len(tally.damage) == 1
    assert tally.damage[0].startswith("row group 1 cannot be read from row 1")
    _, tally = read_all(put(tmp_path / "empty.parquet", b""))
    assert tally.damage[-1] == "contains no records"
