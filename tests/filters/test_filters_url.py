"""URL block lists: as Python's own regular expressions and urlsplit would decide."""

from __future__ import annotations

import gzip
import re
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

import pytest
from edited import keeps_urls
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.core.config import build, parse_yaml
from dclm.core.errors import AssetError, ConfigError
from dclm.filters.url.blocklist import UrlBlocklist

WORDS = st.lists(st.text("abs-.é&", min_size=1, max_size=4), min_size=1, max_size=6)
URLS = st.lists(st.text("abBsSéÉ-./_:&ſİK", max_size=30), min_size=1, max_size=5)


def distinct_matches(words: list[str], url: str, whole: bool) -> int:
    """As in DCLM: the matches of one alternation that prefers long words, ignoring case."""
    choice = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True))
    pattern = re.compile(rf"\b(?:{choice})\b" if whole else f"(?:{choice})", re.IGNORECASE)
    return len({match.lower().replace("ſ", "s").replace("ı", "i") for match in pattern.findall(url.lower())})


@settings(deadline=None)
@given(words=WORDS, urls=URLS, whole=st.booleans(), least=st.integers(1, 3))
def test_words_match_as_an_alternation_of_them_does(words: list[str], urls: list[str], whole: bool, least: int) -> None:
    step = UrlBlocklist(words=tuple(words), match="word" if whole else "substring", min_matches=least)
    expected = [distinct_matches([w.lower() for w in words], url, whole) < least for url in urls]
    assert keeps_urls(step, urls) == expected


def test_the_longest_word_at_a_place_is_the_one_that_counts() -> None:
    step = UrlBlocklist(words=("sex", "sexcam", "cam"), min_matches=2)
    assert keeps_urls(step, ["http://sexcam.com", "http://sexcam.com/cam", "http://sexsex.com"]) == [True, False, True]


def test_a_whole_word_falls_back_to_a_shorter_one_that_ends_at_a_boundary() -> None:
    step = UrlBlocklist(words=("big", "big-x"), match="word")
    assert keeps_urls(step, ["http://a.com/big-xy", "http://a.com/bigx", "http://a.com/_big"]) == [False, True, True]


def test_ignored_characters_are_deleted_before_matching() -> None:
    step = UrlBlocklist(words=("badword",), ignore=("-", "."))
    assert keeps_urls(step, ["http://ba-d.wo.rd/", "http://bad_word/"]) == [False, True]


def test_ignoring_www_leaves_the_dot_in_domains_as_the_reference_does() -> None:
    urls = ["http://www.foo.com/", "http://foo.com/", "http://FOO.com:80/", "http://wwwfoo.com", "https://x.foo.com"]
    step = UrlBlocklist(words=("foo.com",), match="domain", ignore=("www",))
    assert keeps_urls(step, urls) == [True, False, True, False, True]
    host = UrlBlocklist(words=("www.foo.com",), match="host")
    assert keeps_urls(host, [*urls, "http://me@WWW.foo.com:8080/"]) == [False, False, False, True, True, False]


def test_a_site_is_blocked_with_all_that_is_below_it() -> None:
    names = [
        "foo.com",
        "a.b.foo.com",
        "WWW.foo.com:80",
        "xfoo.com",
        "foo.com.org",
        "com",
        "x.a.net",
        "a.net",
        "net",
        "",
    ]
    step = UrlBlocklist(words=("foo.com", "www.a.net"), match="site")
    kept = keeps_urls(step, [f"http://{name}/foo.com" for name in names])
    assert kept == [False, False, False, True, True, True, False, False, True, True]
    deep = "http://" + "a." * 5000 + "foo.com/"
    assert keeps_urls(step, [deep, "http://x.foo.com/"]) == [True, False]


@settings(deadline=None)
@given(st.lists(st.text("ab:/?#@[]. \t\né%", max_size=20) | st.text(max_size=10), max_size=5))
def test_authorities_are_those_of_urlsplit(urls: list[str]) -> None:
    def authority(url: str) -> str | None:
        try:
            return urlsplit(url).netloc
        except ValueError:
            return None

    found = [authority(url) for url in urls]
    blocked = tuple({name.lower() for name in found if name}) or ("none",)
    kept = keeps_urls(UrlBlocklist(words=blocked, match="domain"), urls)
    assert kept == [not (name is None or name.lower() in blocked) for name in found]


