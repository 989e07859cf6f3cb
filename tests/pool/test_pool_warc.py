"""WARC, WET and ARC files: intact ones, and every way in which they break."""

from __future__ import annotations

import gzip
from pathlib import Path

import pyarrow as pa
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st
from pool_archives import members, put, read_all, record, response

from dclm.documents.schema import DOCUMENT, PAGE
from dclm.pool import rows
from dclm.pool.files import ByteRange, with_ranges
from dclm.pool.read import Tally, read_file


def bodies(table: pa.Table) -> list[bytes | None]:
    return table["body"].to_pylist() if table.num_columns else []


PAGES = [f"<p>page {n}</p>".encode() for n in range(5)]


@pytest.mark.parametrize(
    ("ending", "pack"),
    [
        (".warc", b"".join),
        (".warc.gz", lambda records: members(*records)),
        (".warc.gz", lambda records: gzip.compress(b"".join(records))),
        (".warc.zst", lambda records: b"".join(zstandard.compress(r) for r in records)),
    ],
)
def test_a_sound_file_is_read_whole_in_any_packing(tmp_path: Path, ending: str, pack) -> None:
    table, tally = read_all(put(tmp_path / f"a{ending}", pack([record(n) for n in range(5)])))
    assert bodies(table) == PAGES
    assert tally.damage == []
    assert table.schema.names == [*PAGE.names, "_rights", "_reject", "_row"]
    assert table["id"].to_pylist() == [f"00000000-0000-4000-8000-{n:012d}" for n in range(5)]
    assert table["url"].to_pylist() == [f"http://example.com/{n}" for n in range(5)]
    assert set(table["content_type"].to_pylist()) == {"text/html"}
    assert set(table["date"].to_pylist()) == {"2024-05-06T07:08:09Z"}


def test_source_is_the_offset_at_which_the_record_can_be_read_again(tmp_path: Path) -> None:
    file = put(tmp_path / "a.warc.gz", members(*(record(n) for n in range(5))))
    table, _ = read_all(file)
    offset = int(table["source"][3].as_py().split("#")[1])
    again, tally = read_all(with_ranges(file, [ByteRange(offset, 1 << 20)]))
    assert again.slice(0, 1).drop("_row") == table.slice(3, 1).drop("_row")
    assert tally.damage == []


def test_records_of_other_types_are_counted_and_passed_over(tmp_path: Path) -> None:
    kinds = ["warcinfo", "request", "response", "metadata", "revisit", "request", "response"]
    table, tally = read_all(put(tmp_path / "a.warc.gz", members(*(record(n, kind=k) for n, k in enumerate(kinds)))))
    assert bodies(table) == [PAGES[2], b"<p>page 6</p>"]
    assert tally.skipped == {"warcinfo": 1, "request": 2, "metadata": 1, "revisit": 1}
    assert tally.records == 2


def test_conversions_are_documents_and_change_the_columns_of_the_batch(tmp_path: Path) -> None:
    text = record(1, "grüße".encode(), kind="conversion", content_type="text/plain")
    bad = record(2, b"\xff\xfe", kind="conversion", content_type="text/plain")
    file = put(tmp_path / "a.warc", record(0) + text + bad + record(3))
    tally = Tally()
    batches = list(read_file(file, tally))
    assert [b.num_rows for b in batches] == [1, 2, 1]
    assert batches[1].schema.names == [*DOCUMENT.names, "_reject", "_row"]
    assert batches[1].column("text").to_pylist() == ["grüße", None]
    assert batches[1].column("_reject").to_pylist() == [None, "not UTF-8: byte 0"]
    assert [r for b in batches for r in b.column("_row").to_pylist()] == [0, 1, 2, 3]


def test_a_resource_is_its_block(tmp_path: Path) -> None:
    table, _ = read_all(put(tmp_path / "a.warc", record(0, b"<p>x", kind="resource", content_type="text/html")))
    assert bodies(table) == [b"<p>x"]
    assert table["content_type"].to_pylist() == ["text/html"]


