"""Canonical host names: the same for every spelling, and stable."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.dedup.normalize import normalize_canonical_url
from dclm.pool.surt import parse_pattern
from dclm.select.groups import group_names
from dclm.select.quality import Threshold
from dclm.text.hosts import canonical_host, canonical_url, canonical_urls, hosts


@pytest.mark.parametrize(
    ("written", "canonical"),
    [
        ("Example.COM", "example.com"),
        ("example.com.", "example.com"),
        ("example.com:443", "example.com"),
        ("user:secret@example.com:80", "example.com"),
        ("faß.de", "xn--fa-hia.de"),
        ("ＥＸＡＭＰＬＥ．com", "example.com"),
        ("例え.テスト", "xn--r8jz45g.xn--zckzah"),
        ("a_b.Bücher.example", "a_b.xn--bcher-kva.example"),
        ("☃.net", "xn--n3h.net"),
        ("ex\u00adample.com", "example.com"),
        ("[2001:DB8:0:0::1]:8080", "2001:db8::1"),
        ("[v1.x]", "v1.x"),
        ("", ""),
    ],
)
def test_spellings_of_a_host_have_one_canonical_form(written: str, canonical: str) -> None:
    assert canonical_host(written) == canonical


@settings(deadline=None)
@given(st.text("aBé.-2üß。\u200d１xn", max_size=16))
def test_the_canonical_form_is_stable(host: str) -> None:
    assert canonical_host(canonical_host(host)) == canonical_host(host)


@settings(deadline=None)
@given(st.text("aBé.:@[]-%2üß。\u200d１", max_size=16) | st.text(max_size=12))
def test_a_column_is_made_canonical_as_each_value_is(host: str) -> None:
    assert canonical_urls(pa.array([f"http://{host}/", None])).to_pylist() == [canonical_url(f"http://{host}/"), None]


def test_hosts_of_a_column_of_urls() -> None:
    urls = [
        "http://www.A.example./x",
        "https://a.example:8443",
        "www.a.example/x",
        "mailto:x@a.example",
        "/a.b/c",
        None,
        "",
    ]
    assert hosts(pa.array(urls)).to_pylist() == ["a.example", "a.example", "a.example", None, None, None, None]
    odd = [
        "http:/a.example/x",
        "http:\\\\a.example\\x",
        " HTTP://a.exa\tmple",
        "http://a.example\\@b.org/",
    ]
    assert hosts(pa.array(odd)).to_pylist() == ["a.example"] * 4
    assert hosts(pa.array(["http://www.com/", "http://[/"])).to_pylist() == ["www.com", None]
    assert hosts(pa.array([], pa.string())).to_pylist() == []


def test_groups_bounds_index_patterns_and_duplicates_use_the_canonical_host() -> None:
    urls = pa.array(["http://bücher.example./", "https://xn--bcher-kva.example:443/"])
    batch = pa.RecordBatch.from_pydict({"url": urls, "score": pa.array([0.4, 0.6])})
    assert group_names(batch, "domain", "s").to_pylist() == ["xn--bcher-kva.example"] * 2
    step = Threshold(column="score", min=0.9, per="domain", min_by={"Bücher.example": 0.5})
    (passes,) = (answer[1] for answer in step.answers(batch) if answer[0] == "min_by")
    assert passes.tolist() == [False, True]
    assert parse_pattern("bücher.example./*").prefixes == (b"example,xn--bcher-kva)/",)
    assert parse_pattern("http://Bücher.example:8080/*").prefixes == (b"example,xn--bcher-kva:8080)/",)
    assert len({normalize_canonical_url(url) for url in urls.to_pylist()}) == 1
    assert canonical_url("HTTP://U@Bücher.example:80/Ä?q#f") == "http://U@xn--bcher-kva.example/Ä?q#f"
