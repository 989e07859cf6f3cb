"""What pages say about their use: read from generated WARC files, counted in the report, and acted upon by a filter."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.errors import ConfigError
from dclm.core.record import Record
from dclm.core.stages.engine import SerialEngine
from dclm.curate.options import CurateOptions
from dclm.curate.pipeline import bind, load_pipeline
from dclm.curate.stage import curate
from dclm.curate.step import Context
from dclm.filters.rights.statements import Statements, read_statements
from dclm.filters.rights.step import COLUMNS, Rights, RightsFilter
from dclm.pool.files import list_files
from dclm.report.build import SILENT, build_report
from tests.pool.pool_archives import members, record, response

TEXT = "<p>Some words that are long enough to be the main text of this page, for the extractor to find them.</p>"
BY_SA = "https://creativecommons.org/licenses/by-sa/4.0/"


def page(head: str = "", body: str = "") -> bytes:
    return f"<html><head><title>t</title>{head}</head><body>{TEXT}{body}</body></html>".encode()


@pytest.mark.parametrize(
    ("header", "html", "expected"),
    [
        (None, page(), (None, None, None)),
        ("tdm-reservation: 1", page(), ("reserved", None, None)),
        ("TDM-Reservation: 0", page(), ("not reserved", None, None)),
        ("tdm-reservation: yes", page(), (None, None, None)),
        (None, page('<meta name="tdm-reservation" content="1">'), ("reserved", None, None)),
        ("tdm-reservation: 0", page("<META CONTENT=1 NAME=tdm-reservation>"), ("reserved", None, None)),
        (None, page("<meta name='robots' content='NoAI, noimageai, index'>"), (None, "noai,noimageai", None)),
        ("x-robots-tag: noindex, max-snippet: 20", page(), (None, "noindex", None)),
        ("x-robots-tag: googlebot: noindex, noai", page(), (None, None, None)),
        ("x-robots-tag: none\nx-robots-tag: noai", page(), (None, "noai,nofollow,noindex", None)),
        ("x-robots-tag: unavailable_after: 25 Jun 2030 15:00:00 PST", page(), (None, None, None)),
        (None, page('<meta name="googlebot" content="noai">'), (None, None, None)),
        (None, page(f'<link rel="license" href="{BY_SA}">'), (None, None, "CC BY-SA 4.0")),
        (None, page(body=f'<a href="{BY_SA}deed.de" rel="nofollow license">x</a>'), (None, None, "CC BY-SA 4.0")),
        (None, page(body=f'<a href="{BY_SA}">x</a>'), (None, None, None)),
        (f'link: <{BY_SA}>; rel="license"', page(), (None, None, "CC BY-SA 4.0")),
        (f'link: <{BY_SA}>; rel="next", </x>; rel=license', page(), (None, None, None)),
        (None, page('<meta name="DC.Rights" content="Licensed under CC BY-NC-ND 3.0.">'),
         (None, None, "CC BY-NC-ND 3.0")),
        (None, page('<meta name="dcterms.license" content="CC0">'), (None, None, "CC0")),
        (None, page('<meta name="dc.rights" content="All rights reserved by CC Byte Ltd">'), (None, None, None)),
        (None, page('<script type="application/ld+json">{"@graph": [{"license": '
                    '{"@id": "http://creativecommons.org/publicdomain/zero/1.0/"}}]}</script>'),
         (None, None, "CC0 1.0")),
        (None, page('<script type="application/ld+json">{"license": oops</script>'), (None, None, None)),
        (None, page('<link rel="license" href="https://creativecommons.org/publicdomain/mark/1.0/">'
                    '<link rel="license" href="https://creativecommons.org/licenses/by/3.0/de/">'),
         (None, None, "CC BY 3.0; Public Domain Mark 1.0")),
        (None, page('<link rel="license" href="https://www.gnu.org/licenses/gpl-3.0.html">'), (None, None, None)),
        (None, page('<!-- <meta name="robots" content="noai"> -->'), (None, None, None)),
        (None, page("<script>'<meta name=\"robots\" content=\"noai\">'</script>"), (None, None, None)),
        (None, page(body='<textarea><meta name="robots" content="noai"></textarea>'), (None, None, None)),
        (None, page('<!-- x --><meta name="robots" content="noai">'), (None, "noai", None)),
        (None, page('<meta name="robots" content="no&#97;i">'), (None, "noai", None)),
    ],
)  # fmt: skip
def test_statements_are_found_where_standards_put_them(
    header: str | None, html: bytes, expected: tuple[str | None, ...]
) -> None:
    assert read_statements(header, html) == Statements(*expected)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200), st.lists(st.sampled_from(
    ["<", ">", "<!--", "-->", "<script", " type=application/ld+json>", "</script>",
     '<meta name="robots" content="noai">',
     '{"license": [', "]}", '"', "'", "=", "<a rel=license href=", "\0", "é", "license"]), max_size=30))  # fmt: skip
def test_no_page_breaks_it(header: str, parts: list[str]) -> None:
    found = read_statements(header, "".join(parts).encode("utf-8", "replace"))
    assert all(value is None or value.isprintable() for value in found)


@pytest.mark.parametrize(
    "part", [b"<!--", b"<script", b"<meta ", b"<a rel=license x=", b"license<", b"<link a='", b"<<a "]
)
@pytest.mark.timeout(100)  # a scan whose time grows with the square of the length would take hours
def test_no_page_takes_more_time_than_its_length_allows(part: bytes) -> None:
    found = read_statements(None, b"license robots " + part * (2_000_000 // len(part)))
    assert found == Statements(None, None, None)


PAGES: list[tuple[bytes, tuple[str, ...]]] = [
    (page(), ()),
    (page(), ("TDM-Reservation: 1",)),
    (page('<meta name="robots" content="noai">'), ()),
    (page(), ("X-Robots-Tag: noarchive",)),
    (page(body=f'<a rel="license" href="{BY_SA}">x</a>'), ()),
    (page(), (f'Link: <{BY_SA}>; rel="license"', "tdm-reservation: 0")),
]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rights") / "a.warc.gz"
    records = (
        record(n, response(html.replace(b"words", b"words " * (n + 1)), "Content-Type: text/html", *headers))
        for n, (html, headers) in enumerate(PAGES)
    )
    path.write_bytes(members(*records))
    return path


def run(pool: Path, out: Path, steps: str) -> Record:
    file = out.parent / f"{out.name}.yaml"
    file.write_text(f"name: rights\nsteps: {steps}\n")
    options = CurateOptions(max_reject_fraction=1.0)
    return curate(bind(load_pipeline(file)), list_files([str(pool)]), out, options, SerialEngine())


def documents(out: Path) -> pa.Table:
    return pa.concat_tables([pq.read_table(path) for path in sorted((out / "documents").iterdir())])


def test_columns_are_in_documents_and_ledger_and_the_report_counts_them(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", "[rights, extract]")
    table = documents(tmp_path / "out")
    assert table["rights_tdm"].to_pylist() == [None, "reserved", None, None, None, "not reserved"]
    assert table["rights_robots"].to_pylist() == [None, None, "noai", "noarchive", None, None]
    assert table["rights_license"].to_pylist() == [None, None, None, None, "CC BY-SA 4.0", "CC BY-SA 4.0"]
    tables = {table.title: table.lists["most frequent"] for table in build_report(tmp_path / "out", None).tables[:3]}
    assert {(group.key, group.read) for group in tables["rights_tdm"]} == {
        ("reserved", 1), ("not reserved", 1), (SILENT, 4),
    }  # fmt: skip
    assert {(group.key, group.kept) for group in tables["rights_license"]} == {("CC BY-SA 4.0", 2), (SILENT, 4)}


@pytest.mark.parametrize(
    ("settings", "kept", "rules"),
    [
        ("{}", [0, 3, 4, 5], {1: "tdm", 2: "robots"}),
        ("{tdm: false, robots: [noai, noarchive]}", [0, 1, 4, 5], {2: "robots", 3: "robots"}),
        ("{licenses: [CC BY-SA, CC0]}", [4, 5], {0: "license", 1: "tdm", 2: "robots", 3: "license"}),
        ("{licenses: [CC BY]}", [], {0: "license", 1: "tdm", 2: "robots", 3: "license", 4: "license", 5: "license"}),
    ],
)
def test_the_filter_drops_by_them_and_names_the_rule(
    pool: Path, tmp_path: Path, settings: str, kept: list[int], rules: dict[int, str]
) -> None:
    run(pool, tmp_path / "out", f"[rights, extract, {{rights_filter: {settings}}}]")
    ledger = pq.read_table(next((tmp_path / "out" / "ledger").iterdir())).to_pylist()
    assert [n for n, row in enumerate(ledger) if row["step"] is None] == kept
    assert {n: row["rule"] for n, row in enumerate(ledger) if row["step"] == "rights_filter"} == rules


def test_without_the_step_nothing_changes(pool: Path, tmp_path: Path) -> None:
    run(pool, tmp_path / "out", "[extract]")
    assert documents(tmp_path / "out").schema.names == ["id", "url", "date", "source", "text"]


def test_a_pool_of_text_says_nothing(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"text": "a"}\n')
    run(tmp_path / "p.jsonl", tmp_path / "out", "[rights, rights_filter]")
    assert [documents(tmp_path / "out")[name].to_pylist() for name in COLUMNS] == [[None]] * 3


def test_the_filter_without_the_step_is_told_where_it_belongs(pool: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="put `- rights` before `extract`"):
        run(pool, tmp_path / "out", "[extract, rights_filter]")


def test_a_column_of_the_pool_is_not_replaced() -> None:
    batch = pa.record_batch({"id": ["a"], "text": ["t"], "rights_license": ["mine"]})
    with pytest.raises(ConfigError, match="`rights_license` already exists"):
        Rights().open(Context())(batch)


def test_licenses_are_compared_without_their_versions() -> None:
    values = ["CC BY 2.0", "CC BY-NC 4.0", "CC BY 3.0; CC0 1.0", "CC0", None]
    batch = pa.record_batch({"rights_tdm": pa.nulls(5, pa.string()), "rights_robots": pa.nulls(5, pa.string()),
                             "rights_license": values})  # fmt: skip
    keep = RightsFilter(licenses=("CC BY", "CC0")).open(Context())
    assert keep(batch).to_pylist() == [True, False, True, True, False]
