"""The fast path for ASCII gives the words of UAX #29 that are not only whitespace."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dclm.dedup.bloom.tokens import count_tokens, is_blank, next_token, tokenize, trimmed_end
from dclm.text.unicode import class_table
from dclm.text.words import unicode_word_ends

MIXED = st.text(
    st.sampled_from("ab1_ \t\r\n\v\f\x1c\x1f\x85.,:;'\"!-()$\u0301\u200d\ufeffא\u05f3カ漢é\u00a0\u2003😀🇩\U0001f3fb"),
    max_size=25,
)
WHITE_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))


class Span(NamedTuple):
    """Bytes of a text."""

    start: int
    end: int


def bytes_of(text: str) -> np.ndarray:
    return np.frombuffer(text.encode(), np.uint8)


def tokens(text: str) -> list[Span]:
    data = bytes_of(text)
    token, found = Span(*next_token(data, 0, len(data), class_table())), []
    while token.start < len(data):
        found.append(token)
        token = Span(*next_token(data, token.end, len(data), class_table()))
    assert token.end == len(data)
    return found


def expected(text: str) -> list[Span]:
    ends = unicode_word_ends(bytes_of(text), 0, len(text.encode()), class_table()).tolist()
    words = [Span(*pair) for pair in itertools.pairwise([0, *ends])]
    return [word for word in words if text.encode()[word.start : word.end].decode().strip(WHITE_SPACE)]


@given(MIXED | st.text(max_size=25) | st.text(st.characters(max_codepoint=127), max_size=25))
def test_tokens_are_words_that_are_not_blank(text: str) -> None:
    assert tokens(text) == expected(text)


def test_every_triple_of_ascii_kinds_and_what_joins_them() -> None:
    kinds = "a1_ \t\r\n\x1c.,'!\u0301é\u00a0\u2003"
    for text in map("".join, itertools.product(kinds, repeat=3)):
        assert tokens(text) == expected(text), repr(text)


LONG = st.lists(
    st.sampled_from([*"ab1_ .,:;'!\t\n\r\0\x1cé\u0301カ漢", "word", "longer words and", "don't", "3.14", "a.b", "  "]),
    max_size=40,
).map("".join)


@given(before=LONG, text=LONG | st.text(st.characters(max_codepoint=127), max_size=60), after=LONG)
@settings(max_examples=500)
def test_tokens_are_counted_wherever_a_text_begins_and_ends(before: str, text: str, after: str) -> None:
    start, end = len(before.encode()), len((before + text).encode())
    assert count_tokens(bytes_of(before + text + after), start, end, class_table()) == len(expected(text))


def test_every_triple_is_counted_at_every_place_of_eight_bytes() -> None:
    classes = class_table()
    for text in map("".join, itertools.product("a1_ \n.'!\u0301é", repeat=3)):
        for left, right in itertools.product(["", "a", "abc ", "abcdef", "abcdefg"], ["", "a", " abcdefg"]):
            data = bytes_of(left + text + right)
            starts = tokenize(data, 0, len(data), classes)[1]
            assert count_tokens(data, 0, len(data), classes) == len(starts), repr(left + text + right)


@given(MIXED)
def test_equal_tokens_have_equal_hashes_and_others_do_not(text: str) -> None:
    data, places = bytes_of(text), expected(text)
    hashes, starts = tokenize(data, 0, len(data), class_table())
    assert starts.tolist() == [place.start for place in places]
    assert count_tokens(data, 0, len(data), class_table()) == len(places)
    by_word = dict(zip([text.encode()[p.start : p.end] for p in places], hashes.tolist(), strict=True))
    assert [by_word[text.encode()[p.start : p.end]] for p in places] == hashes.tolist()
    assert len(set(by_word.values())) == len(by_word)


@given(MIXED)
def test_white_space_is_unicodes_and_not_pythons(text: str) -> None:
    data, left = bytes_of(text), text.rstrip(WHITE_SPACE)
    assert trimmed_end(data, 0, len(data), class_table()) == len(left.encode())
    assert is_blank(data, 0, len(data), class_table()) == (not left)


@pytest.mark.parametrize("count", [10, 1000])
def test_room_grows_with_the_tokens(count: int) -> None:
    data = np.frombuffer(("." * count).encode(), np.uint8)
    assert len(tokenize(data, 0, count, class_table())[0]) == count
