"""Units of even size: how a pool is divided, and that the parts of a file contain the same as the file."""

from __future__ import annotations

import codecs
import gzip
import itertools
import json
import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from pool_archives import members, put, record, response

from dclm.pool.archives.warc_part import Seam
from dclm.pool.files import ByteRange, InputFile, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.streams import open_stream, utf8_text
from dclm.pool.survey import survey
from dclm.pool.units import cut, unit_bytes_for, without_bad_seams

Rows = list[tuple[object, ...]]


def rows_of(file: InputFile) -> tuple[Rows, Tally]:
    tally = Tally()
    rows: Rows = []
    for batch in read_file(file, tally):
        names = [name for name in batch.schema.names if name != "_row"]
        rows += zip(*(batch.column(name).to_pylist() for name in names), strict=True)
    return rows, tally


def parts_of(file: InputFile, edges: list[int]) -> list[InputFile]:
    bounds = [0, *sorted({edge for edge in edges if 0 < edge < file.size}), file.size]
    parts = [replace(file, part=ByteRange(a, b - a)) for a, b in itertools.pairwise(bounds)]
    _, lines = survey(parts)
    return [replace(part, first_line=n) for part, n in zip(parts, lines, strict=True)]


def read_parts(parts: list[InputFile]) -> tuple[Rows, list[str]]:
    """The content of all parts, with archives whose parts do not meet read as a whole."""
    seams = [rows_of(part)[1].seam for part in parts]
    rows: Rows = []
    damage: list[str] = []
    for (part,) in without_bad_seams([(part,) for part in parts], seams):
        found, tally = rows_of(part)
        rows += found
        damage += tally.damage
    return rows, damage


def page(number: int, size: int) -> bytes:
    return record(number, response(random.Random(number).randbytes(size)))


ARCHIVES = {
    "plain.warc": lambda records: b"".join(records),
    "members.warc.gz": lambda records: members(*records),
    "frames.warc.zst": lambda records: b"".join(zstandard.compress(r) for r in records),
    "one.warc.gz": lambda records: gzip.compress(b"".join(records), mtime=0),
    "inside.warc.gz": lambda records: b"".join(
        gzip.compress(record(900 + i, response(members(r, r))), 0, mtime=0) for i, r in enumerate(records)
    ),
    "shown.warc": lambda records: b"".join(
        record(900 + i, response(b"<pre>\r\n\r\n" + r + b"</pre>")) for i, r in enumerate(records)
    ),
    "damaged.warc.gz": lambda records: members(*records[:2])[:-9] + b"junk" * 9 + members(*records[2:]),
    "junk.warc": lambda records: b"junk\r\n\r\nWARC/1.0\r\n" + b"\r\n\r\nno record ".join(records),
    "cut.warc.gz": lambda records: members(*records)[:-30],
}


