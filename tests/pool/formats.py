"""docs/formats.md, row by row: each row is made, read and checked here.

`python -m tests.pool.formats` prints the page; with `--write`, into the file.
"""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import brotli
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

from dclm.extract.encoding import decode_detected
from dclm.extract.media import MediaType, media_type
from dclm.pool.archives.http import parse_response
from dclm.pool.files import ARC, ENDINGS, PACKED, list_files
from dclm.pool.read import Tally, read_file
from dclm.pool.texts.layout import FieldName, Fields
from dclm.pool.texts.recognize import LAYOUTS

TARGET = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
TEXT = "Grüße an die Leser dieser Seite."
URL = "http://a.example/x"


PACKINGS: Mapping[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".zst": zstandard.compress,
    ".zstd": zstandard.compress,
    ".lz4": lambda data: pa.Codec("lz4").compress(data, asbytes=True),
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
}


def _warc(kind: str, block: bytes, content_type: str) -> bytes:
    head = (
        f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Date: 2024-05-06T07:08:09Z\r\nWARC-Target-URI: {URL}\r\n"
        f"WARC-Record-ID: <urn:uuid:00000000-0000-4000-8000-000000000001>\r\nContent-Type: {content_type}\r\n"
        f"Content-Length: {len(block)}\r\n\r\n"
    )
    return head.encode() + block + b"\r\n\r\n"


def _response(body: bytes, *headers: str) -> bytes:
    return ("HTTP/1.1 200 OK\r\n" + "".join(f"{h}\r\n" for h in headers) + "\r\n").encode() + body


def _arc() -> bytes:
    block = _response(TEXT.encode(), "Content-Type: text/html")
    version = b"1 0 Org\nURL IP-address Archive-date Content-type Archive-length\n"
    head = f"filedesc://x.arc 0.0.0.0 20240506070809 text/plain {len(version)}\n".encode() + version + b"\n"
    return head + f"{URL} 1.2.3.4 20240506070809 text/html {len(block)}\n".encode() + block + b"\n"


_PAGE = _warc("response", _response(TEXT.encode(), "Content-Type: text/html"), "application/http; msgtype=response")
_LINES = b"".join(json.dumps({"text": TEXT, "url": URL}).encode() + b"\n" for _ in range(2))
CONTENTS: Mapping[str, tuple[bytes, str]] = {
    ".warc": (_PAGE, "WARC: pages (`response`, `resource`), texts (`conversion`)"),
    ".wet": (_warc("conversion", TEXT.encode(), "text/plain"), "WET: Common Crawl's texts"),
    ".wat": (_warc("metadata", b"{}", "application/json"), "WAT: metadata, no record of which is a page"),
    ".arc": (_arc(), "ARC, the format before WARC"),
    ".jsonl": (_LINES, "JSON lines"),
    ".json": (json.dumps([json.loads(line) for line in _LINES.splitlines()], indent=1).encode(),
              "JSON lines, one array of objects, or objects over several lines"),
    ".ndjson": (_LINES, "JSON lines"),
    ".jl": (_LINES, "JSON lines"),
    ".csv": (f'url,text\n{URL},"{TEXT}"\n'.encode(), "comma-separated values with a header"),
    ".tsv": (f"url\ttext\n{URL}\t{TEXT}\n".encode(), "tab-separated values with a header"),
}  # fmt: skip


def _parquet() -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table({"text": [TEXT], "url": [URL]}), out)
    return out.getvalue()


def read(path: Path) -> tuple[set[str | None], Tally]:
    """The texts (for pages, the bodies) of a file, and the reader's findings."""
    (file,) = list_files([str(path)])
    tally = Tally()
    found: set[str | None] = set()
    for batch in read_file(file, tally):
        values = batch.column("body" if "body" in batch.schema.names else "text").to_pylist()
        found |= {v.decode() if isinstance(v, bytes) else v for v in values}
    return found, tally


def files(folder: Path) -> Iterator[tuple[str, str, str]]:
    """Extension, supported packings, description. Every file is written and read."""
    for stem, (content, what) in CONTENTS.items():
        packings = [p for p in ("", *PACKED) if f"{stem}{p}" in ENDINGS]
        for packing in packings:
            path = folder / f"a{stem}{packing}"
            path.write_bytes(PACKINGS[packing](content))
            texts, tally = read(path)
            assert texts == (set() if stem == ".wat" else {TEXT}), path.name
            assert tally.damage == [], path.name
        yield stem, " ".join(p or "plain" for p in packings), what
    (folder / "a.parquet").write_bytes(_parquet())
    assert read(folder / "a.parquet")[0] == {TEXT}
    yield ".parquet", "as its writer chose", "Parquet with a column of text"
    known = {f"{s}{p}" for s in (*CONTENTS, ".parquet") for p in ("", *PACKED)}
    assert set(ENDINGS) <= known
    assert set(ARC) <= known