def test_missing_and_repeated_ids_become_a_hash_of_the_source(tmp_path: Path) -> None:
    archive = record(0, name=None) + record(1, name="same") + record(2, name="same")
    file = put(tmp_path / "a.warc", archive)
    table, _ = read_all(file)
    ids, sources = table["id"].to_pylist(), table["source"].to_pylist()
    assert ids == [rows.identifier(sources[0]), "same", rows.identifier(sources[2])]


def test_invalid_bytes_in_a_header_are_replaced(tmp_path: Path) -> None:
    archive = record(0, url="URL").replace(b"URL", b"<http://example.com/\xff\xfe>")
    table, _ = read_all(put(tmp_path / "a.warc", archive))
    assert table["url"].to_pylist() == ["http://example.com/��"]


@pytest.mark.parametrize("cut", [1, 8, 40, 100, 150, 162])
def test_a_truncated_gzip_gives_what_is_whole_and_says_where_it_ends(tmp_path: Path, cut: int) -> None:
    data = members(*(record(n) for n in range(5)))
    table, tally = read_all(put(tmp_path / "a.warc.gz", data[:-cut]))
    assert bodies(table)[:4] == PAGES[:4]
    assert all(body is None for body in bodies(table)[4:]) or bodies(table) == PAGES
    assert tally.damage[-1] == f"truncated gzip: the file ends at byte {len(data) - cut}"


