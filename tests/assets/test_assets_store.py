"""Assets are found in each allowed place, verified before use, and refused with distinct errors."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import multiprocessing
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from dclm.assets import Asset, AssetSource, LocalFile, Url, check_asset, fetch_asset, fetch_assets, find_asset, resolve
from dclm.assets.cache import Unavailable
from dclm.assets.sources import Transform
from dclm.assets.transforms import gunzip
from dclm.core.errors import AssetError, ConfigError

CONTENT = b"words\nof\nthe asset\n"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("cache", "assets", "shared"):
        (tmp_path / name).mkdir()
        monkeypatch.setenv(f"DCLM_{name.upper()}", str(tmp_path / name))
    monkeypatch.delenv("DCLM_OFFLINE", raising=False)


def make(*sources: AssetSource, sha256: str | None = SHA256) -> Asset:
    return Asset(name="words", sources=sources, sha256=sha256, licence="MIT", description="some words")


@dataclass(frozen=True, kw_only=True)
class Fake:
    """A source that records each read in a file."""

    log: str
    content: bytes = CONTENT
    transform: Transform | None = None

    def describe(self) -> str:
        return "the fake"

    def read(self) -> bytes:
        with open(self.log, "a", encoding="ascii") as handle:
            handle.write("read\n")
        if not self.content:
            raise Unavailable("it is empty")
        return self.content


def test_a_local_file_is_used_where_it_lies(tmp_path: Path) -> None:
    path = tmp_path / "shared" / "lists" / "w.txt"
    path.parent.mkdir()
    path.write_bytes(CONTENT)
    assert fetch_asset(make(LocalFile(path="lists/w.txt"))) == path
    assert not any((tmp_path / "cache").rglob("words"))


@pytest.mark.parametrize("name", ["words", "lists/w.txt"])
def test_the_users_folder_comes_first_by_name_or_by_path(tmp_path: Path, name: str) -> None:
    for root in ("assets", "shared"):
        (tmp_path / root / name).parent.mkdir(exist_ok=True)
        (tmp_path / root / name).write_bytes(CONTENT)
    assert fetch_asset(make(LocalFile(path="lists/w.txt"))) == tmp_path / "assets" / name


def test_a_transform_is_done_once_and_kept(tmp_path: Path) -> None:
    packed = tmp_path / "shared" / "w.gz"
    packed.write_bytes(gzip.compress(CONTENT))
    asset = make(LocalFile(path="w.gz", transform=gunzip))
    path = fetch_asset(asset)
    assert path.read_bytes() == CONTENT
    packed.unlink()
    assert fetch_asset(asset) == path


def test_a_file_of_other_content_is_passed_over_for_the_next_source(tmp_path: Path) -> None:
    (tmp_path / "shared" / "w.txt").write_bytes(b"something else")
    found = find_asset(make(LocalFile(path="w.txt"), Fake(log=str(tmp_path / "log"))))
    assert (found.source, found.path.read_bytes()) == ("the fake", CONTENT)


def test_when_none_has_it_every_source_is_told_with_its_reason(tmp_path: Path) -> None:
    (tmp_path / "assets" / "w.txt").write_bytes(b"something else")
    asset = make(
        LocalFile(path="w.txt"), Fake(log=str(tmp_path / "log"), content=b""), Url(url="https://127.0.0.1:9/w")
    )
    with pytest.raises(AssetError) as error:
        fetch_asset(asset)
    lines = str(error.value).split("\n")
    assert len(lines) == 3
    other = hashlib.sha256(b"something else").hexdigest()[:12]
    for part in (
        f"found sha256 {other}…, allowed {SHA256[:12]}…",
        "the fake: it is empty",
        "https://127.0.0.1:9/w: cannot",
    ):
        assert part in lines[1]
    assert lines[2] == "hint: save the file as words in a folder of your choice and set DCLM_ASSETS=FOLDER"
    assert not list((tmp_path / "cache" / "assets").glob("*"))


def test_a_damaged_cache_is_mended(tmp_path: Path) -> None:
    asset = make(Fake(log=str(tmp_path / "log")))
    path = fetch_asset(asset)
    path.write_bytes(b"damaged")
    assert fetch_asset(asset).read_bytes() == CONTENT
    assert (tmp_path / "log").read_text() == "read\n" * 2


def _fetch(log: str) -> bytes:
    return fetch_asset(make(Fake(log=log))).read_bytes()


def test_many_processes_at_once_download_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert pool.map(_fetch, [str(tmp_path / "log")] * 6, chunksize=1) == [CONTENT] * 6
    assert (tmp_path / "log").read_text() == "read\n"


def test_checking_never_downloads(tmp_path: Path) -> None:
    asset = make(Fake(log=str(tmp_path / "log")))
    assert check_asset(asset) is None
    assert not (tmp_path / "log").exists()
    fetch_asset(asset)
    found = check_asset(asset)
    assert found is not None
    assert found.source == "cache"


def test_many_are_fetched_by_name(tmp_path: Path) -> None:
    asset = make(Fake(log=str(tmp_path / "log")))
    assert fetch_assets([asset])["words"].read_bytes() == CONTENT


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "w.gz").write_bytes(gzip.compress(CONTENT))
    handler = type("Handler", (Quiet,), {"directory": str(tmp_path / "www")})
    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), lambda *a: handler(*a, directory=str(tmp_path / "www"))
    ) as s:
        thread = threading.Thread(target=s.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{s.server_port}"
        s.shutdown()
        thread.join()


def test_a_url_gives_its_content(server: str) -> None:
    assert fetch_asset(make(Url(url=f"{server}/w.gz", transform=gunzip))).read_bytes() == CONTENT


def test_a_url_that_is_not_there_is_told(server: str) -> None:
    with pytest.raises(AssetError, match="404"):
        fetch_asset(make(Url(url=f"{server}/other")))


def test_offline_nothing_is_asked_of_the_network(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DCLM_OFFLINE", "1")
    with pytest.raises(AssetError, match="DCLM_OFFLINE is set"):
        fetch_asset(make(Url(url=f"{server}/w.gz", transform=gunzip)))


def test_a_path_resolves_to_itself_and_its_hash(tmp_path: Path) -> None:
    (tmp_path / "w.txt").write_bytes(CONTENT)
    assert resolve(str(tmp_path / "w.txt")) == (tmp_path / "w.txt", SHA256)


def test_an_unknown_name_is_told_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"(?s)no such asset, and no such file.*did you mean `lid\.176\.ftz`"):
        resolve("lid.176.bin")


def test_an_asset_that_is_not_pinned_is_whatever_file_is_found(tmp_path: Path) -> None:
    asset = make(Fake(log=str(tmp_path / "log")), sha256=None)
    assert check_asset(asset) is None
    cached = fetch_asset(asset)
    assert cached.read_bytes() == CONTENT
    assert fetch_asset(asset) == cached
    assert (tmp_path / "log").read_text() == "read\n"
    (tmp_path / "assets" / "words").write_bytes(b"the user's own")
    assert fetch_asset(asset) == tmp_path / "assets" / "words"
    assert fetch_assets([asset])["words"].read_bytes() == b"the user's own"
