"""Which files paths stand for, their names and order."""

from __future__ import annotations

import json
from pathlib import Path

import fsspec
import pytest
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
def test_storage_that_does_not_answer_is_an_error_not_a_traceback(path: str) -> None:
    class Broken(AbstractFileSystem):  # type: ignore[misc]
        def info(self, path: str, **options: object) -> dict[str, object]:
            raise RuntimeError("no credentials\nand many more lines")

    fsspec.register_implementation("broken", Broken, clobber=True)
    with pytest.raises(DataError, match=r"cannot be asked for its files: (no credentials\n|.*[Cc]onnect)") as caught:
        list_files([path])
    assert len(str(caught.value).splitlines()) == 3
    with pytest.raises(DataError, match="cannot be asked"):
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
