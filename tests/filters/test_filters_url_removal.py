"""URL removal: the scan agrees with the reference's regular expressions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from edited import edit
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.filters.url.removal import UrlRemoval

TLDS = ("com", "co", "co2", "th", "рф", "ком", "कॉम", "ab\u200e")
CHOICE = "|".join(re.escape(tld) for tld in sorted(TLDS, key=len, reverse=True))
URL = re.compile(
    rf"\s{{0,10}}(?:((https?|ftp)://))?[-a-zA-Z0-9@:%._\+~#=]{{1,256}}\.((?:{CHOICE}))\b([-a-zA-Z0-9()@:%_\+.~#?&//=]*)"
)
IPV4 = re.compile(r"\s{0,10}\b((https?|ftp)://)?(?:[0-2]?[0-9]{1,2}\.){3}[0-2]?[0-9]{1,2}[-a-zA-Z0-9()@:%_\+.~#?&//=]*")
GUARD = re.compile(f"(?:{CHOICE})", re.IGNORECASE)

PIECES = st.sampled_from(
    [
        *(".com", ".co", ".co2", ".com.th", ".рф", ".कॉम", ".ab\u200e", "http://", "https://", "ftp://", "xftp://"),
        *(
            "a",
            "-",
            ".",
            "..",
            " ",
            "\n",
            "\u00a0",
            " " * 12,
            "é",
            "_",
            "/",
            "(x)",
            "?q=1",
            "x.com",
            "1.2.3.4",
            "25",
            "7.",
        ),
        *("b" * 255, "c" * 256, "d" * 300, "255.255.255.255", "1.2.3", "999.1.1.1", "Th", "İ", "\u200e", "\u0301", "ф"),
    ]
)
TEXTS = st.lists(PIECES, max_size=12).map("".join) | st.text("a.comthCO:/ \n1é_", max_size=40)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    path = tmp_path_factory.mktemp("tlds") / "tlds.txt"
    path.write_text("\n".join(TLDS), encoding="utf-8")
    return {"tlds": path}


@settings(max_examples=400, deadline=None)
@given(texts=st.lists(TEXTS, min_size=1, max_size=4), guard=st.booleans())
def test_the_scan_removes_what_the_expressions_remove(files: dict[str, Path], texts: list[str], guard: bool) -> None:
    step = UrlRemoval(tlds="tlds", only_if_page_starts_with_tld=guard)
    expected = []
    for text in texts:
        page = URL.sub("", text) if not guard or GUARD.match(text) else text
        expected.append(IPV4.sub("", page) or None)
    assert edit(step, texts, files) == expected


def test_the_guard_asks_how_the_page_starts(files: dict[str, Path]) -> None:
    step = UrlRemoval(tlds="tlds", only_if_page_starts_with_tld=True)
    assert edit(step, ["The x.com", "A x.com", "A 1.2.3.4"], files) == ["The", "A x.com", "A"]


def test_hostile_text_takes_linear_time(files: dict[str, Path]) -> None:
    million = "a" * 1_000_000
    texts = [
        million,
        ". " * 500_000,
        "a." * 500_000,
        "." * 1_000_000,
        " " * 1_000_000,
        f"{million}.com",
        ".com" * 250_000,
    ]
    edited = edit(UrlRemoval(tlds="tlds"), texts, files)
    assert edited[:5] == texts[:5]
    assert edited[5] == "a" * (1_000_000 - 256)
    assert edited[6] is None or len(edited[6]) <= 4
