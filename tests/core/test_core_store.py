"""Stores: the same behavior on a disk and on S3, conditional writes under contention, storms, and dead writers."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from dclm.core.errors import ConfigError, DataError
from dclm.core.stores.store import Store, copy, join, local_file, open_store, split


@pytest.fixture(params=["disk", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A store with conditional requests."""
    where = str(tmp_path / "store") if request.param == "disk" else request.getfixturevalue("s3") + "/folder"
    return open_store(where)


@pytest.fixture(params=["disk", "s3", "memory"])
def any_store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store of each kind; `memory` is one that only fsspec knows."""
    if request.param == "s3":
        return open_store(request.getfixturevalue("s3") + "/folder")
    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "scratch"))
    return open_store(str(tmp_path / "store") if request.param == "disk" else f"memory://{tmp_path.name}")


def test_objects_are_written_whole_read_whole_and_deleted(any_store: Store, tmp_path: Path) -> None:
    store = any_store
    assert store.read("a/b") is None
    assert store.size("a/b") is None
    store.put("a/b", b"one")
    source = tmp_path / "source"
    source.write_bytes(b"twelve bytes")
    store.put("a/c", source)
    found = store.read("a/b")
    assert found is not None
    assert found.data == b"one"
    assert store.size("a/c") == 12
    assert store.read_range("a/c", 7, 3) == b"byt"
    assert store.local("a/c").read_bytes() == b"twelve bytes"
    assert list(store.list("a/")) == ["a/b", "a/c"]
    store.delete(["a/b", "nothing"])
    assert list(store.list()) == ["a/c"]
    with pytest.raises(DataError, match="no such"):
        store.local("a/b")


def test_what_exists_is_not_created_again(any_store: Store) -> None:
    store = any_store
    assert store.create("x", b"first")
    assert not store.create("x", b"second")
    found = store.read("x")
    assert found is not None
    assert found.data == b"first"
    assert store.replace("x", b"third", found.version)
    assert not store.replace("x", b"fourth", found.version)
    assert store.local("x").read_bytes() == b"third"  # no stale copy


def test_of_many_creators_one_succeeds(store: Store) -> None:
    won: list[int] = []

    def attempt(number: int) -> None:
        if store.create("lease", f"{number}".encode()):
            won.append(number)

    threads = [threading.Thread(target=attempt, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = won
    found = store.read("lease")
    assert found is not None
    assert found.data == f"{winner}".encode()


def test_a_storm_of_503_is_survived(s3: str, storm: Callable[[int], None]) -> None:
    store = open_store(f"{s3}/storm")
    storm(2)
    for number in range(10):
        assert store.create(f"{number}", f"{number}".encode())
        found = store.read(f"{number}")
        assert found is not None
        assert found.data == f"{number}".encode()


def test_a_writer_that_fails_leaves_nothing(any_store: Store, tmp_path: Path) -> None:
    store = any_store
    with pytest.raises((OSError, DataError)):
        store.put("gone", tmp_path / "no such source")
    assert store.read("gone") is None
    assert list(store.list()) == []


@pytest.mark.parametrize("renames", [True, False])
def test_a_file_is_put_on_a_disk_by_renaming_it_where_that_is_possible(
    renames: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    store.put("a/b", b"before")
    source = tmp_path / "source"
    source.write_bytes(b"content")
    source.chmod(0o600)
    number = source.stat().st_ino
    rename = os.replace

    def between_mounts(old: Path, new: Path) -> None:
        if old == source:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(old, new)

    if not renames:
        monkeypatch.setattr("os.replace", between_mounts)
    store.put("a/b", source)
    found = tmp_path / "store/a/b"
    assert found.read_bytes() == b"content"
    assert found.stat().st_mode & 0o777 == 0o644
    assert (found.stat().st_ino == number) == renames
    assert source.exists() != renames
    assert [p.name for p in found.parent.iterdir()] == ["b"]


def test_a_file_is_on_the_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(str(tmp_path / "store"))
    source = tmp_path / "source"
    source.write_bytes(b"content")
    number, calls = source.stat().st_ino, []
    sync, rename = os.fsync, os.replace

    def synced(handle: int) -> None:
        calls.append(("sync", os.fstat(handle).st_ino))
        sync(handle)

    def renamed(old: Path, new: Path) -> None:
        calls.append(("rename", number))
        rename(old, new)

    monkeypatch.setattr("os.fsync", synced)
    monkeypatch.setattr("os.replace", renamed)
    store.put("a", source)
    assert calls == [("sync", number), ("rename", number), ("sync", (tmp_path / "store").stat().st_ino)]


def test_addresses(s3: str, tmp_path: Path) -> None:
    address = join(s3, "a", "b.bin")
    assert address == f"{s3}/a/b.bin"
    store, key = split(address)
    assert (store.url, key) == (s3, "a/b.bin")
    local = join(tmp_path, "c.bin")
    Path(local).write_bytes(b"c")
    copy(local, address)
    assert Path(local).exists()
    copy(address, join(tmp_path, "deep", "d.bin"))
    assert (tmp_path / "deep" / "d.bin").read_bytes() == b"c"
    assert local_file(local) == Path(local)


def test_the_cache_stays_within_its_bound(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_CACHE_BYTES", "2500")
    monkeypatch.setattr("dclm.core.stores.cache.KEEP_SECONDS", -1)
    store = open_store(s3)
    for number in range(4):
        store.put(f"{number}", bytes([number]) * 1000)
        assert store.local(f"{number}").read_bytes() == bytes([number]) * 1000
    folder = store.local("3").parent
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 2500


def test_an_unknown_scheme_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match="install the fsspec package"):
        open_store("nothing://bucket")


@pytest.mark.parametrize("method", ["cat_file", "info", "pipe_file", "put_file", "get_file", "find", "rm_file"])
def test_whatever_a_filesystem_of_fsspec_reports_is_told_with_the_address(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.implementations.memory import MemoryFileSystem

    monkeypatch.setenv("DCLM_SCRATCH", str(tmp_path / "scratch"))
    store = open_store("memory://faults")
    store.put("a", b"content")

    def lost(*_: object, **__: object) -> None:
        raise RuntimeError("the network is down\nand more")

    monkeypatch.setattr(MemoryFileSystem, method, lost)
    source = tmp_path / "source"
    source.write_bytes(b"x")
    calls: dict[str, Callable[[], object]] = {
        "cat_file": lambda: store.read("a"),
        "info": lambda: store.size("a"),
        "pipe_file": lambda: store.put("b", b"x"),
        "put_file": lambda: store.put("b", source),
        "get_file": lambda: store.local("a"),
        "find": lambda: list(store.list()),
        "rm_file": lambda: store.delete(["a"]),
    }
    with pytest.raises(
        DataError, match=r"memory://faults.*\nthe storage refused the request: the network is down\nhint"
    ):
        calls[method]()


def test_a_delete_that_is_refused_is_told_with_the_address(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import obstore
    from obstore.exceptions import PermissionDeniedError

    def refuse(*_: object) -> None:
        raise PermissionDeniedError("403 Forbidden")

    monkeypatch.setattr(obstore, "delete", refuse)
    with pytest.raises(DataError, match=f"{s3}/a\nthe storage refused the request: 403 Forbidden"):
        open_store(s3).delete(["a", "b"])


def test_an_endpoint_without_tls_may_be_named_for_s3_alone(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", os.environ["AWS_ENDPOINT_URL"])
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    store = open_store(f"{s3}/elsewhere")
    store.put("a", b"one")
    assert store.size("a") == 3