def odd_files() -> Iterator[tuple[str, str, bytes, set[str | None]]]:
    """Description, file name, content, texts: valid files that other readers consider damaged."""
    frame = zstandard.ZstdCompressor(write_content_size=True).compress
    half = len(_LINES) // 2
    skip = b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd"
    member = lambda data: gzip.compress(data, mtime=0)  # noqa: E731
    both: set[str | None] = {TEXT}
    parts = _LINES[:half], _LINES[half:]
    several = b"".join(map(member, parts))
    yield "several gzip members, cut anywhere (bgzip, `cat a.gz b.gz`)", "a.jsonl.gz", several, both
    yield "several Zstandard frames (pzstd)", "a.jsonl.zst", b"".join(map(frame, parts)), both
    yield "skippable Zstandard frames, even at the start", "a.jsonl.zst", skip + frame(_LINES) + skip, both
    words = zstandard.ZstdCompressionDict(_PAGE * 40, dict_type=zstandard.DICT_TYPE_RAWCONTENT)
    packed = zstandard.ZstdCompressor(dict_data=words).compress(_PAGE)
    head = b"\x5d\x2a\x4d\x18" + len(words.as_bytes()).to_bytes(4, "little") + words.as_bytes()
    yield "`.warc.zst` with its dictionary in the first frame", "a.warc.zst", head + packed, both
    yield "an empty part, compressed or not", "a.jsonl.gz", member(b""), set()
    yield "one gzip member per record, or one for all", "a.warc.gz", member(_PAGE) + member(_PAGE), both
    yield "WARC with bare line feeds, which is reported as damage", "a.warc", _PAGE.replace(b"\r\n", b"\n"), both
    yield "a byte order mark before JSON", "a.jsonl", b"\xef\xbb\xbf" + _LINES, both
    utf16 = _LINES.decode().encode("utf-16")
    yield "JSON lines, CSV and TSV in UTF-16 with a byte order mark", "a.jsonl", utf16, both
    yield "JSON lines that end with \\r\\n, and blank lines", "a.jsonl", _LINES.replace(b"\n", b"\r\n\r\n"), both
    yield "compressed files without a matching extension", "a.jsonl", member(_LINES), both


def check_odd_files(folder: Path) -> Iterator[str]:
    """Description of each file, once read."""
    for number, (what, name, content, texts) in enumerate(odd_files()):
        (folder / str(number)).mkdir()
        path = folder / str(number) / name
        path.write_bytes(content)
        found, tally = read(path)
        assert found == texts, what
        assert bool(tally.damage) == ("damage" in what), (what, tally.damage)
        yield what


def layouts() -> Iterator[tuple[str, ...]]:
    """Corpus and its fields of text, URL, id and date; each has an example in test_pool_recognize."""
    for name in dict.fromkeys(name for name, _ in LAYOUTS):
        fields = next(sorted(f) for n, f in LAYOUTS if n == name)
        yield name, ", ".join(f"`{field}`" for field in fields)


