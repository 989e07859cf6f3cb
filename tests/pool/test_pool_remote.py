"""Files on an HTTP server that fails, breaks connections, or does not support ranges."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pool_archives import members, read_all, record
from pool_server import Site, serve

from dclm.core.errors import DataError
from dclm.pool.files import InputFile, file_identity, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.remote import HttpFile, _keep_pace, fetch

DATA = bytes(range(256)) * 1000


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    waited: list[float] = []
    monkeypatch.setattr("dclm.pool.remote.time.sleep", waited.append)
    monkeypatch.setattr("dclm.pool.remote.random.random", lambda: 0.5)
    monkeypatch.setattr("dclm.pool.remote._answered", set())
    return waited


@pytest.fixture
def site(tmp_path: Path, waits: list[float]) -> Iterator[Site]:
    (tmp_path / "data.bin").write_bytes(DATA)
    (tmp_path / "empty.bin").write_bytes(b"")
    with serve(tmp_path) as site:
        yield site


@pytest.mark.parametrize("ranges", [True, False])
def test_any_part_can_be_read_in_any_order(site: Site, ranges: bool) -> None:
    site.ranges = ranges
    file = HttpFile(f"{site.url}/data.bin")
    assert file.size() == len(DATA)
    file.seek(1000)
    assert file.read(10) == DATA[1000:1010]
    file.seek(-5, 2)
    assert file.read() == DATA[-5:]
    assert file.read(10) == b""
    file.seek(0)
    assert file.read() == DATA
    file.close()
    assert fetch(f"{site.url}/data.bin", 77, 1001) == DATA[77:1078]
    assert fetch(f"{site.url}/empty.bin") == b""


def test_reading_on_takes_one_request(site: Site) -> None:
    file = HttpFile(f"{site.url}/data.bin")
    assert b"".join(iter(lambda: file.read(999), b"")) == DATA
    file.close()
    assert site.requests == [("/data.bin", "bytes=0-")]


def test_failures_are_tried_again_with_growing_waits(site: Site, waits: list[float]) -> None:
    site.failures = [503, 403, 429, 500]
    assert fetch(f"{site.url}/data.bin") == DATA
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_a_connection_that_breaks_is_taken_up_at_the_byte_where_it_broke(site: Site, waits: list[float]) -> None:
    site.failures = [0, 0]
    assert fetch(f"{site.url}/data.bin") == DATA
    assert [r for _, r in site.requests] == ["bytes=0-", "bytes=128000-", "bytes=192000-"]
    assert waits == [1.0, 1.0]


def test_waiting_ends_after_half_an_hour_with_what_the_server_said(site: Site, waits: list[float]) -> None:
    site.failures = [503] * 99
    with pytest.raises(DataError, match=r"data\.bin at byte 0\nthe server answered 503 .*\nhint: try again later"):
        fetch(f"{site.url}/data.bin")
    assert waits[:9] == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 120.0, 120.0]
    assert 1800 <= sum(waits) < 1920


@pytest.mark.parametrize(("asked", "waited"), [("30", 30.5), ("100000", 600.5), ("soon", 1.0), ("-5", 1.0)])
def test_a_server_that_says_how_long_to_wait_is_obeyed(
    site: Site, waits: list[float], asked: str, waited: float
) -> None:
    site.failures, site.retry_after = [503], asked
    assert fetch(f"{site.url}/data.bin") == DATA
    assert waits == [waited]


def test_a_date_to_wait_for_is_obeyed(site: Site, waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.pool.remote.time.time", lambda: 1_700_000_000.0)
    site.failures, site.retry_after = [429, 429], "Tue, 14 Nov 2023 22:14:05 GMT"
    assert fetch(f"{site.url}/data.bin") == DATA
    assert waits == [45.5, 45.5]


def test_who_is_not_let_in_is_not_waited_for_long(site: Site, waits: list[float]) -> None:
    site.failures = [403] * 9
    with pytest.raises(DataError, match="the server answered 403"):
        fetch(f"{site.url}/data.bin")
    assert waits == [1.0, 2.0, 4.0, 8.0]


def test_sizes_and_hashes_wait_as_reading_does_and_do_not_depend_on_the_address(
    site: Site, waits: list[float], tmp_path: Path
) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"text": "a"}\n')
    site.failures, site.retry_after = [503], "30"
    (file,) = list_files([f"{site.url}/a.jsonl"])
    site.failures = [503, 429]
    found = file_identity(file)
    assert waits == [30.5] * 3
    with serve(tmp_path) as mirror:
        assert file_identity(list_files([f"{mirror.url}/a.jsonl"])[0]) == found
        (tmp_path / "a.jsonl").write_bytes(b'{"text": "ab"}\n')
        assert file_identity(list_files([f"{mirror.url}/a.jsonl"])[0]) != found
    with pytest.raises(DataError, match="the server answered 404"):
        list_files([f"{site.url}/nothing.jsonl"])


def test_common_crawl_is_asked_ten_times_a_second_at_most(waits: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dclm.pool.remote.time.monotonic", lambda: 5.0)
    monkeypatch.setattr("dclm.pool.remote._next_request", {})
    for _ in range(4):
        _keep_pace("data.commoncrawl.org")
        _keep_pace("mirror.example")
    assert waits == pytest.approx([0.1, 0.2, 0.3])


def test_what_is_not_there_is_said_at_once(site: Site, waits: list[float]) -> None:
    with pytest.raises(DataError, match="the server answered 404"):
        fetch(f"{site.url}/nothing")
    assert waits == []
    with pytest.raises(DataError, match="cannot be downloaded"):
        fetch("http://127.0.0.1:1/x")
    assert len(waits) == 4


def test_a_network_failure_is_never_taken_for_damage_of_the_file(site: Site) -> None:
    (site.root / "a.warc.gz").write_bytes(members(*(record(n) for n in range(50))))
    file = InputFile(path=f"{site.url}/a.warc.gz", name="a.warc.gz", kind="warc", size=0)
    site.failures = [0, 500]
    table, tally = read_all(file)
    assert (table.num_rows, tally.damage) == (50, [])
    site.failures = [0] + [500] * 99
    with pytest.raises(DataError, match="the server answered 500"):
        list(read_file(file, Tally()))


def test_a_url_is_a_pool_path(site: Site) -> None:
    (site.root / "a.jsonl").write_bytes(b'{"text": "a"}\n')
    files = list_files([f"{site.url}/a.jsonl"])
    assert [(f.name, f.kind, f.size) for f in files] == [("a.jsonl", "jsonl", 14)]
    assert read_all(files[0])[0]["text"].to_pylist() == ["a"]
