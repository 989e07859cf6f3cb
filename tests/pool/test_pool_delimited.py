"""CSV and TSV as pools, and data sets of the Hub in its local cache."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pool_archives import read_all

from dclm.cli.main import main
from dclm.core.config import build, parse_yaml
from dclm.core.errors import DataError
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.spec import PoolMap, resolve_pool
from dclm.select.classifier.examples import read_examples
from dclm.select.classifier.spec import ClassifierSpec, TextSource


def rows(path: Path, **fields: object) -> list[dict[str, object]]:
    spec = build(PoolMap, parse_yaml(json.dumps({"csv": str(path), **fields}), "r.yaml"))
    (file,) = resolve_pool(spec, str(path.parent))
    table, tally = read_all(file)
    assert tally.damage == []
    found: list[dict[str, object]] = table.to_pylist()
    return found


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.tsv"])
def test_records_become_documents(tmp_path: Path, name: str) -> None:
    text = 'id,text,url\n7,"two\nlines, ""quoted""",http://a.example/\n\n8,plain,\n'
    text = text.replace(",", "\t").replace("lines\t", "lines,") if name.endswith("tsv") else text
    data = b"\xef\xbb\xbf" + text.encode()
    (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    first, second = rows(tmp_path / name)
    assert (first["id"], first["text"], first["url"]) == ("7", 'two\nlines, "quoted"', "http://a.example/")
    assert (first["source"], first["_row"], first["_reject"]) == (f"{name}#0", 0, None)
    assert (second["id"], second["text"], second["url"], second["source"]) == ("8", "plain", None, f"{name}#1")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_what_a_spreadsheet_saves_as_unicode_is_read(tmp_path: Path, encoding: str) -> None:
    """That is UTF-16 with a byte order mark; a broken end costs one character."""
    data = f"\ufefftext\turl\ngrüße 𝄞\thttp://a.example/\n{'x' * 400_000}\t\n".encode(encoding)
    (tmp_path / "a.tsv").write_bytes(data + b"z")
    first, second, last = rows(tmp_path / "a.tsv")
    assert (first["text"], first["url"]) == ("grüße 𝄞", "http://a.example/")
    assert second["text"] == "x" * 400_000
    assert last["_reject"] == "record 3: 1 values, but the header has 2"


def test_columns_are_mapped_and_kept(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("nr,body,link,stars,lang\n1,hello,http://b.example/,4.5,en\n2,x,,many,de\n")
    keep = {"stars": "number", "lang": "text"}
    first, second = rows(tmp_path / "a.csv", text="body", url="link", id="nr", keep=keep)
    assert (first["id"], first["text"], first["url"], first["stars"], first["lang"]) == (
        "1", "hello", "http://b.example/", 4.5, "en",
    )  # fmt: skip
    assert (second["stars"], second["lang"]) == (None, "de")


def test_what_is_no_document_is_a_reject_that_names_its_place(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('id,text\n1,ok\n2\n3,"a"b\n4,fine\n')
    found = rows(tmp_path / "a.csv")
    assert [row["_row"] for row in found] == [0, 1, 2, 3]
    assert [row["text"] for row in found if row["_reject"] is None] == ["ok", "fine"]
    assert found[1]["_reject"] == "record 2: 1 values, but the header has 2"
    assert str(found[2]["_reject"]).startswith("record 3: ")
    (tmp_path / "b.csv").write_text("id,body\n1,ok\n")
    assert rows(tmp_path / "b.csv")[0]["_reject"] == "record 1: no `text`"
    (tmp_path / "c.csv").write_text("id,text\n")
    assert rows(tmp_path / "c.csv") == []


@given(st.lists(st.tuples(st.text('ab,"\n\r\t é', min_size=1), st.text("xyz,'", min_size=1)), min_size=1, max_size=9))
def test_what_is_written_is_read_back(tmp_path_factory: pytest.TempPathFactory, values: list[tuple[str, str]]) -> None:
    import csv

    buffer = io.StringIO()
    csv.writer(buffer, quoting=csv.QUOTE_ALL).writerows([("text", "url"), *values])
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_bytes(buffer.getvalue().encode())
    assert [(row["text"], row["url"]) for row in rows(path)] == values


def test_a_pool_of_csv_is_curated(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_text("name: p\nsteps:\n  - page_length: {of: word, min: 2}\n")
    (tmp_path / "a.csv").write_text("text\none two\none\n")
    out = tmp_path / "out"
    main(["curate", str(tmp_path / "p.yaml"), "--pool", str(tmp_path / "a.csv"), "--out", str(out), "--workers", "1"])
    assert pq.read_table(out / "documents").column("text").to_pylist() == ["one two"]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the Hub with the data set `me/set`: links to blobs, as stored by the Hub's client."""
    constants = pytest.importorskip("huggingface_hub.constants")
    root = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(root))
    repository = root / "datasets--me--set"
    snapshot = repository / "snapshots" / ("a" * 40)
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("a" * 40)
    (repository / "blobs").mkdir()
    (snapshot / "data").mkdir(parents=True)
    pq.write_table(pa.table({"text": ["one", "two"]}), repository / "blobs" / "1")
    (snapshot / "data" / "train-00000.parquet").symlink_to(repository / "blobs" / "1")
    (repository / "blobs" / "2").write_text("# a card")
    (snapshot / "README.md").symlink_to(repository / "blobs" / "2")
    return root


@pytest.mark.parametrize("path", ["hf:me/set", "hf:me/set/data/*.parquet"])
def test_a_data_set_of_the_hub_is_a_pool(hub: Path, path: str) -> None:
    (file,) = list_files([path])
    texts = [t for batch in read_file(file, Tally()) for t in batch.column("text").to_pylist()]
    assert texts == ["one", "two"]
    assert file.name.endswith("train-00000.parquet")


def test_a_recipe_names_it_so_too(hub: Path, tmp_path: Path) -> None:
    from dclm.recipe.recipe import resolve_path

    assert resolve_path("hf:me/set", tmp_path) == "hf:me/set"
    spec = build(PoolMap, parse_yaml('{"parquet": "hf:me/set"}', "r.yaml"))
    assert [f.kind for f in resolve_pool(spec, str(tmp_path), lambda p: resolve_path(p, tmp_path))] == ["parquet"]


def test_nothing_is_downloaded_unasked(hub: Path) -> None:
    with pytest.raises(DataError, match=r"(?s)no such dataset in .*hf download me/other --repo-type data"):
        list_files(["hf:me/other"])


def test_classifiers_take_examples_from_csv_and_the_hub(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("id,text\n1,three\n2,four\n")
    spec = ClassifierSpec(
        positives=(TextSource(path="hf:me/set"),),
        negatives=(TextSource(path=str(tmp_path / "bad.csv")),),
        held_out_fraction=0.5,
    )
    train, held_out = read_examples(spec)
    assert {example.text.split()[-1] for example in (*train, *held_out)} == {"one", "two", "three", "four"}
