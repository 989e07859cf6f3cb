"""Nothing between two records is lost silently: bare line feeds, lengths wrong in either direction, odd versions."""

from __future__ import annotations

import base64
import contextlib
import gzip
import hashlib
import io
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_archives import members, put, read_all, record, response
from warcio.archiveiterator import ArchiveIterator
from warcio.exceptions import ArchiveLoadFailed

from dclm.pool.archives import warc
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.streams import open_stream

PAGES = [f"<p>page {n}</p>".encode() for n in range(6)]
PACKINGS = [
    pytest.param(".warc", b"".join, id="plain"),
    pytest.param(".warc.gz", lambda records: members(*records), id="members"),
    pytest.param(".warc.gz", lambda records: gzip.compress(b"".join(records)), id="one member"),
    pytest.param(".warc.zst", lambda records: b"".join(zstandard.compress(r) for r in records), id="zstd"),
]


def bodies(table: pa.Table) -> list[bytes | None]:
    return table["body"].to_pylist() if table.num_columns else []


@pytest.mark.parametrize(("ending", "pack"), PACKINGS)
def test_an_archive_whose_line_ends_were_converted_is_read_whole_and_said(tmp_path: Path, ending: str, pack) -> None:
    records = [record(n).replace(b"\r\n", b"\n") for n in range(5)]
    table, tally = read_all(put(tmp_path / f"a{ending}", pack(records)))
    assert bodies(table) == PAGES[:5]
    assert table["_reject"].null_count == 5
    assert len(tally.damage) == 1
    assert "carriage returns were removed" in tally.damage[0]


@pytest.mark.parametrize("change", [-30, -20, -9, -1, 3, 5, 20, 40, 77, 300])
@pytest.mark.parametrize("converted", [False, True])
@pytest.mark.parametrize(("ending", "pack"), PACKINGS)
def test_one_wrong_length_costs_at_most_its_record_and_is_said(
    tmp_path: Path, ending: str, pack, change: int, converted: bool
) -> None:
    block = response(PAGES[2])
    records = [record(n, length=len(block) + change if n == 2 else None) for n in range(6)]
    if converted:
        records = [r.replace(b"\r\n", b"\n") for r in records]
    table, tally = read_all(put(tmp_path / f"a{ending}", pack(records)))
    found = dict(zip(table["url"].to_pylist(), bodies(table), strict=True))
    others = [f"http://example.com/{n}" for n in range(6) if n != 2]
    assert [found[url] for url in others] == [PAGES[n] for n in range(6) if n != 2]
    own = found["http://example.com/2"]
    if change in (-1, 3) and own is not None:  # line ends of the separator are included: whitespace
        assert own.rstrip() == PAGES[2]
    else:
        assert own in (None, PAGES[2])
        assert tally.damage
    assert len(found) == 6


@pytest.mark.parametrize("swallowed", [1, 2, 3])
@pytest.mark.parametrize("end", [b"\r\n", b"\n"])
@pytest.mark.parametrize(("ending", "pack"), PACKINGS)
def test_a_length_that_ends_exactly_where_a_later_record_ends_hides_none(
    tmp_path: Path, ending: str, pack, swallowed: int, end: bytes
) -> None:
    records = [record(n, end=end) for n in range(6)]
    more = sum(len(records[n]) for n in range(2, 2 + swallowed))
    records[1] = record(1, end=end, length=len(response(PAGES[1])) + more)
    table, tally = read_all(put(tmp_path / f"a{ending}", pack(records)))
    assert bodies(table) == [PAGES[0], None, *PAGES[2:]]
    assert len(tally.damage) == 1
    assert "claims to be longer" in tally.damage[0]


@pytest.mark.parametrize("kind", ["request", "metadata"])
def test_a_record_that_is_not_read_hides_none_either(tmp_path: Path, kind: str) -> None:
    later = record(2)
    first = record(1, response(b"x"), kind=kind, length=len(response(b"x")) + 4 + len(later) - 4)
    table, tally = read_all(put(tmp_path / "a.warc", record(0) + first + later + record(3)))
    assert bodies(table) == [PAGES[0], PAGES[2], PAGES[3]]
    assert len(tally.damage) == 1


@pytest.mark.parametrize("way", ["http", "digest", "text"])
def test_a_page_that_shows_or_is_an_archive_stays_a_page(tmp_path: Path, way: str) -> None:
    inner = b"<pre>" + record(7)[:-60] + b"</pre>" if way == "text" else b"\r\n" + record(7) + record(8)
    headers = ["Content-Type: text/html", *([f"Content-Length: {len(inner)}"] if way == "http" else [])]
    block = response(inner, *headers)
    outer = record(1, block)
    if way == "digest":
        digest = base64.b32encode(hashlib.sha1(block).digest())
        outer = outer.replace(b"WARC-Date", b"WARC-Block-Digest: sha1:" + digest + b"\r\nWARC-Date", 1)
    table, tally = read_all(put(tmp_path / "a.warc", record(0) + outer + record(2)))
    assert bodies(table) == [PAGES[0], inner, PAGES[2]]
    assert tally.damage == []