@pytest.mark.parametrize("broken", ["magic", "middle", "checksum"])
def test_after_a_broken_member_reading_goes_on_with_the_next(tmp_path: Path, broken: str) -> None:
    packed = [members(record(n)) for n in range(5)]
    member = bytearray(packed[2])
    at = {"magic": 0, "middle": len(member) // 2, "checksum": len(member) - 6}[broken]
    member[at : at + 4] = bytes(b ^ 0x5A for b in member[at : at + 4])
    packed[2] = bytes(member)
    table, tally = read_all(put(tmp_path / "a.warc.gz", b"".join(packed)))
    sound = [body for body in bodies(table) if body is not None]
    assert sound == [PAGES[0], PAGES[1], PAGES[3], PAGES[4]]
    assert len(tally.damage) == 1
    assert tally.damage[0].endswith("corrupt gzip data")


@pytest.mark.parametrize("compressed_dictionary", [False, True])
def test_zstd_with_its_dictionary_in_front_is_read(tmp_path: Path, compressed_dictionary: bool) -> None:
    dictionary = zstandard.ZstdCompressionDict(record(0) * 20)
    packer = zstandard.ZstdCompressor(dict_data=dictionary)
    data = dictionary.as_bytes()
    data = zstandard.compress(data) if compressed_dictionary else data
    frames = b"".join(packer.compress(record(n)) for n in range(5))
    packed = b"\x5d\x2a\x4d\x18" + len(data).to_bytes(4, "little") + data + frames
    table, tally = read_all(put(tmp_path / "a.warc.zst", packed))
    assert bodies(table) == PAGES
    assert tally.damage == []


@pytest.mark.parametrize("number", range(16))
def test_skippable_frames_are_passed_over(tmp_path: Path, number: int) -> None:
    skip = bytes([0x50 + number]) + b"\x2a\x4d\x18" + (7).to_bytes(4, "little") + b"nothing"
    if number == 13:
        skip = skip.replace(b"\x5d", b"\x50", 1)  # the thirteenth, as the first frame, is a dictionary
    packed = b"".join(skip + zstandard.compress(record(n)) for n in range(5)) + skip
    table, tally = read_all(put(tmp_path / "a.warc.zst", packed))
    assert bodies(table) == PAGES
    assert tally.damage == []


@pytest.mark.parametrize("junk", [b"junk\n", b"\0" * 5000, b"WARC/1.0 but no record\r\n", b"x" * 70_000])
def test_junk_between_and_after_records_is_passed_over(tmp_path: Path, junk: bytes) -> None:
    archive = record(0) + junk + record(1) + junk
    table, tally = read_all(put(tmp_path / "a.warc", archive))
    assert bodies(table)[0] == PAGES[0]
    assert bodies(table)[-1] == PAGES[1]
    assert tally.damage


@pytest.mark.parametrize(("ending", "pack"), [(".warc", b"".join), (".warc.gz", lambda records: members(*records))])
def test_an_endless_header_costs_its_own_record_alone(tmp_path: Path, ending: str, pack) -> None:
    endless = record(1).replace(b"WARC-Date:", b"X: " + b"a" * 200_000 + b"\r\nWARC-Date:")
    archive = pack([record(0), endless, endless, record(2), endless, record(3)])
    table, tally = read_all(put(tmp_path / f"a{ending}", archive))
    assert bodies(table) == [PAGES[0], PAGES[2], PAGES[3]]
    assert [what.rpartition(": ")[2] for what in tally.damage] == ["Maximum header length exceeded"] * 2


def test_bare_line_feeds_are_read_and_are_no_damage(tmp_path: Path) -> None:
    archive = b"".join(record(n, end=b"\n") for n in range(5))
    table, tally = read_all(put(tmp_path / "a.warc", archive))
    assert bodies(table) == PAGES
    assert tally.damage == []


def test_a_wrong_length_costs_no_other_record(tmp_path: Path) -> None:
    short = record(0) + record(1, length=20) + record(2)
    table, tally = read_all(put(tmp_path / "short.warc", short))
    assert bodies(table)[0] == PAGES[0]
    assert bodies(table)[-1] == PAGES[2]
    assert len(tally.damage) == 1
    table, tally = read_all(put(tmp_path / "long.warc", record(0) + record(1, length=1_000_000)))
    assert bodies(table) == [PAGES[0], None]
    assert table["_reject"][1].as_py().startswith("truncated: ")
    assert tally.damage == [f"the file ends within the record at byte {len(record(0))}"]


@pytest.mark.parametrize("kind", ["response", "request"])
@pytest.mark.parametrize("more", [20, 400, 100_000, 1 << 30])
@pytest.mark.parametrize(("ending", "pack"), [(".warc", b"".join), (".warc.gz", lambda records: members(*records))])
def test_a_record_that_claims_too_many_bytes_swallows_no_other(tmp_path: Path, ending: str, pack, more, kind) -> None:
    wrong = record(1, response(b"x"), kind=kind, length=len(response(b"x")) + more)
    table, tally = read_all(put(tmp_path / f"a{ending}", pack([record(0), wrong, record(2), record(3), record(4)])))
    sound = [body for body in bodies(table) if body in PAGES]
    assert sound == [PAGES[0], PAGES[2], PAGES[3], PAGES[4]]
    assert len(tally.damage) == 1
    assert tally.records == 4 + (kind == "response")


def test_a_plain_file_that_breaks_off_says_so(tmp_path: Path) -> None:
    whole = record(0) + record(1)
    table, tally = read_all(put(tmp_path / "a.warc", whole[:-12]))
    assert bodies(table) == [PAGES[0], None]
    assert tally.damage == [f"the file ends within the record at byte {len(record(0))}"]


def test_a_record_larger_than_the_limit_is_a_reject_that_is_never_held(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dclm.pool.archives.warc.MAX_PAGE_BYTES", 1000)
    archive = members(record(0), record(1, response(b"x" * 2000)), record(2))
    table, tally = read_all(put(tmp_path / "a.warc.gz", archive))
    assert bodies(table) == [PAGES[0], None, PAGES[2]]
    assert table["_reject"][1].as_py() == "record of 2044 bytes, allowed: 1000"
    assert tally.damage == []


def packed_ten_times(data: bytes) -> bytes:
    for _ in range(10):
        data = gzip.compress(data, mtime=0)
    return data


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>no archive</html>",
        b"\0" * 10_000,
        b"\x1f\x8b\x08",
        packed_ten_times(record(0)),
    ],
)
def test_a_file_without_records_is_damage(tmp_path: Path, data: bytes) -> None:
    table, tally = read_all(put(tmp_path / "a.warc.gz", data))
    assert table.num_rows == 0
    assert tally.damage[-1] == "contains no records"


