"""Texts are read from every supported source; broken parts are named."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError, DataError, IncompleteError
from dclm.core.record import Record, describe_files, write_record
from dclm.documents.schema import DOCUMENT
from dclm.pool.read import Tally, read_file
from dclm.pool.spec import PoolMap, resolve_pool
from dclm.tokens.documents import Column, InputText, files_of_texts, find_documents, read_documents, read_texts

TEXTS = [f"text {i} é" for i in range(3000)]
LINES = "".join(json.dumps({"text": t}) + "\n" for t in TEXTS).encode()


def write_artifact(root: Path, missing: tuple[str, ...] = ()) -> Path:
    (root / "documents").mkdir(parents=True)
    (root / "ledger").mkdir()
    for index in range(2):
        rows = [{"id": str(i), "source": "x", "text": t} for i, t in enumerate(TEXTS[index::2])]
        pq.write_table(pa.Table.from_pylist(rows, DOCUMENT), root / "documents" / f"{index:05d}.parquet")
        pq.write_table(pa.table({"text": ["not a document"]}), root / "ledger" / f"{index:05d}.parquet")
    record = Record(
        kind="documents", name="x", fingerprint="f00", config={}, files=describe_files(root), missing=missing
    )
    write_record(root, record)
    return root


def found(path: Path) -> InputText:
    (file,) = find_documents(path).files
    return file


def all_texts(path: Path) -> list[str]:
    return [t for file in find_documents(path).files for batch in read_texts(file) for t in batch]


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.ndjson.zstd", "a.json.gz", "a.parquet"])
def test_all_forms_hold_the_same_texts(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("gz"):
        path.write_bytes(gzip.compress(LINES[:1000]) + gzip.compress(LINES[1000:]))  # members, as pigz writes
    elif name.endswith(("zst", "zstd")):
        frames = [zstandard.ZstdCompressor().compress(part) for part in (LINES[:1000], LINES[1000:])]
        path.write_bytes(b"".join(frames))
    elif name.endswith("parquet"):
        pq.write_table(pa.table({"text": TEXTS, "other": [1] * len(TEXTS)}), path)
    else:
        path.write_bytes(LINES)
    assert all_texts(path) == TEXTS
    assert all_texts(tmp_path) == TEXTS


def test_an_artifact_gives_its_documents_in_order(tmp_path: Path) -> None:
    source = find_documents(write_artifact(tmp_path / "a"))
    assert source.fingerprint == "f00"
    assert all_texts(tmp_path / "a") == TEXTS[0::2] + TEXTS[1::2]


def test_an_artifact_that_lacks_parts_is_refused_unless_allowed(tmp_path: Path) -> None:
    root = write_artifact(tmp_path / "a", missing=("x.warc.gz",))
    with pytest.raises(IncompleteError):
        find_documents(root)
    assert len(find_documents(root, allow_missing=True).files) == 2


def test_another_kind_of_artifact_is_refused(tmp_path: Path) -> None:
    write_record(tmp_path, Record(kind="tokens", name="x", fingerprint="f", config={}))
    with pytest.raises(ConfigError, match="kind tokens, allowed: documents"):
        find_documents(tmp_path)


def test_changed_content_changes_the_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(LINES)
    one = find_documents(tmp_path).fingerprint
    (tmp_path / "a.jsonl").write_bytes(LINES[:-2] + b"}\n\n")
    assert find_documents(tmp_path).fingerprint != one


def test_portions_are_bounded(tmp_path: Path) -> None:
    huge = "x" * (17 << 20)
    texts = ["a", huge, "b", *["é" * 1000] * 2000, *[""] * 40_000]
    (tmp_path / "a.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in texts))
    portions = list(read_documents(found(tmp_path / "a.jsonl"), None))
    assert [t for p in portions for t in p.texts] == texts
    assert [list(p.sizes) for p in portions] == [[len(t.encode()) for t in p.texts] for p in portions]
    assert len(portions[0].texts) == 2  # a portion ends with the text that fills it
    assert all(0 < sum(p.sizes) < 1.01 * 2**20 for p in portions[1:4])
    assert all(0 < len(p.texts) <= 1 + 2**20 // 64 for p in portions)


def test_only_text_is_read_from_parquet(tmp_path: Path) -> None:
    """A URL that curation rejects does not matter, and kept values are read."""
    rows = {"url": ["u" * (1 << 17)], "text": ["a"], "id": ["x"], "metadata": ['{"WARC-Date": "2020"}'], "score": [0.5]}
    pq.write_table(pa.table(rows), tmp_path / "a.parquet")
    (portion,) = read_documents(found(tmp_path / "a.parquet"), Column("score", "number"))
    assert portion.texts == ["a"]
    assert portion.values == [0.5]
    file = found(tmp_path / "a.parquet").file
    assert file is not None
    (batch,) = read_file(file, Tally(), only_text=True)
    assert batch.schema.names == ["source", "text", "_reject", "_row"]


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b'{"text": "a"}\n{"text": 3}\n', "line 2"),
        (b'{"text": "a"}\n{"body": "b"}\n', "line 2"),
        (b'{"text": null}\n', "line 1"),
        (b'"just a string"\n', "line 1"),
        (b'{"text": "a"}\n\n{"text": "b"\n', "line 3"),
        (b'{"text": "\xff"}\n', "line 1"),
        (b'{"text": "\\ud800"}\n', "line 1"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, data: bytes, where: str) -> None:
    (tmp_path / "a.jsonl").write_bytes(data)
    with pytest.raises(DataError, match=rf"a\.jsonl.*{where}: "):
        list(read_texts(found(tmp_path / "a.jsonl")))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst", "a.parquet"])
def test_a_file_cut_short_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.table({"text": TEXTS}), path)
    else:
        path.write_bytes(gzip.compress(LINES) if name.endswith("gz") else zstandard.ZstdCompressor().compress(LINES))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=name):
        list(read_texts(found(path)))


def test_a_table_without_text_is_told(tmp_path: Path) -> None:
    pq.write_table(pa.table({"words": ["x"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="found the columns words"):
        list(read_texts(found(tmp_path / "a.parquet")))


def test_pages_are_no_texts(tmp_path: Path) -> None:
    (tmp_path / "a.warc.gz").write_bytes(b"")
    with pytest.raises(DataError, match="contains pages, not texts"):
        find_documents(tmp_path)


def test_a_document_without_text_is_named(tmp_path: Path) -> None:
    root = write_artifact(tmp_path / "a")
    pq.write_table(pa.table({"text": ["x", None]}), root / "documents" / "00000.parquet")
    (file, _) = (file._replace(sha256=None) for file in find_documents(root).files)
    with pytest.raises(DataError, match=r"00000\.parquet#1\nfound no text"):
        list(read_texts(file))


@pytest.mark.parametrize("path", ["nothing", "", "a.bin"])
def test_what_is_no_input_is_told(tmp_path: Path, path: str) -> None:
    (tmp_path / "a.bin").write_text("x")
    with pytest.raises(DataError, match=r"hint: pass a documents artifact"):
        find_documents(tmp_path / path)


def test_files_of_a_pool_are_read_by_the_names_that_it_gives(tmp_path: Path) -> None:
    """A recipe's held-out text may name its fields, as pools do."""
    (tmp_path / "a.jsonl").write_text('{"text": "a title", "body": "what it says"}\n', encoding="utf-8")
    spec = build(PoolMap, parse_yaml(json.dumps({"jsonl": str(tmp_path / "a.jsonl"), "text": "body"}), "r.yaml"))
    plain, named = (files_of_texts(resolve_pool(given, str(tmp_path)), "x") for given in (str(tmp_path), spec))
    assert [text for source in (plain, named) for texts in read_texts(source.files[0]) for text in texts] == [
        "a title",
        "what it says",
    ]
    assert plain.fingerprint != named.fingerprint
