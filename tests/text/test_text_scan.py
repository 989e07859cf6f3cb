"""The quick search for rows that may match finds every row that a regular expression matches."""

from __future__ import annotations

import re

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dclm.filters.lines.patterns import literal
from dclm.text.buffers import utf8
from dclm.text.scan import WIDTH, literal_probe, make_probe, matching_rows, rows_that_may_match

WORDS = ["items in cart", "read more...", "sign-in", "likes", "kiss", "lorem ipsum", "a.b.c.d", "the"]
OTHERS = ["IteMs In cArT", "read moreX..", "\u0131", "\u0130", "\u017f", "\u212a", "\n", " ", "é", "cart", "read"]
PARTS = [*WORDS, *OTHERS]
TEXTS = st.lists(st.lists(st.sampled_from(PARTS) | st.text(max_size=3), max_size=6).map("".join), max_size=6)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize("ignore_case", [False, True])
@pytest.mark.parametrize("dot", [False, True])
def test_no_row_that_matches_is_missed(word: str, ignore_case: bool, dot: bool) -> None:
    probe = literal_probe(word, ignore_case=ignore_case, dot_matches_any=dot)
    pattern = literal(word, dot)
    python = re.compile(pattern, re.IGNORECASE if ignore_case else 0)
    wanted = f"(?i:{pattern})" if ignore_case else pattern

    @settings(deadline=None, max_examples=40)
    @given(TEXTS, st.integers(0, 2))
    @example(["x" * 40 + word], 0)
    @example([word, "", word], 1)
    def check(texts: list[str], skipped: int) -> None:
        column = pa.array(texts, pa.string())[skipped:]
        probes = None if probe is None else [probe]
        assert matching_rows(column, wanted, probes).equals(pc.match_substring_regex(column, wanted))
        if probe is not None:
            maybe = rows_that_may_match(*utf8(column), [probe]).tolist()
            assert all(maybe[row] for row, text in enumerate(column.to_pylist()) if python.search(text))

    check()


def test_most_rows_are_ruled_out() -> None:
    column = pa.array(["nothing to see here " * 50] * 20 + ["ITEMS IN CART"] + ["nothing again"] * 20)
    probe = literal_probe("items in cart", ignore_case=True)
    assert probe is not None
    assert rows_that_may_match(*utf8(column), [probe])[:-1].nonzero()[0].tolist() == [20]


@pytest.mark.parametrize(
    ("word", "ignore_case", "dot", "probed"),
    [
        ("items in cart", True, False, "n cart"),
        ("items in cart", False, False, "items "),
        ("read more...", True, True, "read m"),
        ("kiss", True, False, None),
        ("a.b", False, True, None),
        ("éab", False, False, None),
    ],
)
def test_a_probe_is_the_longest_part_that_is_safe(word: str, ignore_case: bool, dot: bool, probed: str | None) -> None:
    probe = literal_probe(word, ignore_case=ignore_case, dot_matches_any=dot)
    assert (None if probe is None else bytes(probe.low).decode()[:WIDTH].rstrip("\0")) == probed


@given(st.lists(st.text("0123456789. \n", max_size=20), max_size=5))
@example(["1.2.3.4"])
@settings(deadline=None)
def test_ranges_are_compared_too(texts: list[str]) -> None:
    column, pattern = pa.array(texts, pa.string()), r"[0-9]\.[0-9]"
    probe = make_probe((0, 48, 57), (0, 46, 46), (0, 48, 57))
    assert matching_rows(column, pattern, [probe]).equals(pc.match_substring_regex(column, pattern))


def test_null_texts_stay_null() -> None:
    column = pa.array(["abcdef", None])
    probe = literal_probe("abcdef", ignore_case=False)
    assert probe is not None
    assert matching_rows(column, "abcdef", [probe]).to_pylist() == [True, None]