def test_batches_are_bounded_by_rows_and_by_bytes(tmp_path: Path) -> None:
    sizes = [10, 10, 900, 900, 5000, 10]
    file = put(tmp_path / "a.warc", b"".join(record(n, response(b"x" * s)) for n, s in enumerate(sizes)))
    by_bytes = [b.num_rows for b in read_file(file, Tally(), batch_bytes=1000)]
    assert by_bytes == [3, 1, 1, 1]
    assert [b.num_rows for b in read_file(file, Tally(), batch_rows=4)] == [4, 2]
    whole, _ = read_all(file)
    assert read_all(file, batch_rows=1)[0].equals(whole)


def test_a_record_without_url_date_or_type_of_content_has_nulls(tmp_path: Path) -> None:
    head = b"WARC/1.0\r\nWARC-Type: response\r\nContent-Length: 19\r\n\r\n"
    table, _ = read_all(put(tmp_path / "a.warc", head + b"HTTP/1.1 200 OK\r\n\r\n" + b"\r\n\r\n"))
    assert table.select(["url", "date", "content_type", "body"]).to_pylist() == [
        {"url": None, "date": None, "content_type": None, "body": b""}
    ]


def arc_record(url: str, body: bytes, length: str | None = None) -> bytes:
    return f"{url} 192.0.2.1 20080430204825 text/html {length or len(body)}\n".encode() + body + b"\n"


def test_arc_records_are_responses_and_broken_lengths_cost_one_record(tmp_path: Path) -> None:
    head = arc_record(
        "filedesc://a.arc", b"1 1 InternetArchive\nURL IP-address Archive-date Content-type Archive-length\n"
    )
    parts = [
        head,
        arc_record("http://example.com/a b", response(PAGES[0])),
        arc_record("dns:example.com", b"20080430204825\nexample.com"),
        arc_record("http://example.com/1", response(PAGES[1]), "-1"),
        arc_record("http://example.com/2", response(PAGES[2])),
    ]
    for name, data in (("plain.arc", b"".join(parts)), ("packed.arc.gz", members(*parts))):
        table, tally = read_all(put(tmp_path / name, data))
        assert bodies(table) == [PAGES[0], None, None, PAGES[2]]
        assert table["url"][0].as_py() == "http://example.com/a b"
        assert table["date"][0].as_py() == "2008-04-30T20:48:25Z"
        assert tally.skipped == {"warcinfo": 1}
        assert len(tally.damage) == 1


def test_a_broken_arc_member_costs_no_other(tmp_path: Path) -> None:
    packed = [members(arc_record(f"http://example.com/{n}", response(PAGES[n]))) for n in range(4)]
    packed[1] = packed[1][:15] + b"\xff" * 8 + packed[1][23:]
    table, tally = read_all(put(tmp_path / "a.arc.gz", b"".join(packed)))
    assert [b for b in bodies(table) if b] == [PAGES[0], PAGES[2], PAGES[3]]
    assert tally.damage


@given(data=st.data())
def test_no_flipped_cut_or_inserted_bytes_make_the_reader_raise(tmp_path_factory, data) -> None:
    records = [record(n) for n in range(4)]
    archive = bytearray(
        data.draw(st.sampled_from([b"".join(records), members(*records), gzip.compress(b"".join(records))]))
    )
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(archive)))
        piece = data.draw(st.binary(max_size=8))
        archive[at : at + data.draw(st.integers(0, 40))] = piece
    path = tmp_path_factory.mktemp("fuzz") / data.draw(st.sampled_from(["a.warc", "a.warc.gz", "a.arc.gz", "a.arc"]))
    read_all(put(path, bytes(archive)))


@pytest.mark.parametrize("junk", [b"WARC/1.0\r\n", b"\x1f\x8b\x08\0", b"WARC/"])
@pytest.mark.parametrize("name", ["a.warc", "a.warc.gz", "a.arc.gz"])
def test_junk_full_of_beginnings_is_given_up_in_time(tmp_path: Path, junk: bytes, name: str) -> None:
    start = members(record(0)) if name.endswith(".gz") else record(0)
    table, tally = read_all(put(tmp_path / name, start + junk * 500_000))
    assert bodies(table)[:1] in ([PAGES[0]], [])
    assert tally.damage
    assert len(tally.damage) < 2000
