"""The short way through ASCII gives the words of UAX #29."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dclm.dedup.tokens import tokenize, word_end
from dclm.text.unicode import class_table
from dclm.text.words import unicode_word_ends

MIXED = st.text(
    st.sampled_from("ab1_ \t\r\n\x0b\x0c\x1c.,:;'\"!-()$\u0301\u200d\ufeffא\u05f3カ漢é\u00a0\u2003😀🇩\U0001f3fb"),
    max_size=25,
)


def ends(text: str) -> list[int]:
    data = np.frombuffer(text.encode(), np.uint8)
    at, found = 0, []
    while at < len(data):
        at = word_end(data, at, len(data), class_table())
        found.append(at)
    return found


@given(MIXED | st.text(max_size=25) | st.text(st.characters(max_codepoint=127), max_size=25))
def test_words_end_where_the_standard_says(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    assert ends(text) == unicode_word_ends(data, 0, len(data), class_table()).tolist()


def test_every_pair_and_triple_of_ascii_kinds() -> None:
    kinds = "a1_ \t\r\n.,:;'\"!"
    for text in (x + y + z for x in kinds for y in kinds for z in kinds):
        data = np.frombuffer(text.encode(), np.uint8)
        assert ends(text) == unicode_word_ends(data, 0, len(data), class_table()).tolist(), repr(text)


@given(MIXED)
def test_tokens_are_words_that_are_not_blank(text: str) -> None:
    data = np.frombuffer(text.encode(), np.uint8)
    bounds = [0, *ends(text)]
    words = [text.encode()[a:b].decode() for a, b in itertools.pairwise(bounds)]
    starts = [a for a, word in zip(bounds, words, strict=False) if word.strip()]
    hashes, found = tokenize(data, 0, len(data), class_table())
    assert found.tolist() == starts
    assert len(set(hashes.tolist())) == len({word for word in words if word.strip()})


@pytest.mark.parametrize("count", [10, 1000])
def test_room_grows_with_the_tokens(count: int) -> None:
    data = np.frombuffer(("." * count).encode(), np.uint8)
    assert len(tokenize(data, 0, count, class_table())[0]) == count
