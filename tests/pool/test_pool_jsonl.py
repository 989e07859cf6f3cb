"""JSON lines: DCLM's layout, bad lines, damaged files, long lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_archives import put, read_all

from dclm.documents.schema import DOCUMENT
from dclm.pool.rows import identifier
from dclm.pool.texts.jsonl import parsed

WARC = {"WARC-Target-URI": "http://a.b/", "WARC-Record-ID": "<urn:uuid:1234>", "WARC-Date": "2020-01-01T00:00:00Z"}


def lines(*values: object) -> bytes:
    return b"".join((v if isinstance(v, bytes) else json.dumps(v).encode()) + b"\n" for v in values)


PACK = {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress, ".zstd": zstandard.compress}


@pytest.mark.parametrize("ending", PACK)
def test_dclms_layout_is_read_in_any_packing(tmp_path: Path, ending: str) -> None:
    data = lines({"text": "a\u0000b", "metadata": WARC, "warcinfo": "x"}, {"text": "", "url": "http://c/"})
    table, tally = read_all(put(tmp_path / f"d/a.jsonl{ending}", PACK[ending](data)))
    name = f"a.jsonl{ending}"
    assert table.schema.names == [*DOCUMENT.names, "_reject", "_row"]
    assert table.drop(["_reject", "_row"]).to_pylist() == [
        {"id": "1234", "url": "http://a.b/", "date": WARC["WARC-Date"], "source": f"{name}#0", "text": "a\0b"},
        {"id": identifier(f"{name}#1"), "url": "http://c/", "date": None, "source": f"{name}#1", "text": ""},
    ]
    assert tally.damage == []


BAD = {
    b"{not json": "not JSON",
    b"\xff\xfe{}": "not JSON",
    b'{"text": "\xff"}': "not JSON",
    b"[" * 100_000: "not JSON",
    b'{"text": 1' + b"0" * 5000 + b"}": "not JSON",
    b"[1, 2]": "found list, allowed: an object with `text`",
    b"null": "found NoneType",
    b'{"url": "http://x/"}': "no `text`",
    b'{"text": null}': "`text` is null",
    b'{"text": ["a"]}': "`text` is list",
    b'{"text": "\\ud800 x"}': "`text` has lone surrogates",
}


def test_bad_lines_are_rejects_that_name_the_line_and_cost_no_other(tmp_path: Path) -> None:
    good = {"text": "good"}
    data = lines(good, *BAD, b"", b"   ", good)
    table, tally = read_all(put(tmp_path / "a.jsonl", data))
    rejects = table["_reject"].to_pylist()
    for number, (found, wanted) in enumerate(zip(rejects[1:-1], BAD.values(), strict=True), start=2):
        assert found.startswith(f"line {number}: {wanted}"), found
    assert rejects[0] is rejects[-1] is None
    assert table["source"].to_pylist()[-1] == f"a.jsonl#{len(BAD) + 3}"
    assert tally.damage == []


def test_an_endless_url_is_a_reject_that_keeps_the_other_fields(tmp_path: Path) -> None:
    data = lines({"text": "x", "url": "u" * 65_537, "id": "i"}, {"text": "x", "url": "u" * 65_536})
    table, _ = read_all(put(tmp_path / "a.jsonl", data))
    assert table["url"].to_pylist() == [None, "u" * 65_536]
    assert table["id"][0].as_py() == "i"
    assert table["_reject"].to_pylist() == ["line 1: its id, URL or date is longer than 65536 bytes", None]


def test_lone_surrogates_in_a_url_do_not_cost_the_document(tmp_path: Path) -> None:
    table, _ = read_all(put(tmp_path / "a.jsonl", b'{"text": "x", "url": "http://\\udc80/"}\n'))
    assert table["url"].to_pylist() == ["http://?/"]


def test_a_truncated_or_corrupt_file_gives_its_sound_lines(tmp_path: Path) -> None:
    data = lines(*({"text": f"line {n} " + "x" * n} for n in range(2000)))
    packed = gzip.compress(data)
    table, tally = read_all(put(tmp_path / "cut.jsonl.gz", packed[: len(packed) // 2]))
    assert table["text"].to_pylist()[:100] == [f"line {n} " + "x" * n for n in range(100)]
    assert tally.damage == [f"truncated gzip at byte {len(packed) // 2}"]
    broken = bytearray(packed)
    broken[len(packed) // 2 : len(packed) // 2 + 40] = b"\xff" * 40
    table, tally = read_all(put(tmp_path / "broken.jsonl.gz", bytes(broken)))
    assert table.num_rows > 100
    assert len(tally.damage) == 1
    packed = zstandard.ZstdCompressor(write_checksum=True).compress(data)
    _, tally = read_all(put(tmp_path / "broken.jsonl.zst", packed[:100] + b"\xff" * 50 + packed[150:]))
    assert tally.damage[0].startswith("corrupt zstd data")
    table, tally = read_all(put(tmp_path / "cut.jsonl.zst", packed * 2 + packed[: len(packed) // 2]))
    assert table.num_rows >= 4000
    assert tally.damage == [f"truncated zstd at byte {len(packed) * 5 // 2}"]


def test_a_line_longer_than_the_limit_is_a_reject_that_is_never_held(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("dclm.pool.texts.jsonl.MAX_PAGE_BYTES", 1000)
    monkeypatch.setattr("dclm.pool.packing._CHUNK", 256)
    long = {"text": "x" * 5000}
    data = lines({"text": "a"}, long, {"text": "b"}, long)[:-1]
    table, _ = read_all(put(tmp_path / "a.jsonl", data))
    assert table["text"].to_pylist() == ["a", None, "b", None]
    assert table["_reject"][1].as_py() == "line 2: longer than 1000 bytes"


def test_the_last_line_needs_no_end_and_an_empty_file_is_empty(tmp_path: Path) -> None:
    table, _ = read_all(put(tmp_path / "a.jsonl", b'{"text": "a"}'))
    assert table["text"].to_pylist() == ["a"]
    for name, data in (("e.jsonl", b""), ("e.jsonl.gz", b""), ("n.jsonl", b"\n\n")):
        _, tally = read_all(put(tmp_path / name, data))
        assert tally.damage == (["contains no records"] if name.endswith(".gz") else [])  # no gzip file has no bytes


def test_a_plain_file_with_a_packed_name_is_read_and_said(tmp_path: Path) -> None:
    table, tally = read_all(put(tmp_path / "a.jsonl.gz", b'{"text": "a"}'))
    assert table["text"].to_pylist() == ["a"]
    assert tally.damage == ["not compressed, despite its name: read unchanged"]


@given(st.lists(st.one_of(st.text(max_size=30), st.none(), st.integers()), max_size=8), st.booleans())
def test_every_line_is_a_row_and_every_text_comes_back(tmp_path_factory, texts: list[object], ascii_only: bool) -> None:
    data = "".join(json.dumps({"text": t}, ensure_ascii=ascii_only) + "\n" for t in texts)
    file = put(tmp_path_factory.mktemp("d") / "a.jsonl", data.encode("utf-8", "surrogatepass"))
    table, tally = read_all(file, batch_rows=3)
    assert tally.records == len(texts)
    if texts:
        assert table["text"].to_pylist() == [t if isinstance(t, str) else None for t in texts]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
LINES = st.builds(
    lambda value, ascii_only, head, tail: head + json.dumps(value, ensure_ascii=ascii_only).encode() + tail,
    st.dictionaries(st.text(max_size=3), JSON, max_size=3),
    st.booleans(),
    st.sampled_from([b"", b" ", b"\xef\xbb\xbf"]),
    st.sampled_from([b"", b"\r", b" \t", b"x", b"\x0c", b" {}", b"\xc2\xa0", b"\xff"]),
)
ODD = [
    b'{"a": -0, "b": -0.0, "c": 1e400, "d": 123456789012345678901234567890}', b'{"a": NaN, "b": [-Infinity, Infinity]}',
    b'{"a": 1, "a": 2}', b'{"\\ud800": "\xed\xa0\x80"}', b'{"a": "\x00"}', b'{"a"', b'{"', b'{"a": 01}', b'{"a": 1.}',
    b'{"a": ' + b"[" * 100_000, b'{"a": 1' + b"0" * 5000 + b"}", '{"a": "é"}'.encode("utf-16"), b'{"\x00a\x00',
]  # fmt: skip


def outcome(load, line: bytes) -> str:
    """The value, or the error."""
    try:
        return repr(load(line))
    except (ValueError, RecursionError) as error:
        return repr(error)


@given(line=LINES | st.sampled_from(ODD) | st.binary(max_size=20).map(lambda rest: b'{"' + rest) | st.binary())
@settings(max_examples=500)
def test_a_line_is_what_json_says_it_is(line: bytes) -> None:
    assert outcome(parsed, line) == outcome(json.loads, line)