SAMPLES = {
    "utf-8": "Größe naïve €5 日本 Привет",
    "utf-16le": "Plain words and a few more: Grüße",
    "utf-16be": "Plain words and a few more: Grüße",
    "windows-1252": "Die größten Bäume “wachsen” über den Häusern – für 5 € pro Stück, sagt Jürgen Müller. ",
    "iso-8859-1": "Die größten Bäume wachsen über den Häusern, für zehn Mark pro Stück, sagt Jürgen Müller. ",
    "iso-8859-15": "Les élèves français ont été très étonnés par le prix de 5 € à la fête de l'été. ",
    "windows-1250": "Příliš žluťoučký kůň úpěl ďábelské ódy, a všichni ho dobře slyšeli na celé náměstí. ",
    "iso-8859-2": "Zażółć gęślą jaźń, bo każdy Polak wie, że książka leży na półce obok łóżka. ",
    "windows-1251": "Съешь же ещё этих мягких французских булок, да выпей чаю, пока он горячий. ",
    "koi8-r": "Съешь же ещё этих мягких французских булок, да выпей чаю, пока он горячий. ",
    "windows-1253": "Ξεσκεπάζω την ψυχοφθόρα βδελυγμία, και όλοι οι άνθρωποι το ακούν στην πλατεία. ",
    "windows-1254": "Pijamalı hasta yağız şoföre çabucak güvendi ve bütün şehir bunu öğrendi. ",
    "windows-1255": "דג סקרן שט בים מאוכזב ולפתע מצא לו חברה, וכולם שמחו מאוד על המפגש הזה. ",
    "windows-1256": "نص حكيم له سر قاطع وذو شأن عظيم مكتوب على ثوب أخضر ومغلف بجلد أزرق. ",
    "windows-1257": "Įlinkdama fechtuotojo špaga sublykčiojusi pragręžė apvalų arbūzą, ir visi tai matė. ",
    "shift_jis": "いろはにほへと、日本語の文章はこのように書かれています。今日は天気がとても良いです。",
    "euc-jp": "いろはにほへと、日本語の文章はこのように書かれています。今日は天気がとても良いです。",
    "iso-2022-jp": "いろはにほへと、日本語の文章はこのように書かれています。今日は天気がとても良いです。",
    "gb18030": "今天天气很好，我们一起去公园散步，看看那里的花和树木，然后回家吃晚饭。",
    "gbk": "今天天气很好，我们一起去公园散步，看看那里的花和树木，然后回家吃晚饭。",
    "big5": "今天天氣很好，我們一起去公園散步，看看那裡的花和樹木，然後回家吃晚飯。",
    "euc-kr": "오늘은 날씨가 매우 좋아서 우리는 함께 공원에 가서 산책을 하고 꽃과 나무를 보았습니다.",
    "windows-874": "วันนี้อากาศดีมาก เราไปเดินเล่นที่สวนสาธารณะด้วยกัน และดูดอกไม้กับต้นไม้ที่นั่น",
}
_CODECS = {"windows-874": "cp874", "utf-16le": "utf-16-le", "utf-16be": "utf-16-be"}


def encodings() -> Iterator[tuple[str, str, str, str]]:
    """Encoding, and whether a page in it is read correctly if the header, a <meta> or nothing names it."""
    for name, sample in SAMPLES.items():
        codec = _CODECS.get(name, name)
        page = f"<html><head><title>{sample}</title></head><body><p>{sample * 6}</p></body></html>"
        meta = page.replace("<head>", f'<head><meta charset="{name}">')
        header = decode_detected(page.encode(codec), f"text/html; charset={name}") == page
        inside = decode_detected(meta.encode(codec), "text/html") == meta
        nothing = decode_detected(page.encode(codec), None) == page
        assert header, name
        assert inside, name
        yield name, *("yes" if right else "no" for right in (header, inside, nothing))


def codings() -> Iterator[tuple[str, str]]:
    """HTTP coding, its header."""
    body = TEXT.encode() * 20
    deflate = zlib.compressobj(wbits=-15)
    raw = deflate.compress(body) + deflate.flush()
    chunked = b"".join(b"%x\r\n%b\r\n" % (len(c), c) for c in (body[:100], body[100:])) + b"0\r\n\r\n"
    for what, header, data in (
        ("gzip", "Content-Encoding: gzip", gzip.compress(body)),
        ("deflate, with and without zlib's header", "Content-Encoding: deflate", zlib.compress(body)),
        ("deflate, with and without zlib's header", "Content-Encoding: deflate", raw),
        ("Brotli", "Content-Encoding: br", brotli.compress(body)),
        ("Zstandard", "Content-Encoding: zstd", zstandard.compress(body)),
        ("several, nested", "Content-Encoding: br, gzip", gzip.compress(brotli.compress(body))),
        ("chunked", "Transfer-Encoding: chunked", chunked),
        ("named but not applied, as stored by crawls", "Content-Encoding: gzip", b"<p>" + body),
    ):
        found = parse_response(_response(data, "Content-Type: text/html", header))
        assert found.reject is None, what
        assert bytes(found.body or b"").endswith(body), what
        yield what, header
    cut = parse_response(_response(gzip.compress(bytes(range(256)) * 400)[:-20], "Content-Encoding: gzip"))
    assert cut.body
    assert cut.cut
    yield "any of them, truncated: the readable part, counted under `partial`", "Content-Encoding: gzip"


