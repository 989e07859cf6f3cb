"""The extract step: parity with DCLM's extraction, harmful pages, and rejects."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.core.record import fingerprint
from dclm.curate.step import Context
from dclm.documents.schema import DOCUMENT, PAGE
from dclm.extract import harmless, step
from dclm.extract.extractors import NAMES, ExtractorName
from dclm.extract.guard import Guard
from dclm.extract.harmless import is_harmless
from dclm.extract.step import Extract
from dclm.pool.files import list_files
from dclm.pool.read import Tally, read_file


def pages(
    *bodies: bytes | None, content_type: str = "text/html", rejects: list[str | None] | None = None
) -> pa.RecordBatch:
    count = len(bodies)
    columns = {
        "id": [f"i{n}" for n in range(count)],
        "url": [f"http://x/{n}" for n in range(count)],
        "date": [None] * count,
        "content_type": [content_type] * count,
        "source": [f"f#{n}" for n in range(count)],
        "body": list(bodies),
        "_reject": rejects or [None] * count,
        "_row": list(range(count)),
    }
    schema = pa.schema([*PAGE, pa.field("_reject", pa.string()), pa.field("_row", pa.int64())])
    return pa.record_batch([pa.array(columns[f.name], f.type) for f in schema], schema=schema)


def extract(batch: pa.RecordBatch, **fields: object) -> pa.RecordBatch:
    found = Extract(**fields).open(Context())(batch)
    found.validate(full=True)
    assert [name for name in found.schema.names if not name.startswith("_")] == DOCUMENT.names
    return found


ARTICLE = (
    "<html><body><nav><a href=/>Home</a></nav><main><h1>Title</h1>"
    + "".join(
        f"<p>This is paragraph number {n} of the article, and it is long enough to be taken for real text by anyone "
        "who looks at the words, the stops, and the length of what is written here, because it has all that is "
        "expected of a paragraph: it begins, it goes on for a while, and then it comes to its end.</p>"
        for n in range(8)
    )
    + "</main></body></html>"
)


@pytest.mark.shared
@pytest.mark.slow
def test_the_crawls_pages_give_the_references_text(shared: Path) -> None:
    with gzip.open(shared / "conformance/refinedweb_input.jsonl.gz") as file:
        expected = {row["record_id"]: row["text"] for row in map(json.loads, file)}
    run = Extract().open(Context())
    found, rejects = {}, []
    for file in list_files([str(shared / "web/crawl-*.warc.gz")]):
        for batch in read_file(file, Tally()):
            done = run(batch)
            for name, text, reject in zip(
                *(done.column(c).to_pylist() for c in ("id", "text", "_reject")), strict=True
            ):
                if reject is None:
                    found[f"<urn:uuid:{name}>"] = text
                else:
                    rejects.append(reject)
    assert rejects == ["not UTF-8"] * 12
    assert len(expected) == 2287
    assert found == expected


def test_rejected_rows_and_documents_pass_through() -> None:
    found = extract(pages(b"<p>a", None, b"<p>c", rejects=[None, "broken", None]))
    assert found.column("text").to_pylist() == ["a", None, "c"]
    assert found.column("_reject").to_pylist() == [None, "broken", None]
    assert found.column("_row").to_pylist() == [0, 1, 2]
    schema = pa.schema([*DOCUMENT])
    documents = pa.record_batch([pa.array(["x"], f.type) for f in schema], schema=schema)
    assert Extract().open(Context())(documents) is documents


def test_an_empty_batch_has_the_columns_of_a_full_one() -> None:
    assert extract(pages()).schema == extract(pages(b"<p>a")).schema


def test_an_empty_page_keeps_its_empty_text() -> None:
    bodies = [b"", b"   ", b"<html></html>", b"<!--", b"\0"]
    for name in NAMES:
        found = extract(pages(*bodies), with_=name)
        assert found.column("_reject").to_pylist() == [None] * 5, name
        assert found.column("text").to_pylist()[:4] == [""] * 4, name


def test_a_page_that_is_not_utf8_is_a_reject_unless_the_encoding_is_detected() -> None:
    body = "<html><p>Grüße aus Köln, schöne Straße für alle Mädchen</p></html>".encode("latin-1")
    assert extract(pages(body)).column("_reject").to_pylist() == ["not UTF-8"]
    found = extract(pages(body), encoding="detect")
    assert found.column("text").to_pylist() == ["Grüße aus Köln, schöne Straße für alle Mädchen"]


def test_a_page_larger_than_allowed_is_a_reject() -> None:
    found = extract(pages(b"<p>" + b"x" * 97, b"<p>" + b"x" * 98), max_bytes=100)
    assert found.column("_reject").to_pylist() == [None, "101 bytes, allowed: 100"]


def test_every_extractor_finds_the_article_and_leaves_the_navigation() -> None:
    for name in NAMES:
        (text,) = extract(pages(ARTICLE.encode()), with_=name).column("text").to_pylist()
        assert all(f"paragraph number {n} of" in text for n in range(8)), name
        assert "Home" not in text, name


def test_the_union_starts_with_the_first_and_repeats_nothing() -> None:
    alone = extract(pages(ARTICLE.encode())).column("text").to_pylist()[0]
    (text,) = (
        extract(pages(ARTICLE.encode()), with_=("resiliparse", "trafilatura", "justext")).column("text").to_pylist()
    )
    assert text.startswith(alone)
    assert text.count("paragraph number 3 of") == 1


EXTRACTORS: tuple[ExtractorName, ...] = (
    "resiliparse",
    "trafilatura",
    "justext",
)
"""trafilatura_precise is the same parser."""
HOSTILE = {
    "nested": "<div>" * 200_000 + "x",
    "attributes": "<p " + " ".join(f"a{n}=1" for n in range(200_000)) + ">x",
    "deep and long": "<div>" * 5_000 + "hello world " * 200_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_that_hangs_the_parser_is_a_reject_and_the_next_page_is_read(name: str) -> None:
    found = extract(
        pages(HOSTILE[name].encode(), b"<p>next", ("<p>big" + "<p>x" * 40_000).encode()), timeout_seconds=1.0
    )
    assert found.column("_reject").to_pylist()[:2] == ["timeout", None]
    assert found.column("text").to_pylist()[1] == "next"


def test_what_could_take_the_parser_long_is_parsed_in_the_child() -> None:
    names = " ".join(f"a{n}" for n in range(12_000))  # quadratic, in 80,000 characters
    for page in ("<" * 400_000, f"<p {names}>", "x" * 600_000, "<p a='>" * 50_000):
        assert not is_harmless(page, page.encode())
    for page in ("", "x", "<p>" * 10_000, f"<p>{'x' * 60_000}<p>{'y' * 60_000}<p>", ("<p>" + "的" * 9_000) * 30):
        assert is_harmless(page, page.encode())


@given(st.text("<abж的", max_size=60), st.integers(4, 20), st.integers(1, 60), st.integers(1, 900))
def test_risky_pages_are_found_by_their_characters(html: str, tag: int, size: int, cost: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(harmless, "_LONGEST_TAG", tag)
        patch.setattr(harmless, "_LARGEST_PAGE", size)
        patch.setattr(harmless, "_LARGEST_COST", cost)
        found = is_harmless(html, html.encode())
    *inner, last = html.split("<")
    is_short = all(len(text) < tag for text in inner) and len(last) <= tag
    assert found == (len(html) <= size and len(html) * html.count("<") <= cost and is_short)


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_is_stopped_at_its_time_and_goes_on(
    name: ExtractorName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harmless, "_LARGEST_PAGE", 0)
    slow = HOSTILE["nested"] if name == "resiliparse" else "<p>hello <b>world</b>" * 400_000
    bodies = (ARTICLE.encode(), slow.encode(), ARTICLE.encode())
    found = extract(pages(*bodies), with_=name, timeout_seconds=2.0)
    assert found.column("_reject").to_pylist() == [None, "timeout", None]


SMALLEST = {"resiliparse": 300_000, "trafilatura": 60_000}
"""Paragraphs that need more than 64 MiB, without much time."""


def needed_by(name: ExtractorName) -> int:
    """The peak address space of a child that extracted the article; 400 MiB if unknown."""
    guard = Guard(name, 60, 4 << 30)
    guard.extract(ARTICLE.encode())
    assert guard._process is not None
    status = Path(f"/proc/{guard._process.pid}/status")
    found = re.search(r"VmPeak:\s+(\d+) kB", status.read_text()) if status.exists() else None
    guard.close()
    return int(found.group(1)) << 10 if found else 400 << 20


@pytest.mark.parametrize("name", EXTRACTORS)
def test_every_extractor_is_stopped_at_its_memory_and_goes_on(
    name: ExtractorName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(harmless, "_LARGEST_PAGE", 0)
    # jusText's parser returns an empty text if memory runs out early, so it gets more and a larger page
    limit, count = (450 << 20, 600_000) if name == "justext" else (needed_by(name) + (64 << 20), SMALLEST[name])
    monkeypatch.setattr(step, "_MAX_MEMORY_BYTES", limit)
    bodies = (b"<p>hello <b>world</b>" * count, ARTICLE.encode())
    found = extract(pages(*bodies), with_=name, timeout_seconds=60)
    exploded, fine = found.column("_reject").to_pylist()
    assert exploded is not None
    assert exploded.startswith("parser failed: ")
    assert fine is None


AWKWARD = [
    ("<p>he\0llo\0</p>" * 50).encode(),
    ("a\n" * 1_000_000).encode(),
    ("<p>" + "é́̂" * 5_000).encode(),
    "<p>שלום עולם ‮ مرحبا</p>".encode(),
    b"<p>&#xD800; &#55296; &#0; &#x110000; &amp;lt;</p>",
    b"<" * 400_000,
    b"&amp" * 200_000,
    b"<!--" + b"-" * 400_000,
    b"<select><option>" * 20_000,
    b"<svg><math><p>x" * 5_000,
]


@pytest.mark.parametrize("body", AWKWARD, ids=range(len(AWKWARD)))
def test_awkward_pages_give_valid_text(body: bytes) -> None:
    (reject,) = extract(pages(body)).column("_reject").to_pylist()
    assert reject is None


@given(
    st.lists(st.one_of(st.binary(max_size=80), st.text(alphabet="<>/&;=\"'abpdiv \n\0é", max_size=80).map(str.encode)))
)
def test_every_page_is_a_text_or_a_reject(bodies: list[bytes]) -> None:
    for encoding in ("utf-8", "detect"):
        found = extract(pages(*bodies), encoding=encoding)
        assert found.num_rows == len(bodies)
        assert found.column("text").is_null().equals(found.column("_reject").is_valid())


def test_a_parser_that_raises_costs_one_page(monkeypatch: pytest.MonkeyPatch) -> None:
    class Panic(BaseException):
        """A panic as raised by Rust code in an extension."""

    def parse(html: str) -> str:
        if "bad" in html:
            raise Panic("out of range")
        return html

    monkeypatch.setattr(step, "load_extractor", lambda name: parse)
    found = extract(pages(b"bad", b"good"))
    assert found.column("_reject").to_pylist() == ["parser failed: Panic: out of range", None]


def test_yaml_says_with_and_the_fingerprint_tells_settings_apart() -> None:
    one = build(Extract, parse_yaml("with: trafilatura"))
    more = build(Extract, parse_yaml("with: [resiliparse, justext]\nencoding: detect\ntimeout_seconds: 5"))
    assert one == Extract(with_="trafilatura")
    assert more == Extract(with_=("resiliparse", "justext"), encoding="detect", timeout_seconds=5.0)
    assert len({fingerprint(e) for e in (one, more, Extract(), Extract(max_bytes=5))}) == 4
    for text in ("with: []", "with: [justext, justext]", "with: soup", "timeout_seconds: 0"):
        with pytest.raises(ConfigError):
            build(Extract, parse_yaml(text))


POEM = "Roses are red,\r\n\r\n  violets < blue\r\rand \ttabs > stay\n"


@pytest.mark.parametrize("with_", ["resiliparse", "trafilatura", "justext", ("resiliparse", "trafilatura")])
@pytest.mark.parametrize("encoding", ["utf-8", "detect"])
@pytest.mark.parametrize("content_type", ["text/plain", "Text/Plain; charset=utf-8"])
def test_plain_text_keeps_its_line_breaks(with_: object, encoding: str, content_type: str) -> None:
    batch = pages(b"\xef\xbb\xbf" + POEM.encode(), content_type=content_type)
    found = extract(batch, with_=with_, encoding=encoding)
    assert found["text"].to_pylist() == ["Roses are red,\n\n  violets < blue\n\nand \ttabs > stay\n"]


def test_what_is_called_plain_and_is_html_is_extracted_and_dclm_extracts_all() -> None:
    html = ARTICLE.encode()
    expected = extract(pages(html))["text"].to_pylist()
    assert extract(pages(html, content_type="text/plain"))["text"].to_pylist() == expected
    joined = extract(pages(POEM.encode(), content_type="text/plain"), plain_text="extract")["text"].to_pylist()
    assert "\n" not in joined[0]
    undeclared = pages(b"one\ntwo", b"one\n<b>two</b>", content_type="")
    tagged = extract(pages(b"one\n<b>two</b>"))["text"].to_pylist()
    assert extract(undeclared)["text"].to_pylist() == ["one\ntwo", *tagged]


def test_plain_text_in_another_encoding_is_decoded() -> None:
    batch = pages("grün\nblau".encode("cp1252"), content_type="text/plain; charset=windows-1252")
    assert extract(batch, encoding="detect")["text"].to_pylist() == ["grün\nblau"]
    assert extract(batch)["_reject"].to_pylist() == ["not UTF-8"]


NO_PAGES = [
    (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, "text/html", "image/png"),
    (b"\xff\xd8\xff\xe0" + bytes(range(256)) * 9, "", "image/jpeg"),
    (b"wOF2" + bytes(range(256)) * 9, "text/plain", "font/woff2"),
    (b"body { color: red }", "text/css", "text/css"),
    (b"var x = 1;", "application/javascript; charset=utf-8", "application/javascript"),
    (b'{"a": 1}', "application/json", "application/json"),
    (b"<svg><text>x</text></svg>", "image/svg+xml", "image/svg+xml"),
    (b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n", "text/html", "application/pdf"),
    (bytes(range(256)) * 9, "text/html", "binary data"),
]


@pytest.mark.parametrize(("body", "content_type", "what"), NO_PAGES)
def test_payloads_that_are_no_pages_are_rejects_when_encodings_are_detected(
    body: bytes, content_type: str, what: str
) -> None:
    found = extract(pages(body, content_type=content_type), encoding="detect")
    assert found["_reject"].to_pylist() == [f"no page: {what}"]


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (ARTICLE.encode("utf-16"), "text/html"),
        (ARTICLE.encode("utf-16-le"), "text/html"),
        (ARTICLE.encode("utf-16-be"), ""),
        (b"<?xml version='1.0'?><feed><p>some words</p></feed>", "application/atom+xml"),
        (ARTICLE.encode(), "application/octet-stream"),
        (ARTICLE.encode(), "application/json"),
        (b"", "text/html"),
        (b'\x1b$B$"$$\x1b(B words', "text/html; charset=iso-2022-jp"),
    ],
)
def test_pages_of_any_encoding_are_none_of_these(body: bytes, content_type: str) -> None:
    assert extract(pages(body, content_type=content_type), encoding="detect")["_reject"].to_pylist() == [None]
