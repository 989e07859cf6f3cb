"""The files that paths refer to, their names and order."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
from pathlib import Path

import fsspec
import pytest
import zstandard
from fsspec import AbstractFileSystem
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.errors import DataError
from dclm.pool.files import InputFile, file_identity, kind_of, list_files
from dclm.pool.read import Tally, read_file


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def names(*paths: Path | str) -> list[str]:
    return [file.name for file in list_files([str(p) for p in paths])]


def test_a_directory_is_searched_and_what_is_no_pool_file_is_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.warc.gz", "a.jsonl.zst", "c.PARQUET", "README.md", "index.json", ".tmp-1/y.warc", "b/.z.warc")
    assert names(tmp_path) == ["a.jsonl.zst", "b/x.warc.gz", "c.PARQUET"]
    assert [f.kind for f in list_files([str(tmp_path)])] == ["jsonl", "warc", "parquet"]


@pytest.mark.parametrize("stem", ["jsonl", "ndjson", "jl", "json"])
@pytest.mark.parametrize("packed", ["", ".gz", ".bz2", ".xz", ".zst"])
def test_json_lines_are_read_under_every_usual_ending(tmp_path: Path, stem: str, packed: str) -> None:
    data = b'{"text": "one"}\n{"text": "two"}\n'
    pack = {"": bytes, ".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
    (tmp_path / f"a.{stem}{packed}").write_bytes(pack[packed](data))
    tally = Tally()
    (file,) = list_files([str(tmp_path)])
    assert [t for b in read_file(file, tally) for t in b.column("text").to_pylist()] == ["one", "two"]
    assert tally.damage == []


@pytest.mark.parametrize("cut", [3, 20])
@pytest.mark.parametrize("packed", [".gz", ".bz2", ".xz", ".zst"])
def test_packed_lines_that_break_off_are_damage(tmp_path: Path, packed: str, cut: int) -> None:
    data = json.dumps({"text": "one"}).encode() + b"\n" * 50
    pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstandard.compress}
    (tmp_path / f"a.jsonl{packed}").write_bytes(pack[packed](data)[:-cut])
    tally = Tally()
    list(read_file(list_files([str(tmp_path)])[0], tally))
    assert tally.damage[0].startswith(("truncated", "corrupt"))


@pytest.mark.parametrize(
    "data",
    [
        json.dumps([{"text": "one"}, {"text": "t[w],o", "metadata": {"a": [1, {}]}}]),
        json.dumps([{"text": "one"}, {"text": "t[w],o"}], indent=1),
        json.dumps({"text": "one"}, indent=2) + "\n" + json.dumps({"id": 3, "text": "t[w],o"}, indent=2),
        '{"text": "one"}\n{"text": "t[w],o"}',
    ],
)
def test_json_files_may_hold_an_array_or_objects_over_several_lines(tmp_path: Path, data: str) -> None:
    (tmp_path / "a.json").write_text(data)
    (file,) = list_files([str(tmp_path)])
    assert [t for b in read_file(file, Tally()) for t in b.column("text").to_pylist()] == ["one", "t[w],o"]


def test_what_a_directory_holds_besides_is_named(tmp_path: Path) -> None:
    touch(tmp_path, "a.jsonl", "b/notes.txt", "README.md", ".hidden.txt", "x.tar")
    (tmp_path / "index.json").write_text(json.dumps({"files": [{"text": "a"}], "count": 1}))
    files = list_files([str(tmp_path)])
    assert [f.name for f in files] == ["a.jsonl"]
    assert files.unread == ("README.md", "b/notes.txt", "index.json", "x.tar")


def test_a_file_that_several_ways_lead_to_is_read_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/x.jsonl", "b/y.jsonl")
    (tmp_path / "b" / "link.jsonl").symlink_to(tmp_path / "a" / "x.jsonl")
    found = names(tmp_path / "a", f"{tmp_path}/b/../a/x.jsonl", tmp_path / "b", f"{tmp_path}/a/./x.jsonl")
    assert found == ["x.jsonl", "y.jsonl"]


def test_a_link_to_nothing_is_an_error_of_three_lines(tmp_path: Path) -> None:
    touch(tmp_path, "a.jsonl")
    (tmp_path / "gone.jsonl").symlink_to(tmp_path / "nowhere.jsonl")
    for path in (tmp_path, tmp_path / "gone.jsonl", f"{tmp_path}/*.jsonl"):
        with pytest.raises(DataError) as caught:
            list_files([str(path)])
        assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.ndjson.zst", "a.warc", "a.warc.gz", "a.parquet", "b.parquet"]
)
def test_an_empty_part_is_no_damage(tmp_path: Path, name: str) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if name.endswith(".parquet"):
        pq.write_table(pa.table({"text": pa.array([], pa.string())} if name[0] == "a" else {}), tmp_path / name)
    else:
        pack = gzip.compress if name.endswith(".gz") else zstandard.compress if name.endswith(".zst") else bytes
        (tmp_path / name).write_bytes(pack(b""))
    tally = Tally()
    assert sum(b.num_rows for b in read_file(list_files([str(tmp_path)])[0], tally)) == 0
    assert tally.damage == []


@pytest.mark.shared
def test_the_directories_of_the_report_are_read(shared: Path) -> None:
    files = list_files([str(shared / "cases/13_mixed_directory/mixed")])
    assert [f.name for f in files] == ["a.jsonl", "b.json", "c.jsonl.bz2", "e.ndjson", "f.jl.gz"]
    assert files.unread == ("g.txt",)
    counts = []
    for file in list_files([str(shared / "cases/18_valid_but_odd")]):
        tally = Tally()
        counts.append(sum(b.num_rows for b in read_file(file, tally)))
        assert tally.damage == []
    assert counts == [1, 0, 0, 40, 1200]


def test_order_is_that_of_the_arguments_and_a_file_counts_once(tmp_path: Path) -> None:
    touch(tmp_path, "z.warc", "a/1.warc", "a/0.warc")
    assert names(tmp_path / "z.warc", tmp_path / "a", tmp_path / "a/1.warc") == ["z.warc", "0.warc", "1.warc"]
    assert names(str(tmp_path / "a/*.warc")) == ["0.warc", "1.warc"]
    assert names(str(tmp_path / "**/*.warc")) == ["a/0.warc", "a/1.warc", "z.warc"]


def test_names_that_collide_are_told_apart_by_as_little_as_needed(tmp_path: Path) -> None:
    touch(tmp_path, "p/one/x.warc", "q/one/x.warc", "q/two/x.warc", "y.warc")
    paths = [tmp_path / "p/one/x.warc", tmp_path / "q/one", tmp_path / "q/two/x.warc", tmp_path / "y.warc"]
    assert names(*paths) == ["p/one/x.warc", "q/one/x.warc", "two/x.warc", "y.warc"]


def test_names_never_tell_the_machines_paths(tmp_path: Path) -> None:
    for machine in ("m1", "m2/deep"):
        touch(tmp_path / machine, "pool/a/x.warc", "pool/b/x.warc")
    found = [names(tmp_path / machine / "pool") for machine in ("m1", "m2/deep")]
    assert found == [["a/x.warc", "b/x.warc"]] * 2


def test_artifacts_give_their_documents_or_their_archives(tmp_path: Path) -> None:
    touch(
        tmp_path, "docs/documents/00000.parquet", "docs/ledger/00000.parquet", "pool/warc/0.warc.gz", "pool/t.parquet"
    )
    for artifact in ("docs", "pool"):
        (tmp_path / artifact / "record.json").write_text(json.dumps({"kind": artifact}))
    assert names(tmp_path / "docs") == ["00000.parquet"]
    assert names(tmp_path / "pool") == ["0.warc.gz"]


@pytest.mark.parametrize("path", ["nothing.warc", "no/such/dir/", "*.warc", "readme.txt", "bare", "empty"])
def test_what_matches_nothing_or_has_an_unknown_ending_is_an_error_that_says_what_is_allowed(
    tmp_path: Path, path: str
) -> None:
    touch(tmp_path, "readme.txt", "bare")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"allowed: .*\.warc.*\.jsonl.*\.parquet"):
        list_files([str(tmp_path / path)])


def test_an_unknown_storage_is_an_error_with_a_hint() -> None:
    with pytest.raises(DataError, match="hint: install the fsspec package"):
        list_files(["nowhere://bucket/x.warc"])


@pytest.mark.parametrize("path", ["http://127.0.0.1:9/a.jsonl", "http://127.0.0.1:9/pool/*.jsonl", "broken://pool"])
def test_storage_that_does_not_answer_is_an_error_not_a_traceback(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.pool.remote.time.sleep", lambda seconds: None)

    class Broken(AbstractFileSystem):  # type: ignore[misc]
        def info(self, path: str, **options: object) -> dict[str, object]:
            raise RuntimeError("no credentials\nand many more lines")

    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(
        DataError, match=r"its files cannot be listed: (no credentials\n|.*[Cc]onnect)|cannot be downloaded: .*refused"
    ) as caught:
        list_files([path])
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(DataError, match=r"cannot be (listed|downloaded)"):
        file_identity(InputFile(path=path, name="a", kind="jsonl", size=1))


def test_file_that_vanished_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    for name in ("a.warc.gz", "a.jsonl", "a.parquet"):
        touch(tmp_path, name)
        file = list_files([str(tmp_path / name)])[0]
        (tmp_path / name).unlink()
        with pytest.raises(DataError, match="no such file"):
            list(read_file(file, Tally()))


def test_paths_with_glob_characters_are_files_first(tmp_path: Path) -> None:
    touch(tmp_path, "a[1].warc", "a1.warc")
    assert names(tmp_path / "a[1].warc") == ["a[1].warc"]


def test_memory_filesystem_is_a_pool() -> None:
    import fsspec

    fs = fsspec.filesystem("memory")
    fs.pipe("/pool/a.jsonl", b'{"text": "a"}\n')
    try:
        (file,) = list_files(["memory://pool"])
        assert (file.name, file.path, file.size) == ("a.jsonl", "memory:///pool/a.jsonl", 14)
        assert [b.column("text").to_pylist() for b in read_file(file, Tally())] == [["a"]]
    finally:
        fs.rm("/pool", recursive=True)


@given(st.sampled_from(["warc", "wet", "wat"]), st.sampled_from(["", ".gz", ".zst"]))
def test_every_archive_ending_is_known(stem: str, packed: str) -> None:
    assert kind_of(f"http://x/y.z/CC.{stem.upper()}{packed}") == "warc"
    assert kind_of(f"y.{stem}x{packed}") is None