def test_http_says_that_a_page_is_whole_although_its_record_claims_another_length(tmp_path: Path) -> None:
    page = b"<p>" + b"corn " * 50
    block = response(page, "Content-Type: text/html", f"Content-Length: {len(page)}")
    for change in (-40, -2, 40, 400):
        archive = record(0) + record(1, block, length=len(block) + change) + record(2) + record(3)
        table, tally = read_all(put(tmp_path / "a.warc", archive))
        assert bodies(table) == [PAGES[0], page, PAGES[2], PAGES[3]]
        assert len(tally.damage) == 1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"WARC/1.0", b"warc/1.0"),
        (b"WARC/1.0", b"Warc/1.1"),
        (b"WARC/1.0", b"WARC/1.0 \t"),
        (b"Content-Length", b"content-length"),
        (b"Content-Length:", b"CONTENT-LENGTH :"),
        (b"WARC-Type: ", b"warc-type:"),
    ],
)
@pytest.mark.parametrize(("ending", "pack"), PACKINGS)
def test_names_in_any_case_are_those_of_a_sound_archive(tmp_path: Path, ending: str, pack, old, new) -> None:
    records = [record(n).replace(old, new) for n in range(5)]
    table, tally = read_all(put(tmp_path / f"a{ending}", pack(records)))
    assert bodies(table) == PAGES[:5]
    assert tally.damage == []
    mixed = [r if n % 2 else record(n) for n, r in enumerate(records)]
    table, tally = read_all(put(tmp_path / f"b{ending}", pack(mixed)))
    assert bodies(table) == PAGES[:5]
    assert tally.damage == []


def test_a_record_with_neither_length_nor_end_in_sight_is_a_reject(tmp_path: Path) -> None:
    lengthless = record(1).replace(b"Content-Length: 57\r\n", b"")
    table, tally = read_all(put(tmp_path / "a.warc", record(0) + lengthless + record(2)))
    assert bodies(table) == [PAGES[0], None, PAGES[2]]
    assert table["_reject"][1].as_py() == "it has no Content-Length"
    assert len(tally.damage) == 1


def test_empty_gzip_members_by_the_thousand_are_read_in_linear_time(tmp_path: Path) -> None:
    empty = gzip.compress(b"", mtime=0)
    table, _ = read_all(put(tmp_path / "a.warc.gz", members(record(0)) + empty * 100_000 + members(record(1))))
    assert bodies(table) == PAGES[:2]


@pytest.mark.shared
def test_the_archives_of_the_report_lose_nothing(shared: Path) -> None:
    for name, damage in (("crlf", 0), ("lf", 1), ("too_long_by_40", 1)):
        tally = Tally()
        (file,) = list_files([str(shared / f"cases/01_warc_bare_lf/{name}.warc")])
        rows = [row for batch in read_file(file, tally) for row in batch.to_pylist()]
        assert [row["url"] for row in rows] == [f"http://example.org/{n}" for n in range(12)]
        assert len(tally.damage) >= damage
        assert (tally.damage == []) == (damage == 0)
        assert sum(row["_reject"] is not None for row in rows) == (name == "too_long_by_40")


def by_warcio(data: bytes) -> list[tuple[str, int]] | None:
    """URL and length of each response as warcio reads it; None if it gives up."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # warcio's warnings
            return [(r.rec_headers.get_header("WARC-Target-URI"), len(r.raw_stream.read())) for r in _records(data)]
    except ArchiveLoadFailed:
        return None


def _records(data: bytes):
    yield from ArchiveIterator(io.BytesIO(data), no_record_parse=True)


def edited(data: st.DataObject) -> bytes:
    """An archive of four records with one to three faults of kinds found in the wild."""
    blocks = [response(data.draw(st.sampled_from([b"", b"<p>x", b"a\r\n\r\nb\n" * 9]))) for _ in range(4)]
    records = [record(n, block) for n, block in enumerate(blocks)]
    for _ in range(data.draw(st.integers(1, 3))):
        n = data.draw(st.integers(0, 3))
        fault = data.draw(st.sampled_from(["length", "lf", "junk", "cut", "swallow", "lower"]))
        if fault == "length":
            records[n] = record(n, blocks[n], length=max(0, len(blocks[n]) + data.draw(st.integers(-60, 400))))
        elif fault == "swallow":
            records[n] = record(n, blocks[n], length=len(blocks[n]) + sum(map(len, records[n + 1 : n + 3])))
        elif fault == "lf":
            records[n] = records[n].replace(b"\r\n", b"\n")
        elif fault == "junk":
            records[n] += data.draw(st.sampled_from([b"junk\r\n", b"\n\n\n", b"\0\0\0\n", b"<p>more</p>"]))
        elif fault == "cut":  # later than in the first field, whose rest would merge with the next version line
            records[n] = records[n][: data.draw(st.integers(min(40, len(records[n])), len(records[n])))]
        else:
            records[n] = records[n].replace(b"WARC/1.0", b"warc/1.0")
    pack = data.draw(st.sampled_from([b"".join, lambda parts: members(*parts)]))
    return pack(records)


@settings(max_examples=80, deadline=None)
@given(data=st.data())
def test_a_second_independent_reader_agrees_or_the_file_is_damaged(tmp_path_factory, data) -> None:
    archive = edited(data)
    name = "a.warc.gz" if archive[:2] == b"\x1f\x8b" else "a.warc"
    file = put(tmp_path_factory.mktemp("law") / name, archive)
    tally = Tally()
    with contextlib.closing(open_stream(file.path)) as stream:
        ours = list(warc.read_records(stream, tally.damage))
    if tally.damage or any(r.problem for r in ours):
        return
    theirs = by_warcio(archive)
    if theirs is None:  # it requires a line feed between records, not a lone carriage return
        assert len(ours) == 4
    else:
        assert theirs == [(r.url, len(r.block or b"")) for r in ours]
