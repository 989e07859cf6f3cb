"""Line edits: the kernels agree with the reference's rules, written plainly, on any text."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from edited import batch_of, edit
from hypothesis import given, settings
from hypothesis import strategies as st
from plain_rules import fasttext_tokens
from uniseg.wordbreak import words as unicode_words

from dclm.core.config import build, parse_yaml
from dclm.core.errors import ConfigError
from dclm.curate.step import Context, Map
from dclm.filters.lines.keep import LineWords, LongWordLines, NumericLines, PunctuationLines, UppercaseLines
from dclm.filters.lines.patterns import CounterLines, SubstringLines
from dclm.filters.lines.strip import StripLines

LINES = st.sampled_from(
    [
        *("", " ", "\u00a0", "AB", "Ab", "ÀÉ", "123", "1,2", "٣٤", "²", "a b", " a  b ", "x" * 13, "é" * 12, "Dž", "ⅷ"),
        *("End.", "End. ", 'End."', "End…", "End...", "...", "End.\u2029", "End!\u3000", "End?", "ENd"),
        *(
            "3 likes",
            "(1,2K views)",
            "٣ comments",
            "3  VIEWS…",
            "3 K likes",
            "a 3 likes",
            "3 like",
            "3likes",
            "_3 likes",
        ),
        *(
            "Sign-in",
            "sign-in now",
            "SIGN-İN",
            "Please Sign-in",
            "Read more...",
            "Read more of",
            "read more…xy",
            "ſign-in",
        ),
        *(
            "items in cart",
            "2 items in cart here",
            " items in cart",
            "ITEMS IN CART items in cart",
            "\u0130tems in cart",
        ),
    ]
)
TEXTS = st.lists(LINES | st.text(max_size=8), max_size=8).map("\n".join) | st.text(max_size=30)
BATCHES = st.lists(TEXTS, min_size=1, max_size=4)
COUNTER = re.compile(
    r"^\W*\d(?:,|\.|\d)*(?:K|k|M|m|B|b)?\s+(?:likes|shares|comments|retweets|reposts|quotes|bookmarks|upvotes"
    r"|downvotes|downloads|views|followers)\W*$"
)


def ratio(line: str, has: Callable[[str], bool], most: float) -> bool:
    return not line or sum(map(has, line)) / len(line) <= most


def ends_well(line: str, ellipses: bool) -> bool:
    well = not line or bool(re.search(r'[.!?"\u2026]\s*$', line))
    return well and (ellipses or not re.search(r"(?:\.\.\.|\u2026)\s*$", line))


def longest(words: list[str]) -> int:
    return max((len(word) for word in words if word.strip()), default=0)


RULES: list[tuple[Map, Callable[[str], bool], bool]] = [
    (UppercaseLines(max_ratio=0.5), lambda line: ratio(line, str.isupper, 0.5), True),
    (NumericLines(), lambda line: ratio(line, str.isdigit, 0.999999), True),
    (CounterLines(), lambda line: not COUNTER.search(line.lower()), True),
    (LineWords(min=2), lambda line: len(line.split()) >= 2 or not line, False),
    (LineWords(min=1, max=2), lambda line: 1 <= len(line.split()) <= 2 or not line, False),
    (LongWordLines(max_length=12), lambda line: all(len(word) <= 12 for word in line.split()), False),
    (LongWordLines(max_length=3, words="fasttext"), lambda line: longest(fasttext_tokens(line)) <= 3, False),
    (LongWordLines(max_length=3, words="unicode"), lambda line: longest(list(unicode_words(line))) <= 3, False),
    (PunctuationLines(), lambda line: ends_well(line, True), False),
    (PunctuationLines(remove_ellipses=True), lambda line: ends_well(line, False), False),
]


@pytest.mark.parametrize(("step", "keep", "strips"), RULES, ids=[repr(step) for step, _, _ in RULES])
@settings(deadline=None)
@given(texts=BATCHES)
def test_lines_stay_by_the_rule(step: Map, keep: Callable[[str], bool], strips: bool, texts: list[str]) -> None:
    joined = ["\n".join(filter(keep, text.split("\n"))) for text in texts]
    assert edit(step, texts) == [(text.strip() if strips else text) or None for text in joined]


@settings(deadline=None)
@given(st.lists(TEXTS | st.text("a \n\r\v\x1c\x85\u2028\u3000é", max_size=12), min_size=1, max_size=4))
def test_stripped_lines_are_those_python_splits_and_strips(texts: list[str]) -> None:
    stripped = [[line.strip() for line in text.splitlines()] for text in texts]
    assert edit(StripLines(), texts) == ["\n".join(filter(None, lines)) or None for lines in stripped]


def reference_substring(step: SubstringLines, pattern: re.Pattern[str], page: str) -> str | None:
    kept = []
    for line in page.split("\n"):
        if step.max_words is None or len(line.split()) <= step.max_words:
            if step.remove == "substring":
                rest = pattern.sub("", line)
                if line and (not rest or rest.isspace()):
                    continue
                line = rest
            elif pattern.search(line):
                continue
        kept.append(line)
    return "\n".join(kept).strip() or None


SUBSTRINGS = [
    (SubstringLines(words=("items in cart",), max_words=3, remove="substring"), r"\s?(?:items in cart)"),
    (
        SubstringLines(words=("Read more...",), location="suffix", remove="substring", dot_matches_any=True),
        r"\s?(?:Read more...)$",
    ),
    (SubstringLines(words=("Read more...",), location="suffix"), r"\s?(?:Read more\.\.\.)$"),
    (SubstringLines(words=("Sign-in",), location="prefix", max_words=2, remove="substring"), r"^(?:Sign-in)\s?"),
    (SubstringLines(words=("sign", "cart"), max_words=0), r"\s?(?:sign|cart)"),
    (SubstringLines(words=("sign", "cart")), r"\s?(?:sign|cart)"),
    (SubstringLines(words=("SİGN", "É"), remove="substring"), r"\s?(?:si\u0307gn|é)"),
    (SubstringLines(words=("Sign", "ITEMS"), case_sensitive=True), r"\s?(?:Sign|ITEMS)"),
]


@pytest.mark.parametrize(("step", "pattern"), SUBSTRINGS, ids=[repr(step) for step, _ in SUBSTRINGS])
@settings(deadline=None)
@given(texts=BATCHES)
def test_substrings_go_as_the_reference_takes_them(step: SubstringLines, pattern: str, texts: list[str]) -> None:
    compiled = re.compile(pattern, 0 if step.case_sensitive else re.IGNORECASE)
    assert edit(step, texts) == [reference_substring(step, compiled, text) for text in texts]


def test_removed_lines_are_counted() -> None:
    batch = batch_of(["A\nb\nC", "x", "3 likes\n4 views\nok"])
    assert UppercaseLines().open(Context())(batch).column("_edits").to_pylist() == [2, 0, 0]
    assert CounterLines().open(Context())(batch).column("_edits").to_pylist() == [0, 0, 2]
    spaced = batch_of(["a\nb", "a \n\n b\nc", " \n", "a\n"])
    assert StripLines().open(Context())(spaced).column("_edits").to_pylist() == [0, 3, 1, 0]


def test_a_page_that_keeps_its_text_keeps_its_buffers() -> None:
    batch = batch_of(["a b", "c d"])
    after = LineWords(min=2).open(Context())(batch)
    assert after.column("text").buffers()[2].address == batch.column("text").buffers()[2].address


@pytest.mark.parametrize("text", ["{words: []}", '{words: [""]}'])
def test_no_substring_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        build(SubstringLines, parse_yaml(text))


@pytest.mark.parametrize("step", [step for step, _, _ in RULES] + [step for step, _ in SUBSTRINGS], ids=repr)
def test_a_million_lines_and_one_line_of_megabytes_are_no_trouble(step: Map) -> None:
    edit(
        step,
        ["\n" * 1_000_000, "a " * 1_000_000, "9" * 2_000_000 + " likes", " " * 1_000_000 + "3", "e\u0301" * 500_000],
    )