MEDIA = (
    (b"<!doctype html><p>x", "text/html", "text/html"), (b"<?xml version='1.0'?><html>", None, "application/xhtml+xml"),
    (b"words alone", "text/plain", "text/plain"), (b"\x89PNG\r\n\x1a\n\0\0", "text/html", "image/png"),
    (b"\xff\xd8\xff\xe0\0", "text/html", "image/jpeg"), (b"%PDF-1.7\n", "text/html", "application/pdf"),
    (b"body { color: red }", "text/css", "text/css"), (b"var x = 1;", "text/javascript", "text/javascript"),
    (b"wOF2\0\x01\0\0", "text/plain", "font/woff2"), (b"{}", "application/json", "application/json"),
)  # fmt: skip


def media() -> Iterator[tuple[str, str, str]]:
    """Media type, declaration, decision of `media_type`."""
    for start, declared, kind in MEDIA:
        assert media_type(start, declared) == kind
        yield kind, declared or "not", "kept" if kind in MediaType().keep else "dropped"


def _table(head: str, rows: Iterator[tuple[str, ...]]) -> Iterator[str]:
    columns = head.split(" | ")
    yield f"| {head} |\n|{'---|' * len(columns)}"
    yield from (f"| {' | '.join(row)} |" for row in dict.fromkeys(rows))


ABOUT_COMMON_CRAWL = """
## Common Crawl

`dclm pool commoncrawl CRAWL …` lists the files of a selection; in a recipe, write `pool: {commoncrawl: {crawl: …, …}}`.
Files and byte ranges are fetched when they are read, at the pace that the server allows. A pool's identity is its paths
in the crawl, whatever the mirror. Tests: `tests/pool/test_pool_commoncrawl.py`.

| selection | what is read |
|---|---|
| `warcs: 10` | ten WARC files, drawn by `seed` |
| `warcs: 10, format: wet` | ten WET files: Common Crawl's own text |
| `urls: ["*.example.com", "example.org/blog*"]` | captures of these URLs, by the index of URLs |
| `where: {content_languages: [deu], url_host_tld: [de, at]}` | captures, by the columnar index |
| `index: [query.parquet]` | captures that a Parquet file lists |

`parts: 5` reads five files of the crawl's columnar index instead of all. Your own index must have the same columns:
`warc_filename`, `warc_record_offset`, `warc_record_length`, and those that `where` names.
"""
HEAD = """<!-- Made by `python -m tests.pool.formats --write`; edits here are lost. -->

# Supported formats

`tests/pool/test_pool_formats.py` makes, reads and compares every row of this page; a wrong row fails there. If a file's
content and name disagree, the content decides. Other files of a directory are named and counted in the record
(`counts.unread`)."""
ABOUT_LAYOUTS = """A layout is recognized by fields that no other layout has, and announced before reading. In any
layout, the first of these fields that a document has is used. A recipe can name other fields:
`pool: {jsonl: …, text: NAME}`, and likewise `url`, `id`, `date` and `keep`. `a.b` is `b` in `a`, whether that is an
object, a map, or JSON text.
"""
ABOUT_ENCODINGS = """With `encoding: detect` these decide, in this order: byte order mark, HTTP header, `<meta>`, XML
declaration, statistics. With `encoding: utf-8`, as in DCLM, every other page is a reject. A label decides unless the
bytes contradict it, and bytes that do not fit become U+FFFD. The last column shows pages without any label, whose
encoding is guessed.
"""
ABOUT_MEDIA = """Decisions of the step `media_type` by default, from the declared type and the first bytes.
"""


def page() -> str:
    """The whole page."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        plain = [(f"`{stem}`", packings, what) for stem, packings, what in files(folder)]
        odd = [f"- {what}" for what in check_odd_files(folder)]
    names: tuple[FieldName, ...] = ("text", "url", "id", "date")
    fields = ((name, ", ".join(f"`{path}`" for path in Fields().paths(name))) for name in names)
    lines = [
        HEAD, "\n## Files\n", *_table("ending | packing | what", iter(plain)),
        "\nAlso read, although other tools consider them damaged:\n", *odd,
        "\n## Layouts\n", ABOUT_LAYOUTS, *_table("column | fields, in order of precedence", fields), "",
        *_table("corpus | recognized by", layouts()),
        "\n## Encodings\n", ABOUT_ENCODINGS,
        *_table("encoding | in the header | in `<meta>` | not declared", encodings()),
        "\n## HTTP codings\n", *_table("coding | header", codings()),
        "\n## Media types\n", ABOUT_MEDIA, *_table("type | declared | decision", media()),
        ABOUT_COMMON_CRAWL.rstrip(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    if "--write" in sys.argv:
        TARGET.write_text(page(), encoding="utf-8")
    else:
        print(page())