def test_a_page_without_url_is_kept() -> None:
    for match in ("domain", "host", "site", "url", "substring", "word"):
        assert keeps_urls(UrlBlocklist(words=("a",), match=match), [None, "http://a/"])[0] is True


def test_the_whole_url_can_be_listed() -> None:
    step = UrlBlocklist(words=("http://a.b/C",), match="url", case_sensitive=True)
    assert keeps_urls(step, ["http://a.b/C", "http://a.b/c", "http://a.b/C/"]) == [False, True, True]


def test_lists_are_read_plain_and_compressed_and_blank_lines_block_nothing(tmp_path: Path) -> None:
    plain, packed = tmp_path / "list.txt", tmp_path / "list.gz"
    plain.write_text("bad\n\nworse\n", encoding="utf-8")
    packed.write_bytes(gzip.compress(b"bad\n\nworse\n"))
    for path in (plain, packed):
        kept = keeps_urls(
            UrlBlocklist(list_="words"), ["http://x.bad/", "http://good/", "http://worse"], {"words": path}
        )
        assert kept == [False, True, False]


@pytest.mark.parametrize(
    ("content", "kind"), [(b"\xff\xfe", AssetError), (b"\n\n", ConfigError), (b"\x1f\x8bno", AssetError)]
)
def test_a_list_that_is_none_is_an_error(tmp_path: Path, content: bytes, kind: type[Exception]) -> None:
    path = tmp_path / "list"
    path.write_bytes(content)
    with pytest.raises(kind):
        keeps_urls(UrlBlocklist(list_="words"), [], {"words": path})


@pytest.mark.parametrize("text", ["{}", "{words: [a], list: b}", "{words: [a], match: domain, min_matches: 2}"])
def test_fields_that_contradict_each_other_are_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        build(UrlBlocklist, parse_yaml(text))


def test_a_million_domains_are_asked_for_quickly_and_exactly(tmp_path: Path) -> None:
    path = tmp_path / "domains"
    path.write_text("".join(f"site{number}.example\n" for number in range(1_000_000)), encoding="utf-8")
    urls = [f"http://site{number}.example/x" for number in range(999_990, 1_000_010)]
    assert keeps_urls(UrlBlocklist(list_="d", match="domain"), urls, {"d": path}) == [False] * 10 + [True] * 10


SPELLINGS = [
    "http://bücher.example/",
    "http://BÜCHER.example/a",
    "http://xn--bcher-kva.example",
    "https://XN--BCHER-KVA.example.:443/x",
    "http://www.bücher。example/",
    "http://me:pw@bücher.example:8080/",
    "http://b%C3%BCcher.example/",
    "bücher.example/page",
]


@pytest.mark.parametrize("match", ["host", "site"])
@pytest.mark.parametrize(
    "entry", ["bücher.example", "xn--bcher-kva.example", "Bücher.Example.", "https://bücher.example/"]
)
def test_a_host_is_blocked_however_it_is_spelled(match: Literal["host", "site"], entry: str) -> None:
    step = UrlBlocklist(words=(entry,), match=match)
    others = ["http://bucher.example/", "http://bücher.example.org/", "http://x.org/bücher.example", "dns:a.org"]
    assert keeps_urls(step, [*SPELLINGS, *others]) == [False] * len(SPELLINGS) + [True] * len(others)


def test_the_reference_compares_hosts_character_by_character() -> None:
    urls = ["http://blocked.example/", "http://blocked.example./", "http://blocked.example:80/"]
    assert keeps_urls(UrlBlocklist(words=("blocked.example",), match="domain"), urls) == [False, True, True]
    assert keeps_urls(UrlBlocklist(words=("blocked.example",), match="host"), urls) == [False, False, False]
    assert keeps_urls(UrlBlocklist(words=("http://blocked.example/",), match="url"), urls) == [False, False, False]


def test_below_a_site_every_spelling_counts_and_addresses_are_hosts() -> None:
    step = UrlBlocklist(words=("bücher.example", "[2001:DB8:0::1]"), match="site")
    urls = ["http://a.xn--bcher-kva.example./", "http://[2001:db8::1]:80/", "http://[2001:db8::2]/", "http://[/"]
    assert keeps_urls(step, urls) == [False, False, True, False]