@pytest.mark.parametrize("name", ARCHIVES)
@settings(max_examples=12, deadline=None)
@given(edges=st.lists(st.integers(0, 4000), max_size=6), sizes=st.lists(st.integers(0, 600), min_size=3, max_size=7))
def test_parts_of_an_archive_hold_its_records(
    name: str, edges: list[int], sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = ARCHIVES[name]([page(number, size) for number, size in enumerate(sizes)])
    file = put(tmp_path_factory.mktemp("archive") / name, data)
    rows, tally = rows_of(file)
    found, damage = read_parts(parts_of(file, [edge * file.size // 4000 for edge in edges]))
    assert found == rows
    assert damage == tally.damage


def test_an_edge_at_each_byte_of_an_archive(tmp_path: Path) -> None:
    file = put(tmp_path / "a.warc.gz", members(*(page(n, 20) for n in range(3))))
    rows, _ = rows_of(file)
    for edge in range(1, file.size):
        assert read_parts(parts_of(file, [edge])) == (rows, []), f"edge at byte {edge}"


@settings(max_examples=60, deadline=None)
@given(
    lines=st.lists(st.text(max_size=6).map(lambda text: json.dumps({"text": text})) | st.sampled_from(["", "{", " "])),
    ending=st.sampled_from(["", "\n", "\r\n", "\n\n"]),
    edges=st.lists(st.integers(0, 400), max_size=5),
)
def test_parts_of_json_lines_hold_its_lines(
    lines: list[str], ending: str, edges: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Ids, sources and reports of bad lines are the same, because lines are counted through all parts."""
    data = ("\n".join(lines) + ending).encode()
    file = put(tmp_path_factory.mktemp("lines") / "a.jsonl", data or b"\n")
    rows, _ = rows_of(file)
    found, damage = read_parts(parts_of(file, edges))
    assert found == rows
    assert damage == []


PACKED = {
    "gz": gzip.compress,
    "members.gz": lambda data: gzip.compress(data[:50]) + gzip.compress(data[50:]),
    "zst": zstandard.ZstdCompressor().compress,
    "plain.gz": lambda data: data,
    "utf-16.gz": lambda data: gzip.compress(codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le")),
    "cut.gz": lambda data: gzip.compress(data, mtime=0)[: -8 if len(data) < 20 else -len(data) // 8],
}  # fmt: skip
"""How JSON lines are compressed, well or badly."""


@pytest.mark.parametrize("form", PACKED)
@given(
    lines=st.lists(st.text(max_size=6).map(lambda text: json.dumps({"text": text})) | st.sampled_from(["", "{", " "])),
    ending=st.sampled_from(["", "\n", "\n\n"]),
    edges=st.lists(st.integers(1, 300), max_size=4, unique=True),
)
@settings(max_examples=25)
def test_parts_of_compressed_json_lines_hold_its_lines(
    form: str, lines: list[str], ending: str, edges: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Parts are ranges of the content; damage is reported by one of them."""
    data = ("\n".join(lines) + ending).encode() or b"\n"
    file = put(tmp_path_factory.mktemp("lines") / f"a.jsonl.{form.rpartition('.')[2]}", PACKED[form](data))
    rows, tally = rows_of(file)
    bounds = [0, *sorted(edges), 1 << 60]
    parts = [replace(file, part=ByteRange(a, b - a)) for a, b in itertools.pairwise(bounds)]
    _, before = survey(parts)
    parts = [replace(part, first_line=n) for part, n in zip(parts, before, strict=True)]
    assert read_parts(parts) == (rows, [line for line in tally.damage if line != "contains no records"])


def test_parts_far_into_a_compressed_file_begin_at_the_right_line(tmp_path: Path) -> None:
    """Everything before a part is decompressed, but not looked at: edges at, before and after the ends of lines and of
    the portions in which the content arrives.
    """
    draw = random.Random(0)
    lines = [json.dumps({"text": draw.randbytes(draw.randrange(900)).hex()}).encode() + b"\n" for _ in range(2000)]
    file = put(tmp_path / "a.jsonl.gz", gzip.compress(b"".join(lines), 1))
    with closing(open_stream(file.path)) as stream:
        portions = [len(data) for data in utf8_text(stream, file.path, [])]
    assert len(portions) > 10
    rows, _ = rows_of(file)
    ends = [*itertools.accumulate(map(len, lines[:-1]))]
    near = [
        end + by for end in (*draw.sample(ends, 5), *[*itertools.accumulate(portions)][2:-1:4]) for by in (-1, 0, 1)
    ]
    bounds = [0, *sorted(set(near)), 1 << 60]
    parts = [replace(file, part=ByteRange(a, b - a)) for a, b in itertools.pairwise(bounds)]
    _, before = survey(parts)
    parts = [replace(part, first_line=n) for part, n in zip(parts, before, strict=True)]
    assert read_parts(parts) == (rows, [])


def test_compressed_objects_on_several_lines_are_read_with_the_first_part(tmp_path: Path) -> None:
    data = json.dumps([{"text": f"t{i}"} for i in range(50)], indent=1).encode()
    file = put(tmp_path / "a.jsonl.gz", gzip.compress(data))
    rows, _ = rows_of(file)
    assert len(rows) == 50
    assert read_parts([replace(file, part=ByteRange(a, 300)) for a in range(0, 900, 300)]) == (rows, [])


def test_large_compressed_json_lines_are_cut_into_at_most_sixteen_parts() -> None:
    units = cut([sized("a.jsonl.zst", 1 << 30)], 128 << 20)
    bounds = [unit[0].part for unit in units]
    assert [part and part.offset for part in bounds] == [3 * i << 27 for i in range(8)]
    assert all(a and b and a.offset + a.length == b.offset for a, b in itertools.pairwise(bounds))
    assert len(cut([sized("a.jsonl.gz", 1 << 40)], 128 << 20)) == 16


def test_a_small_compressed_file_is_cut_into_fewer_parts_than_a_plain_one() -> None:
    """By default; the number of bytes in a unit that somebody asked for is kept."""
    assert [len(cut([sized("a.jsonl.gz", size << 20)])) for size in (15, 16, 31)] == [1, 2, 3]
    assert [len(cut([sized("a.jsonl", size << 20)])) for size in (15, 16, 31)] == [3, 4, 7]
    assert len(cut([sized("a.jsonl.gz", 16 << 20)], 2 << 20)) == 8


HIDDEN = {
    "gzip": gzip.compress,
    "utf-16-le": lambda data: codecs.BOM_UTF16_LE + data.decode().encode("utf-16-le"),
    "utf-16-be": lambda data: codecs.BOM_UTF16_BE + data.decode().encode("utf-16-be"),
}


@pytest.mark.parametrize("form", HIDDEN)
def test_json_lines_that_are_not_what_their_name_says_are_read_with_the_first_part(tmp_path: Path, form: str) -> None:
    data = b"".join(json.dumps({"text": f"t{i}"}).encode() + b"\n" for i in range(300))
    file = put(tmp_path / "a.jsonl", HIDDEN[form](data))
    rows, _ = rows_of(file)
    assert [row[4] for row in rows] == [f"t{i}" for i in range(300)]
    assert read_parts(parts_of(file, [100, 200])) == (rows, [])


def test_parts_of_a_parquet_file_hold_its_row_groups(tmp_path: Path) -> None:
    table = pa.table({"text": [f"text {i}" for i in range(100)]})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=7)
    (file,) = list_files([str(tmp_path / "a.parquet")])
    rows, _ = rows_of(file)
    for edge in range(0, file.size, 97):
        assert read_parts(parts_of(file, [edge, edge // 2])) == (rows, [])


def test_a_broken_parquet_file_is_named_once(tmp_path: Path) -> None:
    file = put(tmp_path / "a.parquet", b"PAR1" + bytes(900) + b"PAR1")
    found, damage = read_parts(parts_of(file, [300, 600]))
    assert found == []
    assert len(damage) == 1


def sized(name: str, size: int, kind: str = "jsonl", **fields: object) -> InputFile:
    return InputFile(path=f"/{name}", name=name, kind=kind, size=size, **fields)  # type: ignore[arg-type]


MB = 1 << 20


def test_small_files_are_put_together_and_large_ones_are_cut() -> None:
    files = [*(sized(f"{i:05d}.jsonl", 2000) for i in range(1000)), sized("big.jsonl", 40 * MB)]
    units = cut(files)
    assert [file.name for unit in units for file in unit if file.part is None] == [f.name for f in files[:-1]]
    sizes = [sum(file.size if file.part is None else file.part.length for file in unit) for unit in units]
    assert sum(sizes) == sum(file.size for file in files)
    assert max(sizes) <= 4 * MB
    assert len(units) < 20
    parts = [unit[0].part for unit in units if unit[0].part is not None]
    assert len(parts) == 10
    assert [a.offset + a.length for a in parts if a] == [*(b.offset for b in parts[1:] if b), 40 * MB]


def test_a_huge_pool_is_cut_into_units_of_256_mb() -> None:
    units = cut([sized(f"{i}.warc.gz", 1 << 30, "warc") for i in range(1000)])
    assert len(units) == 4000
    assert {unit[0].part.length for unit in units if unit[0].part} == {256 << 20}


@pytest.mark.slow
def test_the_largest_pools_are_cut_into_a_million_units_at_most() -> None:
    files = [sized(f"{i:03d}.warc.gz", 1 << 42, "warc") for i in range(300)]  # as much as a million files of 1.3 GB
    assert unit_bytes_for(files) == (300 << 42) // 1_000_000
    assert 900_000 < len(cut(files)) <= 1_000_000
    small = [sized(f"{i:03d}.warc.gz", 10 << 20, "warc") for i in range(3)]
    assert sum(len(unit) for unit in cut(small, 25 << 20)) == 3


@pytest.mark.parametrize(
    "name", ["a.json.gz", "a.json", "a.arc.gz", "a.warc.lz4", "a.csv.zst"], ids=lambda name: str(name)
)
def test_what_cannot_be_read_from_the_middle_is_not_cut(name: str) -> None:
    assert cut([sized(name, 1 << 30)]) == [(sized(name, 1 << 30),)]


def test_ranges_limits_kinds_and_artifacts_keep_files_as_they_are() -> None:
    ranged = sized("a.warc.gz", 1 << 30, "warc", ranges=(ByteRange(0, 9),))
    assert cut([ranged]) == [(ranged,)]
    big = sized("a.jsonl", 1 << 30)
    assert cut([big], limited=True) == [(big,)]
    assert cut([big, big], 0) == [(big,), (big,)]
    one, other = sized("a.jsonl", 10), sized("b.parquet", 10, "parquet")
    assert cut([one, other]) == [(one,), (other,)]
    shards = [sized(f"{i}.parquet", 10, "parquet", artifact=True) for i in range(3)]
    assert cut(shards) == [(shard,) for shard in shards]


def test_parts_that_do_not_meet_are_read_as_one() -> None:
    parts = [sized("a.warc", 30, "warc", part=ByteRange(start, 10)) for start in (0, 10, 20)]
    units = [(part,) for part in parts]
    good = [Seam(0, 12), Seam(12, None), None]
    assert without_bad_seams(units, good) == units
    assert without_bad_seams(units, [Seam(0, 25), None, Seam(25, None)]) == units
    for bad in ([Seam(0, 12), Seam(13, None), None], [Seam(0, None), None, Seam(21, None)], [Seam(0, 25), None, None]):
        mended = without_bad_seams(units, bad)
        assert [unit[0].part for unit in mended] == [ByteRange(0, 30), ByteRange(30, 0), ByteRange(30, 0)]
